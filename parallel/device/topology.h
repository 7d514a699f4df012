#pragma once

#include <span>
#include <string>
#include <vector>

namespace retinue {

/// Logical CPUs by their numbers, rising.
using CpuList = std::vector<int>;

/// "0-3,8", as Linux writes it.
std::string to_string(const CpuList& cpus);

/// The CPUs that share a core, and the NUMA node whose memory is nearest.
struct Core {
  CpuList cpus;
  int node = 0;
};

/// The cores of this machine, node by node, in each by their first CPU.
struct Topology {
  std::vector<Core> cores;
};

/// Every core of this machine, allowed or not, by hwloc. Where only CPUs are known, there is one
/// node, and a core per CPU. `synthetic`, for tests: hwloc's description of another machine, as
/// "numa:2 core:4 pu:2".
/// Throws: SystemError when hwloc cannot read the machine.
Topology read_topology(const std::string& synthetic = {});
/// The cores of which `allowed` holds at least one CPU, in the order of the topology.
std::vector<const Core*> cores_within(const Topology& topology, const CpuList& allowed);
/// The node that a PCI device ("0000:c1:00.0") is attached to; -1: unknown.
int numa_node_of(const std::string& pci_bus_id, const std::string& sysfs = "/sys");

/// The CPUs that this thread may run on, within the bounds of a control group and a launcher.
CpuList allowed_cpus();
/// From now on this thread, and every thread that it starts, runs on `cpus` alone.
/// Throws: SystemError when the system refuses.
void bind_thread(const CpuList& cpus);

/// The CPUs of rank `local_rank` of a host's ranks. Each rank gets whole cores, as many as every
/// other rank, and no core goes to two ranks. The ranks that want a node share it evenly; a rank
/// that gets too little there is filled up from other nodes.
///   allowed       CPUs that may be used; the same for all ranks of the host
///   wanted_nodes  one entry per rank of the host: the node of its GPU; -1: any
/// All of `allowed` where there are fewer cores than ranks.
CpuList share_of_cores(const Topology& topology, const CpuList& allowed,
                       std::span<const int> wanted_nodes, int local_rank);

}  // namespace retinue
