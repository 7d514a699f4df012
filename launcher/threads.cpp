#include "launcher/threads.h"

#include "launcher/environment.h"
#include "parallel/comm/gather_values.h"

#include <algorithm>
#include <array>
#include <cstdint>
#include <sched.h>
#include <vector>

namespace retinue::launcher {
namespace {

/// A rank's host and CPUs, as it reports them.
struct Place {
  std::array<char, 256> host{};
  cpu_set_t cpus{};
};

}  // namespace

int default_threads(World& world) {
  Place own;
  world.host().copy(own.host.data(), own.host.size() - 1);
  CPU_ZERO(&own.cpus);
  sched_getaffinity(0, sizeof(own.cpus), &own.cpus);

  const std::vector<Place> places = gather_values(world.comm(), own);
  const auto sharing = std::count_if(places.begin(), places.end(), [&](const Place& place) {
    return place.host == own.host && CPU_EQUAL(&place.cpus, &own.cpus) != 0;
  });
  return std::max(1, usable_cores().logical / static_cast<int>(sharing));
}

}  // namespace retinue::launcher
