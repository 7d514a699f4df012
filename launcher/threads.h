#pragma once

#include "parallel/comm/mpi/mpi_world.h"

namespace retinue::launcher {

/// CPU threads of this rank where --threads does not say: the CPUs that it may use over the ranks
/// of its host that may use the same. Ranks that mpirun or srun bound have theirs alone.
/// Collective over the world.
int default_threads(World& world);

}  // namespace retinue::launcher
