#include "parallel/base/statistics.h"
#include "runtime/doctor/judgement.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <iterator>
#include <map>
#include <string>
#include <utility>
#include <vector>

namespace retinue::runtime::doctor {
namespace {

void clocks(Judgement& j) {
  std::vector<ClockFacts> others = j.facts.clocks;
  std::erase_if(others, [](const ClockFacts& one) { return one.rank == 0; });
  if (others.empty()) return;
  const auto& worst = *std::ranges::max_element(
      others, {}, [](const ClockFacts& one) { return std::abs(one.ahead_s); });
  const double off = std::abs(worst.ahead_s);
  // A difference within the bound of the measurement may be none.
  const double sure = off - worst.bound_s;
  if (sure <= kSlowClockSkew)
    return j.add("time of day", Verdict::kOk,
                 fmt::format("all within {} of rank 0's", time_text(off + worst.bound_s)));
  const std::string found =
      fmt::format("{} is {} {} rank 0, give or take {}", j.named({worst.rank}), time_text(off),
                  worst.ahead_s > 0 ? "ahead of" : "behind", time_text(worst.bound_s));
  std::vector<int> wrong;
  for (const ClockFacts& one : others)
    if (std::abs(one.ahead_s) - one.bound_s > kSlowClockSkew) wrong.push_back(one.rank);
  j.add("time of day", sure > kBrokenClockSkew ? Verdict::kBroken : Verdict::kSlow, found,
        "Set the clocks (chrony, ntpd): otherwise logs of several hosts do not fit together, and "
        "the time of day decides which of several failures is reported as the first.",
        wrong);
}

/// More of these ranks on a set of cores than there are cores: times are then the scheduler's.
bool crowded(const Judgement& j, const std::vector<int>& ranks) {
  std::map<std::pair<std::string, std::string>, int> sharing;
  for (const RankFacts& one : j.facts.ranks) ++sharing[{one.host, one.cpus}];
  return std::ranges::any_of(ranks, [&](int rank) {
    const auto found = std::ranges::find(j.facts.ranks, rank, &RankFacts::rank);
    return found != j.facts.ranks.end() && sharing[{found->host, found->cpus}] > found->cores;
  });
}

bool is_tensor(const SweepFacts& sweep) { return sweep.group.starts_with("tensor"); }

int tensor_groups(const Judgement& j, const std::string& collective) {
  return static_cast<int>(std::ranges::count_if(j.facts.sweeps, [&](const SweepFacts& sweep) {
    return is_tensor(sweep) && sweep.collective == collective;
  }));
}

/// The tensor group in which a message of a megabyte takes longest.
const SweepFacts* slowest_group(const Judgement& j, const std::string& collective) {
  const SweepFacts* slowest = nullptr;
  for (const SweepFacts& sweep : j.facts.sweeps)
    if (is_tensor(sweep) && sweep.collective == collective &&
        (slowest == nullptr || sweep.fit.seconds(1e6) > slowest->fit.seconds(1e6)))
      slowest = &sweep;
  return slowest;
}

std::string sweep_text(const SweepFacts& sweep, int alike) {
  // At the fit's bound the bandwidth is unknown: all messages were short.
  const std::string rate = sweep.fit.bytes_per_s < kMostBytesPerSecond
                               ? " + bytes at " + rate_text(sweep.fit.bytes_per_s)
                               : " whatever their length";
  return fmt::format("{}{}, within {:.0f} %; {} in {}, bus {}{}{}", time_text(sweep.fit.alpha_s),
                     rate, 100 * sweep.fit.rms_error, bytes_text(sweep.points.back().bytes),
                     time_text(sweep.points.back().seconds), rate_text(sweep.bus_bytes_per_s),
                     sweep.cut_short ? "; longer ones were left out" : "",
                     alike > 1 ? fmt::format("; slowest of {} groups", alike) : "");
}

/// Why a link may be narrow.
const char* bandwidth_advice(const SweepFacts& sweep) {
  if (sweep.on_gpu())
    return "GPUs do not reach each other directly: check nvidia-smi topo -m and NCCL_DEBUG.";
  if (sweep.one_host) return "Shared memory should give more: is the host busy, or its clock low?";
  return "The network gives no more than Gigabit Ethernet: choose another (--mca "
         "btl_tcp_if_include, UCX_NET_DEVICES).";
}

void judge_sweep(Judgement& j, const SweepFacts& sweep) {
  const std::string what = fmt::format("{} of {}", sweep.collective, sweep.group);
  std::int64_t wrong = 0, wrong_bytes = 0;
  for (const SweepFacts::Point& point : sweep.points)
    if (wrong += point.wrong; point.wrong > 0 && wrong_bytes == 0) wrong_bytes = point.bytes;
  if (wrong > 0)
    return j.add(what, Verdict::kBroken,
                 fmt::format("{} elements were wrong, first in a message of {}", wrong,
                             bytes_text(wrong_bytes)),
                 "Data is damaged on its way, so captions would be wrong. Check memory, cards and "
                 "cables; try half of the hosts at a time.",
                 sweep.ranks);
  const bool tensor = is_tensor(sweep);
  // The slowest replica is reported for all of them.
  if (tensor && &sweep != slowest_group(j, sweep.collective)) return;
  const std::string found = sweep_text(sweep, tensor ? tensor_groups(j, sweep.collective) : 1);
  const double slow_bus = !sweep.one_host  ? kSlowNetworkBus
                          : sweep.on_gpu() ? kSlowGpuBus
                                           : kSlowHostBus;
  // The cores have a finding of their own.
  if (crowded(j, sweep.ranks))
    return j.add(what, Verdict::kOk, found + "; not judged: ranks share cores");
  if (sweep.fit.alpha_s > (tensor ? kSlowTensorAlpha : kSlowWorldAlpha))
    return j.add(what, Verdict::kSlow, found,
                 tensor ? "Every layer waits for two of these: keep a replica on one host, or make "
                          "--tensor-parallel smaller."
                        : "Messages may take a slow network: choose one (--mca btl_tcp_if_include, "
                          "UCX_NET_DEVICES), or look for a busy host.",
                 sweep.ranks);
  if (sweep.bus_bytes_per_s < slow_bus)
    return j.add(what, Verdict::kSlow, found, bandwidth_advice(sweep), sweep.ranks);
  j.add(what, Verdict::kOk, found);
}

void sweeps(Judgement& j) {
  for (const SweepFacts& sweep : j.facts.sweeps) judge_sweep(j, sweep);
  if (!j.facts.links_error.empty())
    j.add("links", Verdict::kBroken, j.facts.links_error,
          "Look at the rank that is named: its host, its network, its log.");
}

void pairs(Judgement& j) {
  for (const bool one_host : {true, false}) {
    std::vector<PairFacts> kind;
    std::ranges::copy_if(j.facts.pairs, std::back_inserter(kind),
                         [&](const PairFacts& pair) { return pair.one_host == one_host; });
    if (kind.empty()) continue;
    std::vector<double> latencies, bandwidths;
    for (const PairFacts& pair : kind) {
      latencies.push_back(pair.latency_s);
      bandwidths.push_back(pair.bytes_per_s);
    }
    const double latency = upper_median(latencies), bandwidth = upper_median(bandwidths);
    // How many times as bad as usual, by latency or by bandwidth.
    const auto badness = [&](const PairFacts& pair) {
      return std::max(pair.latency_s / latency, bandwidth / pair.bytes_per_s);
    };
    const PairFacts& worst = *std::ranges::max_element(kind, {}, badness);
    const std::string what = one_host ? "pairs within hosts" : "pairs between hosts";
    const std::string found =
        fmt::format("slowest {}: {} and {}; median of {}: {} and {}", j.named({worst.a, worst.b}),
                    time_text(worst.latency_s), rate_text(worst.bytes_per_s), kind.size(),
                    time_text(latency), rate_text(bandwidth));
    std::vector<int> all;
    for (const PairFacts& pair : kind) all.insert(all.end(), {pair.a, pair.b});
    const bool late =
        worst.latency_s > kPairFactor * latency && worst.latency_s > kPairLeastLatency;
    const bool narrow = worst.bytes_per_s * kPairFactor < bandwidth;
    if (crowded(j, all))
      j.add(what, Verdict::kOk, found + "; not judged: ranks share cores");
    else if (late || narrow)
      j.add(what, Verdict::kSlow, found,
            "The link or one of the two hosts is worse than the others: check cable, port, "
            "switch and load, or leave the host out.",
            {worst.a, worst.b});
    else
      j.add(what, Verdict::kOk, found);
  }
}

}  // namespace

void judge_links(Judgement& j) {
  clocks(j);
  sweeps(j);
  pairs(j);
}

}  // namespace retinue::runtime::doctor
