#pragma once

#include <cstdint>

namespace retinue {

/// Host memory over MPI. Communicators come from World (mpi_world.h) and from split(); they need
/// MPI_THREAD_MULTIPLE, and device memory never travels over them.
///
/// all_reduce adds in the order of reduce_tree.h on every way, so the bits are the same:
///   shared   the ranks of one host, through a window (mpi_shared_reduce.h)
///   gather   every rank gets all partials and sums everything: one exchange, for short messages
///   slices   every rank gets its slice of all partials, sums it, and hands it to all
enum class AllReducePath : std::uint8_t { kAuto, kGather, kSlices };

struct MpiOptions {
  /// kAuto: shared where all ranks of the group are on one host, else by size.
  AllReducePath all_reduce = AllReducePath::kAuto;
  /// Goes on after abort() of another group: for watch.h, which tells why.
  bool survives_abort = false;
};

}  // namespace retinue
