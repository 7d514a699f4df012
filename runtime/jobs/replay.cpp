#include "runtime/jobs/replay.h"

#include <algorithm>

namespace retinue::runtime {

Replay plan_replay(const std::vector<std::size_t>& mine, const std::set<std::int64_t>& struck,
                   const std::set<std::int64_t>& suspects) {
  Replay replay;
  replay.order.reserve(mine.size());
  const auto among = [](const std::set<std::int64_t>& set, std::size_t item) {
    return set.contains(static_cast<std::int64_t>(item));
  };
  for (const std::size_t item : mine)
    if (among(struck, item)) {
      replay.order.push_back(item);
      replay.stops.push_back(replay.order.size());
    }
  const std::size_t group = std::max<std::size_t>(1, suspects.size() / 2);
  std::size_t taken = 0;
  for (const std::size_t item : mine)
    if (among(suspects, item) && !among(struck, item)) {
      replay.order.push_back(item);
      if (++taken % group == 0) replay.stops.push_back(replay.order.size());
    }
  if (taken % group != 0) replay.stops.push_back(replay.order.size());
  for (const std::size_t item : mine)
    if (!among(suspects, item) && !among(struck, item)) replay.order.push_back(item);
  return replay;
}

}  // namespace retinue::runtime
