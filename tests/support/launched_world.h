#pragma once

#include "parallel/comm/mpi/mpi_world.h"

namespace retinue::test {

/// The world of tests that mpirun starts: defined beside their main, from its start to its end.
World& launched_world();

}  // namespace retinue::test
