#include "parallel/base/reduce_tree.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace retinue {
namespace {

std::string sum_of(int first, int count) {
  std::vector<std::string> terms;
  for (int i = 0; i < count; ++i) terms.push_back(std::to_string(first + i));
  reduce_tree(count, [&](int i, int j) { terms[i] = "(" + terms[i] + "+" + terms[j] + ")"; });
  return terms[0];
}

TEST(ReduceTree, HasTheContractsParentheses) {
  EXPECT_EQ(sum_of(0, 8), "(((0+1)+(2+3))+((4+5)+(6+7)))");
  EXPECT_EQ(sum_of(0, 1), "0");
}

TEST(ReduceTree, SubtreesOfRanksComposeToTheWholeTree) {
  for (const int ranks : {1, 2, 4, 8}) {
    std::vector<std::string> partials;
    for (int r = 0; r < ranks; ++r) partials.push_back(sum_of(8 * r / ranks, 8 / ranks));
    reduce_tree(ranks,
                [&](int i, int j) { partials[i] = "(" + partials[i] + "+" + partials[j] + ")"; });
    EXPECT_EQ(partials[0], sum_of(0, 8)) << ranks;
  }
}

}  // namespace
}  // namespace retinue
