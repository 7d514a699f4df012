#pragma once
// Tested through tests/launcher/program_test.cpp.

#include "parallel/comm/mpi/mpi_world.h"

namespace retinue::launcher {

/// CPU threads of this rank without --threads: the CPUs that it may use, divided by the ranks of
/// its host that may use the same ones. A rank that mpirun or srun has bound has its CPUs alone.
/// Collective over the world.
int default_threads(World& world);

}  // namespace retinue::launcher
