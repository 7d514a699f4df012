#include "parallel/mesh/shard.h"

#include "parallel/base/check.h"

#include <fmt/format.h>

#include <string>

namespace retinue {
namespace {

// "1, 2, 4 or 8": the powers of two up to the widest sum that divide `dim`.
std::string tensor_sizes_for(std::int64_t dim) {
  std::string sizes = "1";
  for (int size = 2; size <= kMaxLeaves && dim % size == 0; size *= 2)
    sizes += fmt::format("{}{}", size == kMaxLeaves || dim % (2 * size) != 0 ? " or " : ", ", size);
  return sizes;
}

void check_shard(const Shard& shard) {
  check(shard.count >= 1 && shard.index >= 0 && shard.index < shard.count,
        "a shard's index is outside its count");
}

}  // namespace

Slice Shard::slice(std::int64_t dim, std::string_view what) const {
  check_shard(*this);
  if (dim % count != 0)
    throw UsageError(
        fmt::format("[mesh] {} is {}, not divisible by tensor={}. Use {} (--tensor-parallel).",
                    what, dim, count, tensor_sizes_for(dim)));
  const std::int64_t each = dim / count;
  return {.begin = index * each, .count = each};
}

int Shard::kv_replicas(std::int64_t kv_heads, std::string_view what) const {
  check_shard(*this);
  check(kv_heads >= 1, "a model has at least one KV head");
  if (kv_heads % count == 0) return 1;
  if (count % kv_heads == 0) return static_cast<int>(count / kv_heads);
  throw UsageError(
      fmt::format("[mesh] {} is {}: tensor={} neither divides it nor is a multiple of it. Use {} "
                  "(--tensor-parallel).",
                  what, kv_heads, count, tensor_sizes_for(kv_heads)));
}

Slice Shard::kv_slice(std::int64_t kv_heads, std::string_view what) const {
  const int replicas = kv_replicas(kv_heads, what);
  if (replicas == 1) return slice(kv_heads, what);
  return {.begin = index / replicas, .count = 1};
}

Slice Shard::leaf_slice(int leaves) const {
  check_shard(*this);
  check(is_tree_size(leaves), "the number of leaves is no power of two");
  if (leaves % count != 0)
    throw UsageError(fmt::format(
        "[mesh] row-parallel sums of this model have {} leaves, tensor={} does not divide them. "
        "Use {} (--tensor-parallel).",
        leaves, count, tensor_sizes_for(leaves)));
  const std::int64_t each = leaves / count;
  return {.begin = index * each, .count = each};
}

}  // namespace retinue
