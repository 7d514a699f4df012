#pragma once

#include "parallel/comm/mpi/mpi_world.h"

#include <string>
#include <vector>

namespace retinue::launcher {

/// Binds a rank that computes on a GPU to its share of the host's cores, near its GPU
/// (parallel/device/topology.h). Call it before the rank starts any thread. It leaves alone ranks
/// on CPUs, and ranks that mpirun or srun have bound: those of a host may use different CPUs.
/// Returns a line per rank of the world, on every rank:
///   "rank 3 on host: cuda:3 (0000:c1:00.0), node 1, CPUs 24-31"
/// Collective over the world. Tests describe another machine by `sysfs` (numa_node_of) and
/// `synthetic` (read_topology).
std::vector<std::string> bind_ranks(World& world, bool cuda, const std::string& sysfs = "/sys",
                                    const std::string& synthetic = {});

}  // namespace retinue::launcher
