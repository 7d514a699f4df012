#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace retinue {

/// Logical CPUs by their numbers, rising.
using CpuList = std::vector<int>;

/// "0-3,8" as in sysfs, and back. Text that is no such list ends where it stops being one.
CpuList parse_cpu_list(std::string_view text);
std::string to_string(const CpuList& cpus);

/// What shares a core, and the NUMA node whose memory is nearest.
struct Core {
  CpuList cpus;
  int node = 0;
};

/// The cores of this machine, node by node, in each by their first CPU.
struct Topology {
  std::vector<Core> cores;
};

/// From `sysfs`/devices/system; a machine that does not tell has one node, and a core per CPU.
Topology read_topology(const std::string& sysfs = "/sys");
/// The node that a PCI device ("0000:c1:00.0") is attached to; -1: not told.
int numa_node_of(const std::string& pci_bus_id, const std::string& sysfs = "/sys");

/// The CPUs that this thread may run on: a control group's and a launcher's bounds included.
CpuList allowed_cpus();
/// From now on this thread, and those that it starts, run on `cpus` alone.
/// Throws: SystemError when that is refused.
void bind_thread(const CpuList& cpus);

/// The CPUs of rank `local_rank` of those that share a host. Ranks get whole cores, equally many
/// each and none twice, of what all of them may use; first of the node that each wants, which its
/// ranks share evenly.
///   allowed       the same for all of them
///   wanted_nodes  one entry per rank of the host: the node of its GPU; -1: any
/// All of `allowed` where there are fewer cores than ranks.
CpuList share_of_cores(const Topology& topology, const CpuList& allowed,
                       std::span<const int> wanted_nodes, int local_rank);

}  // namespace retinue
