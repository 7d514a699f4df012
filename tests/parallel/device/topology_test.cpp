#include "parallel/device/topology.h"

#include "parallel/base/check.h"
#include "tests/support/temporary_folder.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <set>
#include <thread>

namespace retinue {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

/// A sysfs with `nodes` nodes of `cores` cores; the second thread of core c is CPU nodes · cores +
/// c.
class FakeMachine {
 public:
  FakeMachine(int nodes, int cores, bool threads) {
    const int all = nodes * cores;
    write("cpu/online", "0-" + std::to_string((threads ? 2 : 1) * all - 1));
    write("node/online", nodes == 1 ? "0" : "0-" + std::to_string(nodes - 1));
    for (int core = 0; core < all; ++core) {
      const std::string first = std::to_string(core), second = std::to_string(all + core);
      const std::string siblings = threads ? first + "," + second : first;
      write("cpu/cpu" + first + "/topology/thread_siblings_list", siblings);
      if (threads) write("cpu/cpu" + second + "/topology/thread_siblings_list", siblings);
    }
    for (int node = 0; node < nodes; ++node) {
      const auto range = [&](int first) {
        return std::to_string(first + node * cores) + "-" +
               std::to_string(first + (node + 1) * cores - 1);
      };
      write("node/node" + std::to_string(node) + "/cpulist",
            threads ? range(0) + "," + range(all) : range(0));
    }
  }
  void attach(const std::string& bus_id, const std::string& node) {
    folder_.write("bus/pci/devices/" + bus_id + "/numa_node", node + "\n");
  }
  [[nodiscard]] const std::string& path() const { return folder_.path(); }

 private:
  void write(const std::string& name, const std::string& text) {
    folder_.write("devices/system/" + name, text + "\n");
  }
  test::TemporaryFolder folder_;
};

CpuList first(int count) {
  CpuList cpus;
  for (int cpu = 0; cpu < count; ++cpu) cpus.push_back(cpu);
  return cpus;
}

/// The shares of all ranks; checks that they are of equal size, disjoint and within `allowed`.
std::vector<CpuList> shares(const Topology& topology, const CpuList& allowed,
                            const std::vector<int>& nodes) {
  std::vector<CpuList> all;
  std::set<int> taken;
  for (int r = 0; r < static_cast<int>(nodes.size()); ++r) {
    all.push_back(share_of_cores(topology, allowed, nodes, r));
    for (const int cpu : all.back()) {
      EXPECT_TRUE(taken.insert(cpu).second) << "CPU " << cpu << " is given twice";
      EXPECT_TRUE(std::binary_search(allowed.begin(), allowed.end(), cpu)) << cpu;
    }
  }
  return all;
}

TEST(CpuLists, AreReadAndWrittenAsInSysfs) {
  EXPECT_THAT(parse_cpu_list("0-3,8,10-11"), ElementsAre(0, 1, 2, 3, 8, 10, 11));
  EXPECT_THAT(parse_cpu_list("5"), ElementsAre(5));
  EXPECT_THAT(parse_cpu_list("3,1,3"), ElementsAre(1, 3));
  EXPECT_THAT(parse_cpu_list(""), IsEmpty());
  EXPECT_THAT(parse_cpu_list("x"), IsEmpty());
  EXPECT_THAT(parse_cpu_list("2,"), ElementsAre(2));
  EXPECT_THAT(parse_cpu_list("4-2"), IsEmpty());
  EXPECT_THAT(parse_cpu_list("1-99999999999"), IsEmpty());
  for (const char* text : {"", "7", "0-1", "0-3,8,10-11"})
    EXPECT_EQ(to_string(parse_cpu_list(text)), text);
}

TEST(Topology, KnowsCoresAndNodes) {
  const FakeMachine machine(2, 3, true);
  const Topology topology = read_topology(machine.path());
  ASSERT_EQ(topology.cores.size(), 6U);
  EXPECT_THAT(topology.cores[4].cpus, ElementsAre(4, 10));
  EXPECT_EQ(topology.cores[2].node, 0);
  EXPECT_EQ(topology.cores[3].node, 1);
}

TEST(Topology, AMachineThatTellsNothingButItsCpusHasOneNode) {
  const test::TemporaryFolder folder;
  EXPECT_THAT(read_topology(folder.path()).cores, IsEmpty());
  folder.write("devices/system/cpu/online", "0-1,3\n");
  const Topology topology = read_topology(folder.path());
  ASSERT_EQ(topology.cores.size(), 3U);
  EXPECT_THAT(topology.cores[2].cpus, ElementsAre(3));
  EXPECT_EQ(topology.cores[2].node, 0);
}

TEST(Topology, ADeviceIsAttachedToANodeOrDoesNotTell) {
  FakeMachine machine(2, 2, false);
  machine.attach("0000:c1:00.0", "1");
  machine.attach("0000:17:00.0", "-1");
  EXPECT_EQ(numa_node_of("0000:c1:00.0", machine.path()), 1);
  EXPECT_EQ(numa_node_of("0000:17:00.0", machine.path()), -1);
  EXPECT_EQ(numa_node_of("0000:99:00.0", machine.path()), -1);
}

TEST(Topology, OfThisMachineHoldsWhatThisProcessMayUse) {
  std::set<int> known;
  for (const Core& core : read_topology().cores) known.insert(core.cpus.begin(), core.cpus.end());
  for (const int cpu : allowed_cpus()) EXPECT_TRUE(known.contains(cpu)) << cpu;
}

TEST(ShareOfCores, IsWholeCoresOfTheOwnNode) {
  const FakeMachine machine(2, 8, true);
  const auto all = shares(read_topology(machine.path()), first(32), {0, 0, 0, 0, 1, 1, 1, 1});
  EXPECT_EQ(to_string(all[0]), "0-1,16-17");
  EXPECT_EQ(to_string(all[3]), "6-7,22-23");
  EXPECT_EQ(to_string(all[7]), "14-15,30-31");
}

TEST(ShareOfCores, OfANodeWithTooManyGpusIsEvenAndFilledUpElsewhere) {
  const FakeMachine machine(2, 8, false);
  const auto all = shares(read_topology(machine.path()), first(16), {0, 0, 0, 0, 0, 0, 1, 1});
  for (const CpuList& cpus : all) EXPECT_EQ(cpus.size(), 2U);
  for (std::size_t r = 0; r < 6; ++r) EXPECT_LT(all[r][0], 8) << "rank " << r << " has one at home";
  EXPECT_EQ(to_string(all[6]), "8-9");
  EXPECT_EQ(to_string(all[7]), "10-11");
}

TEST(ShareOfCores, IsTheSameForGpusThatDoNotTellTheirNode) {
  const FakeMachine machine(2, 4, false);
  const auto all = shares(read_topology(machine.path()), first(8), {-1, -1, -1, -1});
  EXPECT_EQ(to_string(all[0]), "0-1");
  EXPECT_EQ(to_string(all[3]), "6-7");
}

TEST(ShareOfCores, LeavesNoRankShortWhateverTheNodesAndTheRanks) {
  for (const bool threads : {false, true}) {
    const FakeMachine machine(3, 5, threads);
    const Topology topology = read_topology(machine.path());
    for (std::size_t ranks = 1; ranks <= 15; ++ranks)
      for (const auto& nodes : {std::vector<int>(ranks, 0), std::vector<int>(ranks, 2),
                                std::vector<int>(ranks, 7), std::vector<int>(ranks, -1)}) {
        const std::size_t each = 15 / ranks * (threads ? 2 : 1);
        for (const CpuList& cpus : shares(topology, first(threads ? 30 : 15), nodes))
          EXPECT_EQ(cpus.size(), each);
      }
  }
}

TEST(ShareOfCores, StaysWithinWhatIsAllowed) {
  const FakeMachine machine(2, 4, true);
  // One core whole, one by its second thread alone, two of the other node.
  const CpuList allowed = {1, 9, 10, 4, 5};
  CpuList sorted = allowed;
  std::sort(sorted.begin(), sorted.end());
  const auto all = shares(read_topology(machine.path()), sorted, {0, 1});
  EXPECT_EQ(to_string(all[0]), "1,9-10");
  EXPECT_EQ(to_string(all[1]), "4-5");
}

TEST(ShareOfCores, WithFewerCoresThanRanksAllShareAll) {
  const FakeMachine machine(1, 2, true);
  const Topology topology = read_topology(machine.path());
  for (int r = 0; r < 3; ++r)
    EXPECT_EQ(to_string(share_of_cores(topology, first(4), std::vector<int>{0, 0, 0}, r)), "0-3");
}

TEST(BindThread, HoldsForTheThreadAndThoseThatItStarts) {
  std::thread([] {
    const CpuList one = {allowed_cpus().back()};
    bind_thread(one);
    EXPECT_EQ(allowed_cpus(), one);
    std::thread([&] { EXPECT_EQ(allowed_cpus(), one); }).join();
    EXPECT_THROW(bind_thread({}), SystemError);
  }).join();
}

}  // namespace
}  // namespace retinue
