#include "layers/ops/top_k.h"

#include "tests/support/op_test.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <numeric>

namespace retinue::test {
namespace {

struct Choice {
  std::int64_t rows, n, k;
  [[nodiscard]] std::string text() const { return dims({{"rows", rows}, {"n", n}, {"k", k}}); }
};

class TopK : public testing::TestWithParam<Instance<Choice>> {};

/// Values that repeat often, so that ties decide: a stable sort is the reference.
TEST_P(TopK, IsAStableSort) {
  const auto [rows, n, k] = GetParam().shape;
  for_dtype(GetParam().dtype, [&](auto element) {
    using T = decltype(element);
    for_each_isa([&](Context& ctx) {
      Guarded<T> logits({rows, n}, 3);
      std::uint64_t i = 0;
      logits.for_each(
          [&](T& x) { x = from_double<T>(static_cast<double>(random_bits(7, i++) % 13) - 6); });
      Guarded<float> values({rows, k}, 2);
      Guarded<std::int32_t> ids({rows, k}, 1);
      ops::top_k(ctx, logits, 1000, values, ids);
      for (std::int64_t r = 0; r < rows; ++r) {
        std::vector<std::int64_t> order(static_cast<std::size_t>(n));
        std::iota(order.begin(), order.end(), 0);
        std::stable_sort(order.begin(), order.end(), [&](std::int64_t a, std::int64_t b) {
          return as_float(logits.at(r, a)) > as_float(logits.at(r, b));
        });
        for (std::int64_t j = 0; j < k; ++j) {
          EXPECT_EQ(ids.at(r, j), 1000 + order[static_cast<std::size_t>(j)]) << r << ", " << j;
          EXPECT_EQ(values.at(r, j), as_float(logits.at(r, order[static_cast<std::size_t>(j)])));
        }
      }
      EXPECT_TRUE(values.intact() && ids.intact());
    });
  });
}

INSTANTIATE_TEST_SUITE_P(Shapes, TopK,
                         testing::ValuesIn(in_each_dtype<Choice>({{1, 1, 1},
                                                                  {3, 17, 1},
                                                                  {5, 17, 17},
                                                                  {2, 1031, 20},
                                                                  {4, 4096, 1},
                                                                  {3, 2061, 1},
                                                                  {1, 18992, 64}})),
                         InstanceName{});

TEST(TopK, RanksNaNWithInfinityAboveAll) {
  for_each_isa([&](Context& ctx) {
    auto logits = Guarded<float>::of({1, 5}, {NAN, -INFINITY, 3, INFINITY, NAN});
    Guarded<float> values({1, 5});
    Guarded<std::int32_t> ids({1, 5});
    ops::top_k(ctx, logits, 0, values, ids);
    EXPECT_EQ(ids.values(), (std::vector<std::int32_t>{0, 3, 4, 2, 1}));
    Guarded<float> best({1, 1});
    Guarded<std::int32_t> best_id({1, 1});
    ops::top_k(ctx, logits, 0, best, best_id);
    EXPECT_EQ(best_id.at(0), 0);
    EXPECT_TRUE(std::isnan(best.at(0)));
  });
}

TEST(TopK, FindsTheLargestWhereverItIs) {
  for_each_isa([&](Context& ctx) {
    for (const std::int64_t at : {0, 15, 16, 1023, 1024, 1500, 2047, 2048, 2060}) {
      Guarded<BFloat16> logits({1, 2061});
      logits.for_each([](BFloat16& x) { x = from_double<BFloat16>(-INFINITY); });
      Guarded<float> value({1, 1});
      Guarded<std::int32_t> id({1, 1});
      ops::top_k(ctx, logits, 7, value, id);
      EXPECT_EQ(id.at(0), 7) << "all equal";
      for (const double largest : {-1e30, static_cast<double>(NAN)}) {
        logits.at(0, at) = from_double<BFloat16>(largest);
        ops::top_k(ctx, logits, 7, value, id);
        EXPECT_EQ(id.at(0), 7 + at) << largest;
      }
    }
  });
}

TEST(TopK, RefusesWhatDoesNotFit) {
  TestContext ctx;
  Guarded<float> logits({2, 4}), values({2, 2}), many({2, 5}), none({2, 0});
  Guarded<std::int32_t> ids({2, 2}), many_ids({2, 5}), none_ids({2, 0}), other({2, 3});
  EXPECT_THROW(ops::top_k(ctx, logits, 0, values, other), BugError);
  EXPECT_THROW(ops::top_k(ctx, logits, 0, many, many_ids), BugError);
  EXPECT_THROW(ops::top_k(ctx, logits, 0, none, none_ids), BugError);
  EXPECT_THROW(ops::top_k(ctx, ids, 0, values, ids), BugError);
}

}  // namespace
}  // namespace retinue::test
