#include "runtime/failure/bisection.h"

#include <algorithm>

namespace retinue::runtime {
namespace {

std::vector<std::int64_t> share_of(const std::set<std::int64_t>& items, int index, int replicas) {
  std::vector<std::int64_t> mine;
  int turn = 0;
  for (const std::int64_t item : items)
    if (turn++ % replicas == index) mine.push_back(item);
  return mine;
}

}  // namespace

Replay plan_replay(const std::set<std::int64_t>& struck, const std::set<std::int64_t>& suspects,
                   int index, int replicas) {
  Replay replay;
  for (const std::int64_t item : share_of(struck, index, replicas)) {
    replay.items.push_back(item);
    replay.stops.push_back(replay.items.size());
  }
  const std::size_t group = std::max<std::size_t>(1, suspects.size() / 2);
  std::size_t together = 0;
  for (const std::int64_t item : share_of(suspects, index, replicas)) {
    replay.items.push_back(item);
    if (++together == group) replay.stops.push_back(replay.items.size()), together = 0;
  }
  if (together > 0) replay.stops.push_back(replay.items.size());
  return replay;
}

}  // namespace retinue::runtime
