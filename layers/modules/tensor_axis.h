#pragma once

#include "layers/spec/config.h"
#include "parallel/comm/communicator.h"
#include "parallel/mesh/shard.h"

#include <cstdint>

namespace retinue::layers {

/// This rank's place on the tensor axis: its slice of a sharded dimension, and the communicator of
/// row-parallel sums. Without a communicator the axis is planned, not run.
struct TensorAxis {
  int rank = 0;
  int size = 1;
  Communicator* comm = nullptr;      ///< null: planning, or an axis of one
  int leaves = 1;                    ///< of every row-parallel sum, over all ranks
  Communicator* exchange = nullptr;  ///< of visual features; null: `comm`
  bool own_kernel = false;           ///< of row-parallel weights: see ops::PackedMatrix

  [[nodiscard]] Shard shard() const { return {rank, size}; }
  [[nodiscard]] std::int64_t per_rank(std::int64_t dim) const {
    return shard().slice(dim, "a sharded dimension").count;
  }
  [[nodiscard]] std::int64_t first(std::int64_t dim) const {
    return shard().slice(dim, "a sharded dimension").begin;
  }
  [[nodiscard]] int leaves_per_rank() const {
    return static_cast<int>(shard().leaf_slice(leaves).count);
  }
};

/// The ids of a rank: vocab / ranks, rounded up; the last rank has fewer where that leaves a rest.
/// check_tensor_size() makes sure that each rank has some.
inline Slice vocab_slice(std::int64_t vocab, int rank, int ranks) {
  const std::int64_t most = (vocab + ranks - 1) / ranks;
  const std::int64_t begin = most * rank;
  return {begin, most < vocab - begin ? most : vocab - begin};
}

///   leaves  of a row-parallel sum
/// Throws: UsageError when the model does not split over `tensor` ranks, naming the dimensions and
/// the sizes that fit.
void check_tensor_size(int tensor, const ModelConfig& config, int leaves);

}  // namespace retinue::layers
