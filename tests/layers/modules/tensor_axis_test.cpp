#include "layers/modules/tensor_axis.h"

#include "layers/spec/computation.h"
#include "parallel/base/check.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

namespace retinue::layers {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::Not;

ModelConfig model(std::int64_t heads, std::int64_t kv_heads, std::int64_t vocab) {
  ModelConfig config;
  config.text.num_attention_heads = heads, config.text.num_key_value_heads = kv_heads;
  config.text.head_dim = 128, config.text.intermediate_size = 25600;
  config.text.vocab_size = vocab, config.text.num_hidden_layers = 2;
  return config;
}
std::string refusal(int tensor, const ModelConfig& config, int leaves) {
  try {
    check_tensor_size(tensor, config, leaves);
    return "";
  } catch (const UsageError& error) {
    return error.what();
  }
}

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
  for (const int tensor : {1, 2, 4, 8}) check_tensor_size(tensor, model(64, 8, 151937), 8);
  EXPECT_NE(refusal(8, model(64, 8, 9), 8), "") << "ranks without an id";
}

TEST(TensorAxis, RefusesASizeThatDoesNotFitAndNamesTheSizesThatDo) {
  const ModelConfig large = model(64, 8, 151936), odd = model(12, 8, 151936);
  for (const int tensor : {1, 2, 4, 8}) check_tensor_size(tensor, large, 8);
  check_tensor_size(8, model(64, 2, 151936), 8);  // four ranks share a KV head
  EXPECT_THAT(refusal(3, large, 8), HasSubstr("divisible by tensor=3. Use 1, 2, 4, 8"));
  EXPECT_THAT(refusal(16, large, 8), HasSubstr("Use 1, 2, 4, 8"));
  EXPECT_THAT(refusal(8, odd, 4), HasSubstr("num_attention_heads is 12"));
  EXPECT_THAT(refusal(8, odd, 4), HasSubstr("Use 1, 2, 4 ("));
  EXPECT_THAT(refusal(0, large, 8), HasSubstr("tensor=0"));
}

TEST(TensorAxis, NamesFp8WhereItIsTheCause) {
  ModelConfig config = model(32, 8, 151936);
  config.text.intermediate_size = 9728;  // 76 groups: the 4B
  config.fp8 = Fp8Weights{{"lm_head", "visual"}};
  const int leaves = reduction_leaves(config);
  ASSERT_EQ(leaves, 4);
  EXPECT_EQ(refusal(4, config, leaves), "");
  EXPECT_THAT(refusal(8, config, leaves),
              AllOf(HasSubstr("The cause is FP8"), HasSubstr("groups of 128 inputs"),
                    HasSubstr("9728 of down_proj"), HasSubstr("Use 1, 2, 4 (")));
  EXPECT_THAT(refusal(3, config, leaves), Not(HasSubstr("FP8")));
  EXPECT_THAT(refusal(16, config, leaves), Not(HasSubstr("FP8")));
}

}  // namespace
}  // namespace retinue::layers
