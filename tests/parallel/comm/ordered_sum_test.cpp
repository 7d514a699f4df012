#include "parallel/comm/ordered_sum.h"

#include "tests/support/rank_values.h"

#include <gtest/gtest.h>

namespace retinue {
namespace {

TEST(OrderedSum, HasTheBitsOfReduceTreeForEveryNumberOfParts) {
  for (int ranks = 1; ranks <= 20; ++ranks)
    for (const std::int64_t count : {0, 1, 3, 16, 511, 512, 513, 2000}) {
      std::vector<std::vector<float>> partials;
      std::vector<const float*> parts;
      for (int rank = 0; rank < ranks; ++rank) {
        partials.push_back(test::values_of_rank(rank, count));
        parts.push_back(partials.back().data());
      }
      std::vector<float> out(static_cast<std::size_t>(count));
      ordered_sum(parts, count, out.data());
      const auto expected = test::tree_sum_of_ranks(ranks, count);
      EXPECT_TRUE(test::same_bits(out, expected)) << ranks << " x " << count;
      // The output may be any of the inputs.
      const auto victim = static_cast<std::size_t>(ranks / 2);
      ordered_sum(parts, count, partials[victim].data());
      EXPECT_TRUE(test::same_bits(partials[victim], expected)) << ranks << " x " << count;
    }
}

}  // namespace
}  // namespace retinue
