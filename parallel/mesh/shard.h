#pragma once

#include "parallel/base/reduce_tree.h"

#include <cstdint>
#include <string_view>

namespace retinue {

/// Elements [begin, begin + count) of a dimension.
struct Slice {
  std::int64_t begin = 0;
  std::int64_t count = 0;

  [[nodiscard]] std::int64_t end() const { return begin + count; }
  friend bool operator==(Slice, Slice) = default;
};

/// This rank's part of a sharded dimension: part `index` of `count`, on the tensor axis.
///   what   the dimension's name in config.json, for messages
struct Shard {
  int index = 0;
  int count = 1;

  /// Equal, contiguous parts.   Throws: UsageError when `dim` does not divide.
  [[nodiscard]] Slice slice(std::int64_t dim, std::string_view what) const;

  /// The KV heads of this part. With fewer heads than parts each part holds one, and
  /// count / kv_heads neighbours hold the same one.
  /// Throws: UsageError when neither divides the other.
  [[nodiscard]] Slice kv_slice(std::int64_t kv_heads, std::string_view what) const;
  /// Parts that hold each KV head: 1, or count / kv_heads.
  [[nodiscard]] int kv_replicas(std::int64_t kv_heads, std::string_view what) const;

  /// The leaves of a row-parallel sum that this part adds: an aligned subtree of reduce_tree.h.
  /// Throws: UsageError when `count` does not divide `leaves`.
  [[nodiscard]] Slice leaf_slice(int leaves = kMaxLeaves) const;

  friend bool operator==(Shard, Shard) = default;
};

}  // namespace retinue
