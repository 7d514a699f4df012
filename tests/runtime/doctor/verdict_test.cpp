#include "runtime/doctor/verdict.h"

#include "parallel/comm/local/local_communicator.h"
#include "parallel/comm/relayed.h"
#include "parallel/comm/sweep.h"
#include "runtime/doctor/report.h"
#include "tests/runtime/doctor/invented_facts.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <functional>
#include <thread>

namespace retinue::runtime {
namespace {

using test::healthy;
using test::kGiga;
using test::kMega;
using test::on_gpus;
using testing::Contains;
using testing::HasSubstr;
using testing::IsEmpty;

const Finding* find(const std::vector<Finding>& findings, const std::string& what) {
  for (const Finding& finding : findings)
    if (finding.what == what) return &finding;
  return nullptr;
}

TEST(DoctorVerdict, HealthyMachinesAreOkAndGetNoAdvice) {
  for (const DoctorFacts& facts : {healthy(), on_gpus()}) {
    const auto findings = judge(facts);
    EXPECT_GE(findings.size(), 18U);
    for (const Finding& finding : findings) {
      EXPECT_EQ(finding.verdict, Verdict::kOk) << finding.what << ": " << finding.found;
      EXPECT_EQ(finding.advice, "") << finding.what;
      EXPECT_NE(finding.found, "") << finding.what;
    }
    EXPECT_EQ(overall(findings), Verdict::kOk);
    EXPECT_THAT(not_looked_at(facts), IsEmpty());
  }
}

struct Fault {
  const char* name;
  bool gpus;
  std::function<void(DoctorFacts&)> happens;
  const char* what;
  Verdict verdict;
  const char* found;  ///< in the finding
};

const std::vector<Fault> kFaults = {
    {"another_binary", false, [](auto& f) { f.ranks[3].binary_sha256 = std::string(64, 'c'); },
     "binary", Verdict::kBroken, "rank 3 (beta) sha256 cccccccccccc"},
    {"the_first_rank_is_the_odd_one", false,
     [](auto& f) { f.ranks[0].binary_sha256 = std::string(64, 'c'); }, "binary", Verdict::kBroken,
     "rank 0 (alpha)"},
    {"another_version", false, [](auto& f) { f.ranks[2].version = "0.9"; }, "version",
     Verdict::kBroken, "rank 2 (beta) 0.9"},
    {"another_processor", false, [](auto& f) { f.ranks[1].numerics = "9999"; }, "kernels",
     Verdict::kBroken, "rank 1 (alpha)"},
    {"another_model", false, [](auto& f) { f.ranks[3].model_identity = std::string(64, 'd'); },
     "model", Verdict::kBroken, "rank 3 (beta) dddddddddddd"},
    {"an_unusable_model", false, [](auto& f) { f.ranks[2].model_error = "[x] is cut off"; },
     "model", Verdict::kBroken, "rank 2 (beta): [x] is cut off"},
    {"weights_that_cannot_be_read", false,
     [](auto& f) {
       f.ranks[2].read = {0, 0, "", "I/O error"};
     },
     "reading weights", Verdict::kBroken, "rank 2 (beta): I/O error"},
    {"a_slow_disk", false,
     [](auto& f) {
       for (RankFacts& one : f.ranks) one.weights_bytes = 60 * kGiga;
       f.ranks[1].read.seconds = 3;
     },
     "reading weights", Verdict::kSlow, "rank 1 (alpha)"},
    {"slow_disks", false,
     [](auto& f) {
       for (RankFacts& one : f.ranks) one.weights_bytes = 60 * kGiga, one.read.seconds = 3;
     },
     "reading weights", Verdict::kSlow, "all weights in"},
    {"a_silent_rank", false,
     [](auto& f) {
       f.ranks.erase(f.ranks.begin() + 2);
       f.silent = {2};
       f.sweeps.clear(), f.pairs.clear(), f.clocks.clear();
     },
     "ranks", Verdict::kBroken, "rank 2 did not answer within 30 s"},
    {"ranks_that_share_cores", false,
     [](auto& f) {
       for (RankFacts& one : f.ranks) one.cpus = "0", one.cores = 1;
     },
     "cores", Verdict::kSlow, "2 ranks on the 1 core(s) 0"},
    {"ranks_that_span_nodes", false, [](auto& f) { f.ranks[1].nodes = "0-1"; }, "cores",
     Verdict::kSlow, "rank 1 (alpha) may run on NUMA nodes 0-1"},
    {"hardly_any_files", false, [](auto& f) { f.ranks[0].open_files = 64; }, "open files",
     Verdict::kBroken, "rank 0 (alpha) may open 64"},
    {"few_files", false, [](auto& f) { f.ranks[0].open_files = 512; }, "open files", Verdict::kSlow,
     "may open 512"},
    {"little_locked_memory_between_hosts", false, [](auto& f) { f.ranks[0].locked_bytes = 65536; },
     "locked memory", Verdict::kSlow, "rank 0 (alpha) may lock 66 kB"},
    {"a_bounded_address_space", false, [](auto& f) { f.ranks[3].address_bytes = 4 * kGiga; },
     "address space", Verdict::kSlow, "rank 3 (beta) may map 4.0 GB"},
    {"a_container_s_shared_memory", false,
     [](auto& f) {
       for (int r : {2, 3})
         f.ranks[static_cast<std::size_t>(r)].shm_free_bytes = 20 * kMega,
         f.ranks[static_cast<std::size_t>(r)].shm_bytes = 67 * kMega;
     },
     "shared memory", Verdict::kBroken, "beta has 20 MB free of 67 MB"},
    {"no_room_for_weights", false,
     [](auto& f) {
       for (RankFacts& one : f.ranks) one.weights_bytes = 61 * kGiga;
       f.ranks[2].memory_free_bytes = f.ranks[3].memory_free_bytes = 50 * kGiga;
     },
     "memory", Verdict::kBroken, "beta has 50.0 GB free, its ranks want 61.0 GB"},
    {"a_full_disk", false, [](auto& f) { f.ranks[1].disk_free_bytes = kMega; }, "disk",
     Verdict::kBroken, "rank 1 (alpha): 1 MB free"},
    {"a_full_temporary_folder", false,
     [](auto& f) { f.ranks[1].temporary_free_bytes = 500 * kMega; }, "disk", Verdict::kSlow,
     "rank 1 (alpha): 500 MB free"},
    {"a_clock_that_is_off", false, [](auto& f) { f.clocks[3].ahead_s = -2; }, "time of day",
     Verdict::kSlow, "rank 3 (beta) is 2.0 s behind rank 0"},
    {"a_clock_that_is_far_off", false, [](auto& f) { f.clocks[2].ahead_s = 400; }, "time of day",
     Verdict::kBroken, "rank 2 (beta) is 400.0 s ahead of rank 0"},
    {"sums_that_are_wrong", false, [](auto& f) { f.sweeps[2].points[1].wrong = 7; },
     "all_reduce of tensor 1", Verdict::kBroken,
     "7 elements were wrong, first in a message of 1 MB"},
    {"late_sums_of_a_replica", false, [](auto& f) { f.sweeps[1].fit.alpha_s = 150e-6; },
     "all_reduce of tensor 0", Verdict::kSlow, "150.0 us"},
    {"narrow_sums_of_a_replica", false,
     [](auto& f) { f.sweeps[2].fit.bytes_per_s = 1e8, f.sweeps[2].bus_bytes_per_s = 1e8; },
     "all_reduce of tensor 1", Verdict::kSlow, "slowest of 2 groups"},
    {"a_world_over_a_slow_network", false, [](auto& f) { f.sweeps[0].bus_bytes_per_s = 50e6; },
     "all_reduce of world", Verdict::kSlow, "bus 50.00 MB/s"},
    {"a_late_pair_between_hosts", false, [](auto& f) { f.pairs[2].latency_s = 1e-3; },
     "pairs between hosts", Verdict::kSlow, "slowest ranks 0 (alpha), 3 (beta): 1.0 ms"},
    {"a_narrow_pair_within_a_host", false,
     [](auto& f) {
       f.size = 3, f.tensor = 1;
       f.ranks.pop_back();
       f.sweeps.clear();
       f.clocks.clear();
       f.pairs = {{0, 1, true, 1e-6, 8e9}, {0, 2, true, 1e-6, 8e9}, {1, 2, true, 1e-6, 1e9}};
     },
     "pairs within hosts", Verdict::kSlow, "slowest ranks 1 (alpha), 2 (beta)"},
    {"a_lost_link", false, [](auto& f) { f.links_error = "rank 2 did not arrive"; }, "links",
     Verdict::kBroken, "rank 2 did not arrive"},
    {"a_missing_gpu", true,
     [](auto& f) { f.ranks[1].device = "cpu", f.ranks[1].device_error = "no driver"; }, "device",
     Verdict::kBroken, "rank 1 (alpha) has no GPU: no driver"},
    {"a_gpu_for_two", true, [](auto& f) { f.ranks[1].pci_bus_id = f.ranks[0].pci_bus_id; },
     "device", Verdict::kBroken,
     "ranks 0 (alpha), 1 (alpha) would share the GPU 0000:00:00.0 of alpha"},
    {"gpus_of_two_kinds", true, [](auto& f) { f.ranks[3].gpu_name = "Another"; }, "device",
     Verdict::kSlow, "rank 3 (beta) Another"},
    {"two_drivers", true, [](auto& f) { f.ranks[3].driver = "535.1"; }, "driver", Verdict::kSlow,
     "rank 3 (beta) 535.1"},
    {"a_hot_gpu", true, [](auto& f) { f.ranks[2].gpu.throttle_reasons = 0x40; }, "GPU clocks",
     Verdict::kSlow, "rank 2 (beta) held back (reasons 0x40): 345 of 1980 MHz"},
    {"memory_errors", true, [](auto& f) { f.ranks[0].gpu.uncorrected_errors = 2; },
     "GPU memory errors", Verdict::kBroken, "rank 0 (alpha) has 2 uncorrected errors"},
    {"a_gpu_that_others_use", true, [](auto& f) { f.ranks[0].gpu.free_bytes = 40 * kGiga; },
     "GPU memory", Verdict::kSlow, "rank 0 (alpha): 40.0 GB free of 80.0 GB"},
    {"gpus_that_copy_through_the_host", true, [](auto& f) { f.sweeps[1].bus_bytes_per_s = 3e9; },
     "all_reduce of tensor 0", Verdict::kSlow, "bus 3.00 GB/s"},
};

class DoctorFault : public testing::TestWithParam<Fault> {};

TEST_P(DoctorFault, IsNamedWithItsRankAndWhatToDo) {
  DoctorFacts facts = GetParam().gpus ? on_gpus() : healthy();
  if (std::string_view(GetParam().name) == "gpus_that_copy_through_the_host")
    facts.sweeps[1].fit.bytes_per_s = 1e9;  // so that this group is the slowest
  GetParam().happens(facts);
  const auto findings = judge(facts);
  const Finding* finding = find(findings, GetParam().what);
  ASSERT_NE(finding, nullptr) << doctor_table(facts, findings);
  EXPECT_EQ(finding->verdict, GetParam().verdict) << finding->found;
  EXPECT_THAT(finding->found, HasSubstr(GetParam().found));
  EXPECT_NE(finding->advice, "");
  EXPECT_EQ(overall(findings), GetParam().verdict) << doctor_table(facts, findings);
  EXPECT_THAT(doctor_table(facts, findings), HasSubstr(finding->advice));
  // One fault, one finding: links of ranks that share cores are not judged.
  for (const Finding& other : findings)
    if (&other != finding) {
      EXPECT_EQ(other.verdict, Verdict::kOk) << other.what;
    }
  const auto json = nlohmann::json::parse(doctor_json(facts, findings));
  EXPECT_EQ(json["schema_version"], 1);
  EXPECT_EQ(json["verdict"], name(GetParam().verdict));
}

TEST(Doctor, BlamesTheModelFolderForNoOtherOption) {
  const auto advice = [](const char* error) {
    DoctorFacts facts = healthy();
    facts.ranks[0].model_error = error;
    return find(judge(facts), "model")->advice;
  };
  EXPECT_THAT(advice("[checkpoint] x is missing"), HasSubstr("Copy the model folder again"));
  EXPECT_THAT(advice("[--model] x: no such folder"), HasSubstr("Copy the model folder again"));
  EXPECT_THAT(advice("[--dtype] is float32, and this checkpoint has FP8 weights"),
              HasSubstr("Correct that option"));
}

INSTANTIATE_TEST_SUITE_P(, DoctorFault, testing::ValuesIn(kFaults),
                         [](const auto& instance) { return std::string(instance.param.name); });

TEST(DoctorVerdict, AFitAtItsBoundShowsNoRate) {
  DoctorFacts facts = healthy();
  facts.sweeps[0].fit.bytes_per_s = kMostBytesPerSecond;
  const std::string table = doctor_table(facts, judge(facts));
  EXPECT_THAT(table, HasSubstr("5.0 us whatever their length, within 10 %"));
  EXPECT_THAT(table, testing::Not(HasSubstr("1000000")));
}

TEST(DoctorVerdict, SharedDevicesAreFineWhereTheyAreAskedFor) {
  DoctorFacts facts = on_gpus();
  facts.share_device = true;
  facts.ranks[1].pci_bus_id = facts.ranks[0].pci_bus_id;
  EXPECT_EQ(overall(judge(facts)), Verdict::kOk);
}

TEST(DoctorVerdict, AColdButIdleGpuIsNotSlow) {
  DoctorFacts facts = on_gpus();
  facts.ranks[0].gpu.throttle_reasons = 0x1 | 0x4;  // idle, power cap
  EXPECT_EQ(overall(judge(facts)), Verdict::kOk);
}

TEST(DoctorVerdict, AClockWithinItsBoundIsNotOff) {
  DoctorFacts facts = healthy();
  facts.clocks[1] = {1, 0.5, 0.45};  // half a second, measured over a slow link
  EXPECT_EQ(find(judge(facts), "time of day")->verdict, Verdict::kOk);
  facts.clocks[1].bound_s = 0.3;
  EXPECT_EQ(find(judge(facts), "time of day")->verdict, Verdict::kSlow);
}

TEST(DoctorVerdict, SaysWhatItDidNotLookAt) {
  DoctorFacts facts = on_gpus();
  for (RankFacts& one : facts.ranks) one.model = "", one.nvml_absent = "no NVML";
  EXPECT_THAT(not_looked_at(facts),
              testing::ElementsAre(HasSubstr("no --model"), HasSubstr("rank 0: no NVML")));
  EXPECT_EQ(find(judge(facts), "model"), nullptr);
  facts = healthy();
  facts.size = 1, facts.tensor = 1;
  facts.ranks.resize(1);
  EXPECT_THAT(not_looked_at(facts), Contains(HasSubstr("one rank has none")));
}

TEST(DoctorVerdict, ALinkThatIsSlowIsFoundByWhatRanksMeasure) {
  /// A message takes 20 us, and between ranks 1 and 2 5 ms more: in the time of the sender.
  struct SlowLink : Relayed {
    SlowLink(Communicator& inner, FakeClock& clock) : Relayed(inner), clock_(clock) {}
    void send(const Stream& stream, ConstTensorView x, int to, int tag) override {
      clock_.advance(rank() + to == 3 && rank() * to == 2 ? 5.02e-3 : 20e-6);
      inner_.send(stream, x, to, tag);
    }
    FakeClock& clock_;
  };
  DoctorFacts facts = healthy();
  facts.pairs.clear();
  {
    auto group = make_local_group(4, "world", 30);
    std::vector<std::jthread> threads;
    for (auto& rank : group)
      threads.emplace_back([&] {
        FakeClock clock;
        SlowLink slow(*rank, clock);
        const auto pairs = sweep_pairs(slow, clock, {.short_repetitions = 5, .warm_up = 1});
        if (slow.rank() != 0) return;
        for (const PairTimes& pair : pairs)
          facts.pairs.push_back({pair.a, pair.b, true, pair.latency_s, pair.bytes_per_s});
      });
  }
  const auto findings = judge(facts);
  const Finding* finding = find(findings, "pairs within hosts");
  ASSERT_NE(finding, nullptr);
  EXPECT_EQ(finding->verdict, Verdict::kSlow);
  EXPECT_THAT(finding->ranks, testing::ElementsAre(1, 2)) << finding->found;
}

}  // namespace
}  // namespace retinue::runtime
