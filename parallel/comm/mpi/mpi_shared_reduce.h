#pragma once

#include "parallel/comm/poll.h"

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace retinue {

/// Ordered all-reduce of the ranks of one host, through memory that all of them map. Each rank sums
/// its slice of every block in the order of reduce_tree.h, and blocks are pipelined. Knows no MPI:
/// mpi_communicator.cpp makes the window, and a test maps memory for threads.
class SharedReduce {
 public:
  /// Lengths of blocks. Bits do not depend on them.
  struct Blocks {
    std::int64_t block = 128 * 1024;        ///< elements per block of a long message
    std::int64_t short_message = 8 * 1024;  ///< up to here every rank sums everything itself
  };

  static std::size_t bytes_needed(int size, const Blocks& blocks);

  /// `memory`: bytes_needed(), zeroed, 64-byte aligned, mapped by all ranks; outlives this.
  SharedReduce(std::byte* memory, int rank, int size, const Blocks& blocks);

  /// x := sum of every rank's x. All ranks enter, with as many elements.
  /// Throws: SystemError when a peer does not arrive (poll.h); the memory is then unusable.
  void all_reduce(std::span<float> x, const PollPolicy& policy, const BrokenFlag& broken,
                  std::string_view who);

 private:
  void sum_short(std::span<float> x, Poll poll);
  void sum_long(std::span<float> x, Poll poll);
  void barrier(Poll poll);

  [[nodiscard]] float* short_area(int turn, int rank) const;
  [[nodiscard]] float* partial(std::int64_t block, int rank) const;
  [[nodiscard]] float* result(std::int64_t block) const;

  std::byte* memory_;
  int rank_;
  int size_;
  Blocks blocks_;
  std::uint64_t epoch_ = 0;  ///< barriers passed
  int turn_ = 0;             ///< which short area is next
  std::vector<const float*> parts_;
};

}  // namespace retinue
