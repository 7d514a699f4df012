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

Bisection plan_bisection(const std::set<std::int64_t>& attributed,
                         const std::set<std::int64_t>& suspects, int index, int replicas) {
  Bisection bisection;
  for (const std::int64_t item : share_of(attributed, index, replicas)) {
    bisection.items.push_back(item);
    bisection.stops.push_back(bisection.items.size());
  }
  const std::size_t group = std::max<std::size_t>(1, suspects.size() / 2);
  std::size_t together = 0;
  for (const std::int64_t item : share_of(suspects, index, replicas)) {
    bisection.items.push_back(item);
    if (++together == group) bisection.stops.push_back(bisection.items.size()), together = 0;
  }
  if (together > 0) bisection.stops.push_back(bisection.items.size());
  return bisection;
}

}  // namespace retinue::runtime
