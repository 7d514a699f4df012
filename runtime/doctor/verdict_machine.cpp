#include "parallel/comm/shared_memory.h"
#include "runtime/doctor/judgement.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <string>
#include <vector>

namespace retinue::runtime::doctor {
namespace {

void cores(Judgement& j) {
  std::vector<int> crowded, spread;
  std::string worst;
  for (const auto& [host, some] : j.hosts()) {
    // Ranks with equal sets of CPUs share these; other ranks share nothing.
    std::map<std::string, std::vector<const RankFacts*>> sets;
    for (const RankFacts* one : some) sets[one->cpus].push_back(one);
    for (const auto& [cpus, sharing] : sets) {
      if (static_cast<int>(sharing.size()) <= sharing[0]->cores) continue;
      for (const RankFacts* one : sharing) crowded.push_back(one->rank);
      worst = fmt::format("{} ranks on the {} core(s) {} of {}", sharing.size(), sharing[0]->cores,
                          cpus, host);
    }
    for (const RankFacts* one : some)
      if (some.size() > 1 && one->nodes.find_first_of(",-") != one->nodes.npos)
        spread.push_back(one->rank);
  }
  if (!crowded.empty())
    return j.add("cores", Verdict::kSlow, worst,
                 "Ranks take turns, and every collective waits for the last: start fewer ranks, or "
                 "bind them to cores of their own.",
                 crowded);
  if (!spread.empty())
    return j.add("cores", Verdict::kSlow,
                 fmt::format("{} may run on NUMA nodes {}", j.named(spread), j.of(spread[0]).nodes),
                 "Threads would use memory of the other node: bind each rank to one node "
                 "(mpirun --map-by numa --bind-to numa).",
                 spread);
  const RankFacts& first = j.facts.ranks[0];
  j.add("cores", Verdict::kOk,
        fmt::format("{} core(s), {} thread(s) per rank, NUMA node(s) {}", first.cores,
                    first.threads, first.nodes));
}

std::string limit_text(std::int64_t limit) {
  if (limit == -1) return "unlimited";
  return limit < 0 ? "not known" : std::to_string(limit);
}

/// The ranks whose `limit` is known and below `least`.
std::vector<int> below(const Judgement& j, std::int64_t RankFacts::*limit, std::int64_t least) {
  return j.which([=](const RankFacts& one) { return one.*limit >= 0 && one.*limit < least; });
}

void open_files(Judgement& j) {
  const auto few = below(j, &RankFacts::open_files, kUsualOpenFiles);
  if (few.empty())
    return j.add("open files", Verdict::kOk, limit_text(j.facts.ranks[0].open_files));
  if (const auto fewest = below(j, &RankFacts::open_files, kLeastOpenFiles); !fewest.empty())
    return j.add(
        "open files", Verdict::kBroken,
        fmt::format("{} may open {}", j.named(fewest), j.of(fewest[0]).open_files),
        fmt::format("Raise the limit to {} or more (ulimit -n, LimitNOFILE).", kUsualOpenFiles),
        fewest);
  j.add("open files", Verdict::kSlow,
        fmt::format("{} may open {}", j.named(few), j.of(few[0]).open_files),
        fmt::format("Many archives or ranks may need more: raise the limit to {} (ulimit -n).",
                    kUsualOpenFiles),
        few);
}

void locked_memory(Judgement& j) {
  const auto locked = below(j, &RankFacts::locked_bytes, kUsualLockedBytes);
  const std::int64_t first = j.facts.ranks[0].locked_bytes;
  // Network cards and GPUs lock memory; shared memory does not.
  if (locked.empty() || (!j.on_gpus() && j.hosts().size() < 2))
    return j.add("locked memory", Verdict::kOk, first < 0 ? limit_text(first) : bytes_text(first));
  j.add("locked memory", Verdict::kSlow,
        fmt::format("{} may lock {}", j.named(locked), bytes_text(j.of(locked[0]).locked_bytes)),
        "InfiniBand and pinned copies need more: ulimit -l unlimited, or LimitMEMLOCK in the unit "
        "of the launcher's daemon.",
        locked);
}

void address_space(Judgement& j) {
  const auto bounded = j.which([](const RankFacts& one) { return one.address_bytes >= 0; });
  if (bounded.empty()) return;
  j.add("address space", Verdict::kSlow,
        fmt::format("{} may map {}", j.named(bounded), bytes_text(j.of(bounded[0]).address_bytes)),
        "Weights, GPUs and libraries reserve more than they use: ulimit -v unlimited.", bounded);
}

void core_files(Judgement& j) {
  const auto writing = j.which([](const RankFacts& one) { return one.core_bytes != 0; });
  if (writing.empty()) return j.add("core files", Verdict::kOk, "none are written");
  j.add("core files", Verdict::kOk,
        fmt::format("a crash may write one as large as the rank: {}",
                    j.facts.ranks.size() == writing.size() ? "on all ranks" : j.named(writing)));
}

void shared_memory(Judgement& j) {
  std::vector<int> small;
  std::string worst;
  for (const auto& [host, some] : j.hosts()) {
    const std::int64_t wanted = kSharedBytesPerRank * some[0]->node_size;
    if (some.size() < 2 || some[0]->shm_free_bytes < 0 || some[0]->shm_free_bytes >= wanted)
      continue;
    for (const RankFacts* one : some) small.push_back(one->rank);
    worst =
        fmt::format("{} has {} free of {}, wanted {}", host, bytes_text(some[0]->shm_free_bytes),
                    bytes_text(some[0]->shm_bytes), bytes_text(wanted));
  }
  if (!small.empty())
    return j.add("shared memory", Verdict::kBroken, worst, std::string(kSharedMemoryAdvice), small);
  if (j.facts.ranks[0].shm_bytes >= 0)
    j.add("shared memory", Verdict::kOk,
          fmt::format("{} free of {}", bytes_text(j.facts.ranks[0].shm_free_bytes),
                      bytes_text(j.facts.ranks[0].shm_bytes)));
}

void memory(Judgement& j) {
  std::vector<int> short_of;
  std::string worst;
  for (const auto& [host, some] : j.hosts()) {
    // Ranks on CPUs hold their shares of the weights in the host's memory.
    std::int64_t weights = 0;
    for (const RankFacts* one : some)
      if (!one->on_gpu() && one->weights_bytes > 0) weights += one->weights_bytes / j.facts.tensor;
    const std::int64_t wanted = std::max<std::int64_t>(weights, std::int64_t{1} << 30);
    if (some[0]->memory_free_bytes < 0 || some[0]->memory_free_bytes >= wanted) continue;
    for (const RankFacts* one : some) short_of.push_back(one->rank);
    worst = fmt::format("{} has {} free, its ranks want {} for weights alone", host,
                        bytes_text(some[0]->memory_free_bytes), bytes_text(weights));
    if (weights < wanted)
      worst = fmt::format("{} has {} free", host, bytes_text(some[0]->memory_free_bytes));
  }
  if (!short_of.empty())
    return j.add("memory", Verdict::kBroken, worst,
                 "Start fewer ranks per host, split the weights over more ranks "
                 "(--tensor-parallel), or raise the "
                 "container's limit.",
                 short_of);
  std::int64_t least = j.facts.ranks[0].memory_free_bytes;
  for (const RankFacts& one : j.facts.ranks) least = std::min(least, one.memory_free_bytes);
  j.add("memory", Verdict::kOk, fmt::format("at least {} free per host", bytes_text(least)));
}

}  // namespace

void judge_machine(Judgement& j) {
  cores(j);
  open_files(j);
  locked_memory(j);
  address_space(j);
  core_files(j);
  shared_memory(j);
  memory(j);
}

}  // namespace retinue::runtime::doctor
