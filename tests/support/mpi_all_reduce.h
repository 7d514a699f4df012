#pragma once

#include <cstdint>

namespace retinue::test {

/// MPI's own all-reduce over the world, in place, f32, for comparison in the benchmark.
void mpi_all_reduce(float* x, std::int64_t count);

}  // namespace retinue::test
