#include "launcher/binding.h"

#include "parallel/base/build_config.h"
#include "parallel/comm/gather_values.h"
#include "parallel/device/choose_device.h"
#include "parallel/device/cuda/runtime.h"
#include "parallel/device/topology.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstdint>

namespace retinue::launcher {
namespace {

constexpr std::size_t kMostCpus = 8192;

/// The message of a rank to the others.
struct Place {
  std::array<char, 256> host{};
  std::array<char, 32> pci_bus_id{};
  std::int32_t device = -1, devices = 0, node = -1;
  std::array<char, kMostCpus / 8> cpus{};

  void set_cpus(const CpuList& list) {
    cpus.fill(0);
    for (const int cpu : list)
      if (const auto at = static_cast<std::size_t>(cpu); at < kMostCpus)
        cpus[at / 8] = static_cast<char>(cpus[at / 8] | 1 << at % 8);
  }
  [[nodiscard]] CpuList cpu_list() const {
    CpuList list;
    for (std::size_t at = 0; at < kMostCpus; ++at)
      if ((cpus[at / 8] >> at % 8 & 1) != 0) list.push_back(static_cast<int>(at));
    return list;
  }
};

std::string line_of(int rank, const Place& place) {
  std::string line = fmt::format("rank {} on {}: ", rank, place.host.data());
  line += place.device < 0 ? std::string("cpu")
                           : fmt::format("cuda:{} ({})", place.device, place.pci_bus_id.data());
  if (place.node >= 0) line += fmt::format(", node {}", place.node);
  return line + fmt::format(", CPUs {}", to_string(place.cpu_list()));
}

}  // namespace

std::vector<std::string> bind_ranks(World& world, bool cuda, const std::string& sysfs,
                                    const std::string& synthetic) {
  Place own;
  world.host().copy(own.host.data(), own.host.size() - 1);
  if constexpr (build::kCuda)
    if (cuda && cuda::availability().devices > 0) {
      own.device = gpu_of_rank(world.node_rank()).index;
      const std::string bus_id = cuda::pci_bus_id(own.device);
      bus_id.copy(own.pci_bus_id.data(), own.pci_bus_id.size() - 1);
      own.node = numa_node_of(bus_id, sysfs);
    }
  own.set_cpus(allowed_cpus());
  std::vector<Place> places = gather_values(world.comm(), own);

  // The ranks of this host, in the order of the world, which is also that of node_rank.
  std::vector<int> nodes;
  std::size_t mine = 0;
  bool alike = true;
  for (std::size_t r = 0; r < places.size(); ++r) {
    if (places[r].host != own.host) continue;
    if (r == static_cast<std::size_t>(world.rank())) mine = nodes.size();
    nodes.push_back(places[r].node);
    alike = alike && places[r].cpus == own.cpus;
  }
  if (cuda && alike) {
    const CpuList share =
        share_of_cores(read_topology(synthetic), own.cpu_list(), nodes, static_cast<int>(mine));
    bind_thread(share);
    own.set_cpus(share);
  }
  places = gather_values(world.comm(), own);
  std::vector<std::string> lines;
  for (std::size_t r = 0; r < places.size(); ++r)
    lines.push_back(line_of(static_cast<int>(r), places[r]));
  return lines;
}

}  // namespace retinue::launcher
