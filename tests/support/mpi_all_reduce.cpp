#include "tests/support/mpi_all_reduce.h"

#include <mpi.h>

namespace retinue::test {

void mpi_all_reduce(float* x, std::int64_t count) {
  MPI_Allreduce(MPI_IN_PLACE, x, static_cast<int>(count), MPI_FLOAT, MPI_SUM, MPI_COMM_WORLD);
}

}  // namespace retinue::test
