#include "parallel/mesh/shard.h"

#include "parallel/base/check.h"

#include <gtest/gtest.h>

#include <functional>
#include <string>

namespace retinue {
namespace {

std::string usage_error_of(const std::function<void()>& body) {
  try {
    body();
  } catch (const UsageError& error) {
    return error.what();
  }
  return "no error";
}

TEST(Shard, PartsAreEqualContiguousAndWhole) {
  for (const int count : {1, 2, 4, 8}) {
    std::int64_t next = 0;
    for (int index = 0; index < count; ++index) {
      const Slice slice = Shard{index, count}.slice(5120, "hidden_size");
      EXPECT_EQ(slice.begin, next);
      EXPECT_EQ(slice.count, 5120 / count);
      next = slice.end();
    }
    EXPECT_EQ(next, 5120);
  }
}

TEST(Shard, RefusesWhatDoesNotDivideAndSaysWhatDoes) {
  EXPECT_EQ(usage_error_of([] {
              (void)Shard{0, 6}.slice(64, "num_attention_heads");
            }),
            "[mesh] num_attention_heads is 64, not divisible by tensor=6. Use 1, 2, 4 or 8 "
            "(--tensor-parallel).");
  EXPECT_EQ(usage_error_of([] {
              (void)Shard{0, 4}.slice(6, "num_attention_heads");
            }),
            "[mesh] num_attention_heads is 6, not divisible by tensor=4. Use 1 or 2 "
            "(--tensor-parallel).");
  EXPECT_EQ(usage_error_of([] {
              (void)Shard{1, 2}.slice(7, "vocab_size");
            }),
            "[mesh] vocab_size is 7, not divisible by tensor=2. Use 1 (--tensor-parallel).");
}

TEST(Shard, FewKvHeadsAreReplicatedOnNeighbours) {
  // 8 KV heads on 2 parts: four each. 2 KV heads on 8 parts: one each, held four times.
  EXPECT_EQ((Shard{1, 2}.kv_slice(8, "num_key_value_heads")), (Slice{4, 4}));
  for (int index = 0; index < 8; ++index) {
    const Shard shard{index, 8};
    EXPECT_EQ(shard.kv_slice(2, "num_key_value_heads"), (Slice{index / 4, 1}));
    EXPECT_EQ(shard.kv_replicas(2, "num_key_value_heads"), 4);
    EXPECT_EQ(shard.kv_replicas(8, "num_key_value_heads"), 1);
  }
}

TEST(Shard, AKvHeadServesTheQueryHeadsOfItsPart) {
  // Query head h attends to KV head h / (heads / kv_heads): that head must be held by h's part.
  for (const int count : {1, 2, 4, 8})
    for (const std::int64_t kv_heads : {1, 2, 4, 8}) {
      constexpr std::int64_t kHeads = 16;
      for (int index = 0; index < count; ++index) {
        const Shard shard{index, count};
        const Slice heads = shard.slice(kHeads, "num_attention_heads");
        const Slice kv = shard.kv_slice(kv_heads, "num_key_value_heads");
        for (std::int64_t head = heads.begin; head < heads.end(); ++head) {
          const std::int64_t wanted = head / (kHeads / kv_heads);
          EXPECT_TRUE(wanted >= kv.begin && wanted < kv.end()) << count << " " << kv_heads;
        }
      }
    }
}

TEST(Shard, KvHeadsThatFitNeitherWayAreRefused) {
  EXPECT_EQ(usage_error_of([] {
              (void)Shard{0, 4}.kv_slice(6, "num_key_value_heads");
            }),
            "[mesh] num_key_value_heads is 6: tensor=4 neither divides it nor is a multiple of "
            "it. Use 1 or 2 (--tensor-parallel).");
}

TEST(Shard, LeavesAreAlignedSubtrees) {
  for (const int count : {1, 2, 4, 8})
    for (int index = 0; index < count; ++index)
      EXPECT_EQ((Shard{index, count}.leaf_slice()), (Slice{8 * index / count, 8 / count}));
  EXPECT_EQ((Shard{1, 2}.leaf_slice(2)), (Slice{1, 1}));
  EXPECT_EQ(usage_error_of([] {
              (void)Shard{0, 8}.leaf_slice(4);
            }),
            "[mesh] row-parallel sums of this model have 4 leaves, tensor=8 does not divide them. "
            "Use 1, 2 or 4 (--tensor-parallel).");
  EXPECT_THROW((void)(Shard{2, 2}.leaf_slice()), BugError);
}

}  // namespace
}  // namespace retinue
