// Implements ranks.h with the processes of this mpirun: one group per way to sum.
#include "tests/support/launched_world.h"
#include "tests/support/ranks.h"

#include <cstdio>

namespace retinue::test {

std::vector<RankGroup> rank_groups() { return {{"mpi_auto"}, {"mpi_gather"}, {"mpi_slices"}}; }

void on_ranks(const RankGroup& group, const std::function<void(Communicator&)>& body) {
  MpiOptions options;
  if (group.name == "mpi_gather") options.all_reduce = AllReducePath::kGather;
  if (group.name == "mpi_slices") options.all_reduce = AllReducePath::kSlices;
  try {
    body(*launched_world().duplicate("world", options));
  } catch (const std::exception& error) {
    // Other ranks may wait for this one, so later tests would give no valid result.
    std::fprintf(stderr, "rank %d: %s\n", launched_world().rank(), error.what());
    launched_world().abort(1);
  }
}

}  // namespace retinue::test
