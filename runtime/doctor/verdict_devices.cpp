#include "runtime/doctor/judgement.h"

#include <fmt/format.h>

#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

namespace retinue::runtime::doctor {
namespace {

std::string cpu_names(const Judgement& j) {
  std::set<std::string> names;
  for (const RankFacts& one : j.facts.ranks) names.insert(one.cpu_name);
  std::string text;
  for (const std::string& one : names) text += (text.empty() ? "" : "; ") + one;
  return text;
}

void gpu_clocks(Judgement& j) {
  const auto known = j.which([](const RankFacts& one) { return one.gpu.sm_clock_mhz > 0; });
  if (known.empty()) return;
  const auto held = j.which([](const RankFacts& one) {
    return one.gpu.throttle_reasons > 0 && (one.gpu.throttle_reasons & kHeldBack) != 0 &&
           one.gpu.sm_clock_mhz < kLowClock * one.gpu.most_sm_clock_mhz;
  });
  const NvmlFacts& gpu = j.of(held.empty() ? known[0] : held[0]).gpu;
  const std::string found = fmt::format(
      "{} of {} MHz, memory {} of {} MHz, {} C, {:.0f} W", gpu.sm_clock_mhz, gpu.most_sm_clock_mhz,
      gpu.memory_clock_mhz, gpu.most_memory_clock_mhz, gpu.celsius, gpu.watts);
  if (held.empty()) return j.add("GPU clocks", Verdict::kOk, found);
  j.add("GPU clocks", Verdict::kSlow,
        fmt::format("{} held back (reasons {:#x}): {}", j.named(held), gpu.throttle_reasons, found),
        "Check cooling and power of these hosts (nvidia-smi -q -d PERFORMANCE).", held);
}

void gpu_errors(Judgement& j) {
  const auto known = j.which([](const RankFacts& one) { return one.gpu.ecc >= 0; });
  if (known.empty()) return;
  const auto faulty = j.which([](const RankFacts& one) { return one.gpu.uncorrected_errors > 0; });
  if (!faulty.empty())
    return j.add(
        "GPU memory errors", Verdict::kBroken,
        fmt::format("{} has {} uncorrected errors", j.named(faulty),
                    j.of(faulty[0]).gpu.uncorrected_errors),
        "Take the host out of service and reset or replace the GPU (nvidia-smi -q -d ECC).",
        faulty);
  const auto off = j.which([](const RankFacts& one) { return one.gpu.ecc == 0; });
  j.add(
      "GPU memory errors", Verdict::kOk,
      off.empty() ? "none uncorrected" : fmt::format("not counted, ECC is off: {}", j.named(off)));
}

void gpu_memory(Judgement& j) {
  const auto known = j.which(
      [](const RankFacts& one) { return one.gpu.memory_bytes > 0 && one.gpu.free_bytes >= 0; });
  if (known.empty()) return;
  const auto taken = j.which([](const RankFacts& one) {
    return one.gpu.memory_bytes > 0 && one.gpu.free_bytes >= 0 &&
           static_cast<double>(one.gpu.free_bytes) <
               (1 - kGpuMemoryTaken) * static_cast<double>(one.gpu.memory_bytes);
  });
  const NvmlFacts& gpu = j.of(taken.empty() ? known[0] : taken[0]).gpu;
  const std::string found =
      fmt::format("{} free of {}", bytes_text(gpu.free_bytes), bytes_text(gpu.memory_bytes));
  if (taken.empty()) return j.add("GPU memory", Verdict::kOk, found);
  j.add("GPU memory", Verdict::kSlow, fmt::format("{}: {}", j.named(taken), found),
        "Another process holds the rest (nvidia-smi): a job gets a smaller KV cache, or none.",
        taken);
}

}  // namespace

void judge_devices(Judgement& j) {
  const auto without = j.which([](const RankFacts& one) { return !one.device_error.empty(); });
  if (!without.empty())
    return j.add("device", Verdict::kBroken,
                 fmt::format("{} has no GPU: {}", j.named(without), j.of(without[0]).device_error),
                 "Check driver and container (nvidia-smi, --gpus all), leave the host out, or use "
                 "--device cpu.",
                 without);
  if (!j.on_gpus()) return j.add("device", Verdict::kOk, fmt::format("cpu: {}", cpu_names(j)));
  std::map<std::pair<std::string, std::string>, std::vector<int>> users;
  for (const RankFacts& one : j.facts.ranks) users[{one.host, one.pci_bus_id}].push_back(one.rank);
  for (const auto& [place, ranks] : users)
    if (ranks.size() > 1 && !j.facts.share_device)
      j.add(
          "device", Verdict::kBroken,
          fmt::format("{} would share the GPU {} of {}", j.named(ranks), place.second, place.first),
          "Start one rank per GPU; to test correctness only, give --share-device.", ranks);
  j.agreement(
      "device", [](const RankFacts& one) { return one.gpu_name; }, Verdict::kSlow,
      "The slowest kind sets the pace of a replica: use one kind, or one job per kind.",
      [](std::string text) { return text.empty() ? "cpu" : text; });
  j.agreement(
      "driver", [](const RankFacts& one) { return one.driver; }, Verdict::kSlow,
      "Install the same driver on all hosts: with another driver, libraries choose other "
      "algorithms.",
      [](std::string text) { return text.empty() ? "not known" : text; });
  gpu_clocks(j);
  gpu_errors(j);
  gpu_memory(j);
}

}  // namespace retinue::runtime::doctor
