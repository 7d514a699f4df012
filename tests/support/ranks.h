#pragma once

#include "parallel/comm/communicator.h"

#include <functional>
#include <ostream>
#include <string>
#include <vector>

namespace retinue::test {

/// A kind of group that a test of ranks runs on. The linked library decides which exist:
/// retinue_local_ranks (1, 2, 3, 4 and 8 threads), retinue_mpi_ranks (the processes of this mpirun;
/// every way to sum) or the two over NCCL.
struct RankGroup {
  std::string name;  ///< "local4", "mpi_slices"
  int size = 1;      ///< of local groups; over MPI the launch decides

  friend std::ostream& operator<<(std::ostream& out, const RankGroup& group) {
    return out << group.name;
  }
};
std::vector<RankGroup> rank_groups();

/// Runs `body` once per rank of a fresh group, on every rank at once. An exception fails the test
/// and wakes the other ranks.
void on_ranks(const RankGroup& group, const std::function<void(Communicator&)>& body);

}  // namespace retinue::test
