#pragma once

#include "parallel/comm/communicator.h"

#include <memory>
#include <string>

namespace retinue {

/// The number of replicas, and of ranks that share one.
struct MeshShape {
  int data = 1;
  int tensor = 1;

  [[nodiscard]] int size() const { return data * tensor; }
  friend bool operator==(MeshShape, MeshShape) = default;
};

/// Cuts `ranks` into replicas of `tensor` ranks. Every rank computes the same, before any
/// collective. The model checks by itself whether `tensor` divides its heads and leaves.
/// Throws: UsageError when they do not divide.
MeshShape mesh_shape(int ranks, int tensor);

/// True where no tensor group spans two hosts of `ranks_per_node` ranks each. A group that spans
/// hosts sends every layer's all-reduces over the network; `retinue check` warns of it.
constexpr bool tensor_stays_on_node(MeshShape shape, int ranks_per_node) {
  return shape.tensor <= ranks_per_node && ranks_per_node % shape.tensor == 0;
}

/// world → data × tensor, packed: world rank = data_index · tensor + tensor_index, so that the
/// ranks of a replica are neighbours on one node. Rank 0 of a replica is its leader; world rank 0
/// is the coordinator.
class Mesh {
 public:
  /// Collective over `world`, which outlives the mesh. Throws: BugError when the sizes differ.
  Mesh(Communicator& world, MeshShape shape);

  [[nodiscard]] MeshShape shape() const { return shape_; }
  [[nodiscard]] int data_index() const { return world_.rank() / shape_.tensor; }
  [[nodiscard]] int tensor_index() const { return world_.rank() % shape_.tensor; }
  [[nodiscard]] bool is_leader() const { return tensor_index() == 0; }
  [[nodiscard]] bool is_coordinator() const { return world_.rank() == 0; }
  /// "dp1.tp0": the rank's name in log lines.
  [[nodiscard]] std::string place() const;

  [[nodiscard]] Communicator& world() const { return world_; }
  /// The ranks of this replica; rank = tensor_index().
  [[nodiscard]] Communicator& tensor() const { return *tensor_; }
  /// The ranks with this tensor_index, one of each replica; rank = data_index().
  [[nodiscard]] Communicator& data() const { return *data_; }
  /// The leaders of all replicas, coordinator first: data() of tensor_index 0.
  /// Throws: BugError on a rank that is no leader.
  [[nodiscard]] Communicator& leaders() const;

 private:
  Communicator& world_;
  MeshShape shape_;
  std::unique_ptr<Communicator> tensor_;
  std::unique_ptr<Communicator> data_;
};

}  // namespace retinue
