#include "parallel/base/statistics.h"
#include "runtime/doctor/judgement.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>
#include <string>
#include <vector>

namespace retinue::runtime::doctor {
namespace {

void disk(Judgement& j) {
  const auto room = [](const RankFacts& one) {
    std::int64_t least = one.disk_free_bytes;
    if (one.temporary_free_bytes >= 0) least = std::min(least, one.temporary_free_bytes);
    return least;
  };
  const auto below = [&](std::int64_t least) {
    return j.which([&](const RankFacts& one) { return room(one) >= 0 && room(one) < least; });
  };
  const std::string advice =
      "Free some space in the current folder and in the folder for temporary files, or use others.";
  if (const auto full = below(kLeastDiskBytes); !full.empty())
    return j.add("disk", Verdict::kBroken,
                 fmt::format("{}: {} free", j.named(full), bytes_text(room(j.of(full[0])))), advice,
                 full);
  if (const auto little = below(kUsualDiskBytes); !little.empty())
    return j.add("disk", Verdict::kSlow,
                 fmt::format("{}: {} free", j.named(little), bytes_text(room(j.of(little[0])))),
                 advice, little);
  j.add("disk", Verdict::kOk, fmt::format("{} free", bytes_text(room(j.facts.ranks[0]))));
}

void reading(Judgement& j) {
  const auto failed = j.which(
      [](const RankFacts& one) { return !one.read.error.empty() && one.model_error.empty(); });
  if (!failed.empty())
    return j.add("reading weights", Verdict::kBroken,
                 fmt::format("{}: {}", j.named(failed), j.of(failed[0]).read.error),
                 "Copy the model folder again, or check the disk.", failed);
  const auto read = j.which([](const RankFacts& one) { return one.read.bytes > 0; });
  if (read.empty()) return;
  double together = 0;
  std::vector<double> rates;
  std::set<std::string> ways;
  for (const int rank : read) {
    rates.push_back(j.of(rank).read.bytes_per_s());
    together += rates.back();
    ways.insert(j.of(rank).read.how);
  }
  std::string how;
  for (const std::string& way : ways) how += (how.empty() ? "" : ", ") + way;
  const double usual = upper_median(rates);
  const double load_s = static_cast<double>(j.of(read[0]).weights_bytes) / together;
  const std::string found =
      fmt::format("{} per rank, {} together ({}): all weights in {}", rate_text(usual),
                  rate_text(together), how, time_text(load_s));
  const auto behind = j.which([&](const RankFacts& one) {
    return one.read.bytes > 0 && one.read.bytes_per_s() * kReadFactor < usual;
  });
  // Reading a small model takes too little time to judge a disk.
  if (!behind.empty() && load_s > 1)
    return j.add("reading weights", Verdict::kSlow,
                 fmt::format("{}: {}; others {}", j.named(behind),
                             rate_text(j.of(behind[0]).read.bytes_per_s()), found),
                 "All ranks wait for the slowest: check the mount and the disk of this host.",
                 behind);
  if (load_s > kSlowLoadSeconds)
    return j.add("reading weights", Verdict::kSlow, found,
                 "Put the model on a faster file system, or on local disks.");
  j.add("reading weights", Verdict::kOk, found);
}

}  // namespace

void judge_storage(Judgement& j) {
  disk(j);
  reading(j);
}

}  // namespace retinue::runtime::doctor
