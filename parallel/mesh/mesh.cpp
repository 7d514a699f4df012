#include "parallel/mesh/mesh.h"

#include "parallel/base/check.h"

#include <fmt/format.h>

namespace retinue {

MeshShape mesh_shape(int ranks, int tensor) {
  if (ranks < 1)
    throw UsageError(fmt::format("[mesh] --ranks is {}, at least 1 is wanted.", ranks));
  if (tensor < 1)
    throw UsageError(fmt::format("[mesh] --tensor-parallel is {}, at least 1 is wanted.", tensor));
  if (ranks % tensor == 0) return {.data = ranks / tensor, .tensor = tensor};
  std::string divisors;
  for (int candidate = 1; candidate <= ranks; candidate *= 2)
    if (ranks % candidate == 0)
      divisors += fmt::format("{}{}", candidate > 1 ? ", " : "", candidate);
  throw UsageError(fmt::format(
      "[mesh] {} ranks cannot be cut into replicas of {}: {} would be left over. Use one of {} "
      "(--tensor-parallel) or start a multiple of {} ranks (--ranks).",
      ranks, tensor, ranks % tensor, divisors, tensor));
}

Mesh::Mesh(Communicator& world, MeshShape shape) : world_(world), shape_(shape) {
  if (shape.data < 1 || shape.tensor < 1 || shape.size() != world.size())
    throw BugError(fmt::format("[mesh] {} x {} ranks wanted, the world has {}", shape.data,
                               shape.tensor, world.size()));
  tensor_ = world.split(data_index(), tensor_index(), "tensor");
  data_ = world.split(tensor_index(), data_index(), is_leader() ? "leaders" : "data");
}

std::string Mesh::place() const { return fmt::format("dp{}.tp{}", data_index(), tensor_index()); }

Communicator& Mesh::leaders() const {
  check(is_leader(), "leaders() on a rank that is no leader");
  return *data_;
}

}  // namespace retinue
