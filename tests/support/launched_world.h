#pragma once

#include "parallel/comm/mpi/mpi_world.h"

namespace retinue::test {

/// The world of tests that mpirun starts. It exists while their main, which defines it, runs.
World& launched_world();

}  // namespace retinue::test
