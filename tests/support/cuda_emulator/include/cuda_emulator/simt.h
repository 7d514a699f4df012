#pragma once

#include "cuda_emulator/vector_types.h"

#include <cstddef>
#include <cstdint>

/// A thread's place in the launch. __thread and not thread_local, which would wrap each access.
extern __thread uint3 threadIdx;
extern __thread uint3 blockIdx;
extern __thread dim3 blockDim;
extern __thread dim3 gridDim;
inline constexpr int warpSize = 32;

namespace cuda_emulator {

/// An operation that lanes of a warp do together. Each lane has operands; the last lane to arrive
/// completes the operation for all lanes of the mask. operands[i] is null where lane i is not in
/// the mask.
struct WarpOperation {
  const char* name;
  void (*complete)(std::uint32_t mask, void* const* operands);
  bool needs_every_lane;  // also lanes that the block's last warp lacks
};

/// Returns when all lanes of `mask` have reached the same operation with the same mask, and it is
/// complete.
void warp_rendezvous(const WarpOperation& operation, std::uint32_t mask, void* operands);

enum class BlockReduction { kNone, kCount, kAnd, kOr };

/// Returns the reduction of the predicates when all threads of the block have arrived.
int block_barrier(BlockReduction reduction, int predicate);

/// Lets other threads of the block run, so that a loop that waits for them can end.
void yield_thread();

/// The block's dynamic shared memory; ends the program where the launch requested none.
void* dynamic_shared_memory();

/// Asynchronous copies of the running thread. Until it lands, a copy's destination holds NaN.
void start_copy(void* to, const void* from, bool valid);
void close_copy_group();
void land_copies(int pending_groups);

std::uint32_t lane_index();

/// Ends the program with a message that names kernel, block and thread, where there is one.
[[noreturn]] void fail(const char* format, ...) __attribute__((format(printf, 1, 2)));

/// Ends the program unless `pointer` is a multiple of `bytes`.
void require_aligned(const void* pointer, std::size_t bytes, const char* what);

}  // namespace cuda_emulator
