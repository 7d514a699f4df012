#include "parallel/device/topology.h"

#include "parallel/base/check.h"

#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <hwloc.h>
#include <iterator>
#include <map>
#include <memory>
#include <sched.h>
#include <set>

namespace retinue {

namespace {

struct Destroy {
  void operator()(hwloc_topology_t topology) const { hwloc_topology_destroy(topology); }
};
using Hwloc = std::unique_ptr<hwloc_topology, Destroy>;

Hwloc load(const std::string& synthetic) {
  const auto require = [](int code, const char* call) {
    if (code != 0)
      throw SystemError(fmt::format("[topology] hwloc cannot read this machine: {}: {}", call,
                                    std::strerror(errno)));
  };
  hwloc_topology_t topology = nullptr;
  require(hwloc_topology_init(&topology), "hwloc_topology_init");
  Hwloc owner(topology);
  require(hwloc_topology_set_flags(topology, HWLOC_TOPOLOGY_FLAG_INCLUDE_DISALLOWED),
          "hwloc_topology_set_flags");
  // Its x86 part would move this thread onto every CPU to ask each one what Linux says already.
  require(hwloc_topology_set_components(topology, HWLOC_TOPOLOGY_COMPONENTS_FLAG_BLACKLIST, "x86"),
          "hwloc_topology_set_components");
  if (!synthetic.empty())
    require(hwloc_topology_set_synthetic(topology, synthetic.c_str()),
            "hwloc_topology_set_synthetic");
  require(hwloc_topology_load(topology), "hwloc_topology_load");
  return owner;
}

using Cores = std::vector<const Core*>;

/// How many of `count` cores, and from which on, the `index`-th of `ranks` gets when they share
/// them evenly and none gets more than `most`.
struct Part {
  std::size_t first, count;
};
Part part_of(std::size_t count, std::size_t ranks, std::size_t index, std::size_t most) {
  const std::size_t each = std::min(most, count / ranks);
  if (each == most) return {index * each, each};
  const std::size_t more = count % ranks;  // the first ranks get one more
  return {index * each + std::min(index, more), each + (index < more ? 1 : 0)};
}

}  // namespace

std::string to_string(const CpuList& cpus) {
  std::string text;
  for (std::size_t i = 0; i < cpus.size();) {
    std::size_t last = i;
    while (last + 1 < cpus.size() && cpus[last + 1] == cpus[last] + 1) ++last;
    fmt::format_to(std::back_inserter(text), "{}{}", text.empty() ? "" : ",", cpus[i]);
    if (last > i) fmt::format_to(std::back_inserter(text), "-{}", cpus[last]);
    i = last + 1;
  }
  return text;
}

Topology read_topology(const std::string& synthetic) {
  const Hwloc machine = load(synthetic);
  // By its core, or by the CPU itself where hwloc knows no cores, as in some virtual machines.
  std::map<hwloc_obj_t, Core> by_object;
  for (hwloc_obj_t pu = nullptr;
       (pu = hwloc_get_next_obj_by_type(machine.get(), HWLOC_OBJ_PU, pu)) != nullptr;) {
    const hwloc_obj_t core = hwloc_get_ancestor_obj_by_type(machine.get(), HWLOC_OBJ_CORE, pu);
    Core& found = by_object[core != nullptr ? core : pu];
    found.cpus.push_back(static_cast<int>(pu->os_index));
    // Where a core has several nodes (HBM beside DRAM), the first one is DRAM.
    found.node = std::max(0, hwloc_bitmap_first(pu->nodeset));
  }
  Topology topology;
  for (auto& [object, core] : by_object) {
    std::sort(core.cpus.begin(), core.cpus.end());
    topology.cores.push_back(std::move(core));
  }
  std::sort(topology.cores.begin(), topology.cores.end(), [](const Core& a, const Core& b) {
    return std::pair(a.node, a.cpus[0]) < std::pair(b.node, b.cpus[0]);
  });
  return topology;
}

std::vector<const Core*> cores_within(const Topology& topology, const CpuList& allowed) {
  const std::set<int> usable(allowed.begin(), allowed.end());
  std::vector<const Core*> cores;
  for (const Core& core : topology.cores)
    if (std::any_of(core.cpus.begin(), core.cpus.end(),
                    [&](int cpu) { return usable.contains(cpu); }))
      cores.push_back(&core);
  return cores;
}

// Not by hwloc: to answer, it reads the configuration space of every PCI device, and a container
// may hide that. Linux has the answer in one file.
int numa_node_of(const std::string& pci_bus_id, const std::string& sysfs) {
  std::ifstream file(fmt::format("{}/bus/pci/devices/{}/numa_node", sysfs, pci_bus_id));
  int node = -1;
  return file >> node ? std::max(node, -1) : -1;
}

CpuList allowed_cpus() {
  cpu_set_t set;
  CPU_ZERO(&set);
  if (sched_getaffinity(0, sizeof(set), &set) != 0) return {};
  CpuList cpus;
  for (int cpu = 0; cpu < CPU_SETSIZE; ++cpu)
    if (CPU_ISSET(cpu, &set)) cpus.push_back(cpu);
  return cpus;
}

void bind_thread(const CpuList& cpus) {
  cpu_set_t set;
  CPU_ZERO(&set);
  for (const int cpu : cpus)
    if (cpu < CPU_SETSIZE) CPU_SET(cpu, &set);
  if (sched_setaffinity(0, sizeof(set), &set) != 0)
    throw SystemError(
        fmt::format("[binding] this rank cannot be bound to CPUs {}: {}. Did its control group "
                    "change while the job started?",
                    to_string(cpus), std::strerror(errno)));
}

CpuList share_of_cores(const Topology& topology, const CpuList& allowed,
                       std::span<const int> wanted_nodes, int local_rank) {
  const std::size_t ranks = wanted_nodes.size();
  check(local_rank >= 0 && static_cast<std::size_t>(local_rank) < ranks,
        "a rank of the host has a share");
  const std::set<int> usable(allowed.begin(), allowed.end());
  std::map<int, Cores> by_node;
  const Cores cores = cores_within(topology, allowed);
  for (const Core* core : cores) by_node[core->node].push_back(core);
  const std::size_t share = cores.size() / ranks;
  if (share == 0) return allowed;

  // First from the wanted node, then from what is left anywhere.
  std::vector<Cores> of_rank(ranks);
  std::map<int, std::vector<std::size_t>> wanting;
  for (std::size_t r = 0; r < ranks; ++r) wanting[wanted_nodes[r]].push_back(r);
  Cores left;
  for (const auto& [node, own] : by_node) {
    const auto found = wanting.find(node);
    const std::vector<std::size_t> here =
        found == wanting.end() ? std::vector<std::size_t>{} : found->second;
    std::size_t taken = 0;
    for (std::size_t i = 0; i < here.size(); ++i) {
      const Part part = part_of(own.size(), here.size(), i, share);
      for (std::size_t c = part.first; c < part.first + part.count; ++c)
        of_rank[here[i]].push_back(own[c]);
      taken += part.count;
    }
    left.insert(left.end(), own.begin() + static_cast<std::ptrdiff_t>(taken), own.end());
  }
  auto next = left.begin();
  for (Cores& mine : of_rank)
    while (mine.size() < share) mine.push_back(*next++);

  CpuList cpus;
  for (const Core* core : of_rank[static_cast<std::size_t>(local_rank)])
    for (const int cpu : core->cpus)
      if (usable.contains(cpu)) cpus.push_back(cpu);
  std::sort(cpus.begin(), cpus.end());
  return cpus;
}

}  // namespace retinue
