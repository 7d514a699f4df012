#pragma once

#include "cuda_emulator/simt.h"

#include <bit>
#include <cstdint>
#include <cstring>
#include <type_traits>

/// Barriers, shuffles, votes and reductions of device code.

namespace cuda_emulator {

/// A lane's operand and result of a shuffle.
struct Shuffle {
  std::uint64_t value, result;
  int operand, width;
};

/// A lane's operand of a vote, a reduction or a match.
struct Vote {
  std::uint32_t value, result;
};

extern const WarpOperation kShuffleIndex, kShuffleUp, kShuffleDown, kShuffleXor;
extern const WarpOperation kSyncWarp, kBallot, kMatchAny;
extern const WarpOperation kReduceAdd, kReduceMinUnsigned, kReduceMaxUnsigned;
extern const WarpOperation kReduceMinSigned, kReduceMaxSigned, kReduceAnd, kReduceOr, kReduceXor;

std::uint32_t vote(const WarpOperation& operation, std::uint32_t mask, std::uint32_t value);

template <class T>
T shuffle(const WarpOperation& operation, std::uint32_t mask, T value, int operand, int width) {
  static_assert(sizeof(T) <= sizeof(std::uint64_t) && std::is_trivially_copyable_v<T>);
  Shuffle shuffle{0, 0, operand, width};
  std::memcpy(&shuffle.value, &value, sizeof(T));
  warp_rendezvous(operation, mask, &shuffle);
  std::memcpy(static_cast<void*>(&value), &shuffle.result, sizeof(T));
  return value;
}

}  // namespace cuda_emulator

inline void __syncthreads() {
  cuda_emulator::block_barrier(cuda_emulator::BlockReduction::kNone, 0);
}
inline int __syncthreads_count(int predicate) {
  return cuda_emulator::block_barrier(cuda_emulator::BlockReduction::kCount, predicate);
}
inline int __syncthreads_and(int predicate) {
  return cuda_emulator::block_barrier(cuda_emulator::BlockReduction::kAnd, predicate);
}
inline int __syncthreads_or(int predicate) {
  return cuda_emulator::block_barrier(cuda_emulator::BlockReduction::kOr, predicate);
}
inline void __syncwarp(unsigned mask = 0xFFFFFFFFu) {
  cuda_emulator::warp_rendezvous(cuda_emulator::kSyncWarp, mask, nullptr);
}

template <class T>
T __shfl_sync(unsigned mask, T value, int source, int width = warpSize) {
  return cuda_emulator::shuffle(cuda_emulator::kShuffleIndex, mask, value, source, width);
}
template <class T>
T __shfl_up_sync(unsigned mask, T value, unsigned delta, int width = warpSize) {
  return cuda_emulator::shuffle(cuda_emulator::kShuffleUp, mask, value, static_cast<int>(delta),
                                width);
}
template <class T>
T __shfl_down_sync(unsigned mask, T value, unsigned delta, int width = warpSize) {
  return cuda_emulator::shuffle(cuda_emulator::kShuffleDown, mask, value, static_cast<int>(delta),
                                width);
}
template <class T>
T __shfl_xor_sync(unsigned mask, T value, int lane_mask, int width = warpSize) {
  return cuda_emulator::shuffle(cuda_emulator::kShuffleXor, mask, value, lane_mask, width);
}

inline unsigned __ballot_sync(unsigned mask, int predicate) {
  return cuda_emulator::vote(cuda_emulator::kBallot, mask, predicate != 0 ? 1 : 0);
}
inline int __any_sync(unsigned mask, int predicate) { return __ballot_sync(mask, predicate) != 0; }
inline int __all_sync(unsigned mask, int predicate) {
  return __ballot_sync(mask, predicate) == mask;
}
inline unsigned __match_any_sync(unsigned mask, unsigned value) {
  return cuda_emulator::vote(cuda_emulator::kMatchAny, mask, value);
}
inline unsigned __activemask() {
  cuda_emulator::fail("__activemask() is not emulated: name the lanes");
}

inline unsigned __reduce_add_sync(unsigned mask, unsigned value) {
  return cuda_emulator::vote(cuda_emulator::kReduceAdd, mask, value);
}
inline int __reduce_add_sync(unsigned mask, int value) {
  return static_cast<int>(__reduce_add_sync(mask, static_cast<unsigned>(value)));
}
inline unsigned __reduce_min_sync(unsigned mask, unsigned value) {
  return cuda_emulator::vote(cuda_emulator::kReduceMinUnsigned, mask, value);
}
inline int __reduce_min_sync(unsigned mask, int value) {
  return static_cast<int>(
      cuda_emulator::vote(cuda_emulator::kReduceMinSigned, mask, static_cast<unsigned>(value)));
}
inline unsigned __reduce_max_sync(unsigned mask, unsigned value) {
  return cuda_emulator::vote(cuda_emulator::kReduceMaxUnsigned, mask, value);
}
inline int __reduce_max_sync(unsigned mask, int value) {
  return static_cast<int>(
      cuda_emulator::vote(cuda_emulator::kReduceMaxSigned, mask, static_cast<unsigned>(value)));
}
inline unsigned __reduce_and_sync(unsigned mask, unsigned value) {
  return cuda_emulator::vote(cuda_emulator::kReduceAnd, mask, value);
}
inline unsigned __reduce_or_sync(unsigned mask, unsigned value) {
  return cuda_emulator::vote(cuda_emulator::kReduceOr, mask, value);
}
inline unsigned __reduce_xor_sync(unsigned mask, unsigned value) {
  return cuda_emulator::vote(cuda_emulator::kReduceXor, mask, value);
}

inline void __threadfence() {}
inline void __threadfence_block() {}
inline void __threadfence_system() {}
inline void __nanosleep(unsigned) { cuda_emulator::yield_thread(); }
[[noreturn]] inline void __trap() { cuda_emulator::fail("__trap()"); }
