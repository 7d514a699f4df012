#pragma once

// Tested through tests/parallel/comm/communicator_conformance_test.cpp.

#include <cstdint>

namespace retinue {

/// Host memory over MPI. Communicators come from World (mpi_world.h) and from split(); they need
/// MPI_THREAD_MULTIPLE, and device memory never travels over them.
///
/// all_reduce has three ways, which all add in the order of reduce_tree.h, to the same bits:
///   shared   the ranks of one host, through a window (mpi_shared_reduce.h)
///   gather   every rank receives all partials and sums them: one exchange, for short messages
///   slices   every rank receives its slice of all partials, sums it, and sends it to all
enum class AllReducePath : std::uint8_t { kAuto, kGather, kSlices };

struct MpiOptions {
  /// kAuto: shared where all ranks of the group are on one host, else by size.
  AllReducePath all_reduce = AllReducePath::kAuto;
  /// Still works after abort() of another group: for watch.h, which sends the reason.
  bool survives_abort = false;
};

}  // namespace retinue
