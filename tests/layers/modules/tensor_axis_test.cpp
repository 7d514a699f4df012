#include "layers/modules/tensor_axis.h"

#include "parallel/base/check.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

namespace retinue::layers {
namespace {

using testing::HasSubstr;

TEST(TensorAxis, CutsDimensionsAndLeavesEvenly) {
  TensorAxis axis;
  axis.rank = 3, axis.size = 4, axis.leaves = 8;
  EXPECT_EQ(axis.per_rank(12), 3);
  EXPECT_EQ(axis.first(12), 9);
  EXPECT_EQ(axis.leaves_per_rank(), 2);
  EXPECT_THROW((void)axis.per_rank(10), UsageError);
}

TEST(TensorAxis, AVocabularyThatRanksDoNotDivideLeavesTheLastRankFewerIds) {
  for (const std::int64_t vocab : {151936, 151937, 151943, 833})
    for (const int ranks : {1, 2, 4, 8}) {
      std::int64_t end = 0;
      for (int rank = 0; rank < ranks; ++rank) {
        const Slice slice = vocab_slice(vocab, rank, ranks);
        EXPECT_EQ(slice.begin, end);
        EXPECT_GT(slice.count, 0);
        end += slice.count;
      }
      EXPECT_EQ(end, vocab);
    }
  for (const int tensor : {1, 2, 4, 8}) check_tensor_size(tensor, 64, 8, 25600, 151937, 8);
  EXPECT_THROW(check_tensor_size(8, 64, 8, 25600, 9, 8), UsageError) << "ranks without an id";
}

TEST(TensorAxis, RefusesASizeThatDoesNotFitAndNamesTheSizesThatDo) {
  for (const int tensor : {1, 2, 4, 8}) check_tensor_size(tensor, 64, 8, 25600, 151936, 8);
  check_tensor_size(8, 64, 2, 25600, 151936, 8);  // four ranks share a KV head
  const auto refusal = [](int tensor, std::int64_t heads, int leaves) -> std::string {
    try {
      check_tensor_size(tensor, heads, 8, 25600, 151936, leaves);
      return "";
    } catch (const UsageError& error) {
      return error.what();
    }
  };
  EXPECT_THAT(refusal(3, 64, 8), HasSubstr("divisible by tensor=3. Use 1, 2, 4, 8"));
  EXPECT_THAT(refusal(16, 64, 8), HasSubstr("Use 1, 2, 4, 8"));
  EXPECT_THAT(refusal(8, 12, 4), HasSubstr("num_attention_heads is 12"));
  EXPECT_THAT(refusal(8, 12, 4), HasSubstr("Use 1, 2, 4 ("));
  EXPECT_THAT(refusal(0, 64, 8), HasSubstr("tensor=0"));
}

}  // namespace
}  // namespace retinue::layers
