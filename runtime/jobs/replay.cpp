#include "runtime/jobs/replay.h"

#include <algorithm>
#include <optional>
#include <utility>

namespace retinue::runtime {
namespace {

std::vector<std::size_t> share_of(const std::set<std::int64_t>& items, int index, int replicas) {
  std::vector<std::size_t> mine;
  int turn = 0;
  for (const std::int64_t item : items)
    if (turn++ % replicas == index) mine.push_back(static_cast<std::size_t>(item));
  return mine;
}

}  // namespace

Replay plan_replay(NextItem dealt, const std::set<std::int64_t>& struck,
                   const std::set<std::int64_t>& suspects, int index, int replicas) {
  if (struck.empty() && suspects.empty()) return {std::move(dealt), {}};
  Replay replay;
  std::vector<std::size_t> first;
  for (const std::size_t item : share_of(struck, index, replicas)) {
    first.push_back(item);
    replay.stops.push_back(first.size());
  }
  const std::size_t group = std::max<std::size_t>(1, suspects.size() / 2);
  std::size_t together = 0;
  for (const std::size_t item : share_of(suspects, index, replicas)) {
    first.push_back(item);
    if (++together == group) replay.stops.push_back(first.size()), together = 0;
  }
  if (together > 0) replay.stops.push_back(first.size());
  std::set<std::int64_t> apart = struck;
  apart.insert(suspects.begin(), suspects.end());
  replay.items = [first = std::move(first), at = std::size_t{0}, dealt = std::move(dealt),
                  apart = std::move(apart)]() mutable -> std::optional<std::size_t> {
    if (at < first.size()) return first[at++];
    auto next = dealt();
    while (next && apart.contains(static_cast<std::int64_t>(*next))) next = dealt();
    return next;
  };
  return replay;
}

}  // namespace retinue::runtime
