#include "runtime/engine/step.h"

#include "parallel/base/check.h"

#include <gtest/gtest.h>

#include <span>
#include <vector>

namespace retinue::runtime {
namespace {

TEST(StepPlan, ParsesWhatItSerialized) {
  StepPlan plan;
  plan.prefetch = {{0xFEDCBA9876543210ULL, 3}};
  plan.drop = {1, ~std::uint64_t{0}};
  plan.zero_blocks = {9, 4};
  plan.encode = {{0x8000000080000000ULL, 1, 17, {2, 34, 60}}};
  plan.ids = {1, 2, 3}, plan.positions = {0, 1, 2, 0, 1, 2, 0, 1, 2}, plan.slot_mapping = {5, 6, 7};
  plan.block_table = {4, 9}, plan.cu_seqlens = {0, 3}, plan.seq_lens = {3}, plan.logit_rows = {2};
  plan.max_blocks = 2, plan.argmax_rows = 1;
  std::vector<std::int32_t> words, again;
  plan.serialize(words);
  StepPlan copy;
  copy.parse(words);
  copy.serialize(again);
  EXPECT_EQ(words, again);
  EXPECT_EQ(copy.prefetch[0].key, plan.prefetch[0].key);
  EXPECT_EQ(copy.drop, plan.drop);
  EXPECT_EQ(copy.zero_blocks, plan.zero_blocks);
  EXPECT_EQ(copy.encode[0].key, plan.encode[0].key);
  EXPECT_EQ(copy.encode[0].grid, plan.encode[0].grid);
  for (std::size_t size = 0; size < words.size(); ++size)
    EXPECT_THROW(copy.parse(std::span(words).first(size)), BugError) << size;
}

}  // namespace
}  // namespace retinue::runtime
