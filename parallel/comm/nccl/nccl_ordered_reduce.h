#pragma once

// Tested through tests/parallel/comm/nccl/nccl_communicator_test.cpp.

#include <cstdint>

namespace retinue::cuda {

/// One f32 partial per rank on one device. The partial of rank r is at scratch + r · stride, except
/// this rank's, which is at `own`.
struct OrderedParts {
  const float* scratch = nullptr;
  std::int64_t stride = 0;
  const float* own = nullptr;
  int rank = 0;
  int ranks = 1;
};

/// Enqueues out[i] := Σ_r part_r[i] for i < count, added in the order of reduce_tree.h; out may be
/// one of the parts. 2 <= ranks <= 64.
///   stream  a cudaStream_t of the calling thread's current device
/// Numerics: f32 adds only; the bits do not depend on how the elements are cut into calls.
/// Throws: SystemError when the launch is refused.
void ordered_sum(void* stream, const OrderedParts& parts, std::int64_t count, float* out);

}  // namespace retinue::cuda
