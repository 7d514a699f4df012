#pragma once

#include "parallel/comm/mpi/mpi_world.h"

#include <string>
#include <vector>

namespace retinue::launcher {

/// Before any thread of this rank is started, with ranks that compute on GPUs: binds it to its
/// share of the host's cores, near its GPU (parallel/device/topology.h). The GPU is that of its
/// number among the ranks of the host. Leaves alone what mpirun or srun have bound: ranks of a host
/// that may use different CPUs; and ranks on CPUs, which are theirs to place. Returns a line per
/// rank of the world, on every rank:
///   "rank 3 on host: cuda:3 (0000:c1:00.0), node 1, CPUs 24-31"
/// Collective over the world. Tests describe another machine by `sysfs` (numa_node_of) and
/// `synthetic` (read_topology).
std::vector<std::string> bind_ranks(World& world, bool cuda, const std::string& sysfs = "/sys",
                                    const std::string& synthetic = {});

}  // namespace retinue::launcher
