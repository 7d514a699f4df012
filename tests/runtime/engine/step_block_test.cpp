// The inputs of a step in one block of memory: each list lies where its view is; padding repeats.
#include "runtime/engine/step_block.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <vector>

namespace retinue::runtime {
namespace {

using testing::ElementsAre;

std::vector<std::int32_t> values(ConstTensorView view) {
  const auto* data = view.data<std::int32_t>();
  return {data, data + view.numel()};
}

/// Two sequences: a chunk of three tokens, two of them visual, and a decoded token.
StepPlan mixed_plan() {
  StepPlan plan;
  plan.ids = {5, 6, 7, 8};
  plan.positions = {0, 1, 2, 9, 0, 1, 3, 9, 0, 1, 4, 9};
  plan.slot_mapping = {32, 33, 34, 71};
  plan.block_table = {1, 0, 4, 2};
  plan.max_blocks = 2;
  plan.cu_seqlens = {0, 3, 4};
  plan.seq_lens = {3, 40};
  plan.visual_sources = {10, 11};
  plan.visual_rows = {1, 2};
  plan.logit_rows = {3};
  plan.argmax_rows = 1;
  return plan;
}

/// Three sequences that decode one token each.
StepPlan decode_plan() {
  StepPlan plan;
  plan.ids = {5, 6, 7};
  plan.positions = {10, 20, 30, 11, 21, 31, 12, 22, 32};
  plan.slot_mapping = {32, 64, 96};
  plan.block_table = {1, 2, 3};
  plan.max_blocks = 1;
  plan.cu_seqlens = {0, 1, 2, 3};
  plan.seq_lens = {1, 1, 1};
  plan.logit_rows = {0, 2, 1};
  plan.argmax_rows = 2, plan.whole_rows = 1;
  return plan;
}

EngineLimits limits() {
  EngineLimits limits;
  limits.max_batch_tokens = 64;
  limits.max_sequences = 20;
  limits.max_logit_rows = 20;
  limits.max_sequence_tokens = 3000;
  limits.kv_block_tokens = 32;
  limits.feature_rows = 100;
  return limits;
}

TEST(StepBlock, HoldsEveryListOfThePlan) {
  const StepPlan plan = mixed_plan();
  const StepBlock block(StepSizes::of(plan));
  std::vector<std::byte> memory(block.size_bytes());
  block.fill(plan, memory.data());
  const layers::StepInputs inputs = block.views(memory.data());
  EXPECT_EQ(values(inputs.ids), plan.ids);
  EXPECT_EQ(values(inputs.positions), plan.positions);
  EXPECT_EQ(inputs.positions.shape(), Shape({3, 4}));
  EXPECT_EQ(values(inputs.slot_mapping), plan.slot_mapping);
  EXPECT_EQ(values(inputs.block_table), plan.block_table);
  EXPECT_EQ(inputs.block_table.shape(), Shape({2, 2}));
  EXPECT_EQ(values(inputs.cu_seqlens), plan.cu_seqlens);
  EXPECT_EQ(values(inputs.seq_lens), plan.seq_lens);
  EXPECT_EQ(values(inputs.visual_sources), plan.visual_sources);
  EXPECT_EQ(values(inputs.visual_rows), plan.visual_rows);
  EXPECT_EQ(values(inputs.logit_rows), plan.logit_rows);
}

TEST(StepBlock, PaddingRepeatsTheLastRowAndAddsEmptyBlocks) {
  const StepPlan plan = decode_plan();
  ASSERT_TRUE(is_decode_only(plan));
  StepSizes sizes = StepSizes::of(plan);
  sizes.tokens = sizes.seqs = sizes.logit_rows = 5, sizes.max_blocks = 2;
  const StepBlock block(sizes);
  std::vector<std::byte> memory(block.size_bytes(), std::byte{0xFF});
  block.fill(plan, memory.data());
  const layers::StepInputs inputs = block.views(memory.data());
  EXPECT_THAT(values(inputs.ids), ElementsAre(5, 6, 7, 7, 7));
  EXPECT_THAT(values(inputs.positions),
              ElementsAre(10, 20, 30, 30, 30, 11, 21, 31, 31, 31, 12, 22, 32, 32, 32));
  EXPECT_THAT(values(inputs.slot_mapping), ElementsAre(32, 64, 96, 96, 96));
  EXPECT_THAT(values(inputs.block_table), ElementsAre(1, 0, 2, 0, 3, 0, 3, 0, 3, 0));
  EXPECT_THAT(values(inputs.cu_seqlens), ElementsAre(0, 1, 2, 3, 4, 5));
  EXPECT_THAT(values(inputs.seq_lens), ElementsAre(1, 1, 1, 1, 1));
  EXPECT_THAT(values(inputs.logit_rows), ElementsAre(0, 2, 1, 1, 1));
}

TEST(StepBlock, OnlyStepsThatDecodeArePadded) {
  const StepPlan plan = mixed_plan();
  EXPECT_FALSE(is_decode_only(plan));
  StepSizes sizes = StepSizes::of(plan);
  ++sizes.tokens;
  const StepBlock block(sizes);
  std::vector<std::byte> memory(block.size_bytes());
  EXPECT_THROW(block.fill(plan, memory.data()), BugError);
}

TEST(PaddedDecode, FewSizesServeAllAndNoneIsBeyondTheLimits) {
  const EngineLimits bounds = limits();
  const StepSizes largest = StepSizes::largest(bounds);
  EXPECT_EQ(largest.max_blocks, 94);
  std::vector<std::int64_t> rows, block_counts;
  for (std::int64_t n = 1; n <= bounds.max_sequences; ++n) {
    StepSizes sizes{.tokens = n, .seqs = n, .max_blocks = 1, .visual_rows = 0, .logit_rows = n};
    const StepSizes padded = padded_decode(sizes, bounds);
    EXPECT_GE(padded.tokens, n);
    EXPECT_EQ(padded.tokens, padded.seqs);
    EXPECT_EQ(padded.tokens, padded.logit_rows);
    if (rows.empty() || rows.back() != padded.tokens) rows.push_back(padded.tokens);
  }
  EXPECT_THAT(rows, ElementsAre(1, 2, 4, 8, 16, 20));
  for (std::int64_t blocks = 1; blocks <= largest.max_blocks; ++blocks) {
    StepSizes sizes{
        .tokens = 1, .seqs = 1, .max_blocks = blocks, .visual_rows = 0, .logit_rows = 1};
    const StepSizes padded = padded_decode(sizes, bounds);
    EXPECT_GE(padded.max_blocks, blocks);
    if (block_counts.empty() || block_counts.back() != padded.max_blocks)
      block_counts.push_back(padded.max_blocks);
  }
  EXPECT_THAT(block_counts, ElementsAre(16, 32, 64, 94));
}

}  // namespace
}  // namespace retinue::runtime
