#include "layers/ops/add.h"

#include "tests/support/op_test.h"
#include "tests/support/reference.h"

#include <gtest/gtest.h>

namespace retinue::test {
namespace {

class Add : public testing::TestWithParam<Instance<RowsWidth>> {};

/// The sum of two elements in f32 is rounded once to f32 and once to bf16, exactly as this does:
/// no tolerance.
TEST_P(Add, IsTheRoundedSum) {
  const auto [rows, width] = GetParam().shape;
  for_dtype(GetParam().dtype, [&](auto element) {
    using T = decltype(element);
    for_each_isa([&](Context& ctx) {
      auto a = Guarded<T>::random({rows, width}, 1, 3), b = Guarded<T>::random({rows, width}, 2, 1);
      Guarded<T> y({rows, width}, 5), want({rows, width});
      ops::add(ctx, a, b, y);
      for (std::int64_t t = 0; t < rows; ++t)
        for (std::int64_t i = 0; i < width; ++i)
          want.at(t, i) = from_double<T>(as_float(a.at(t, i)) + as_float(b.at(t, i)));
      EXPECT_TRUE(same_bits(y, want));
      EXPECT_TRUE(y.intact());
      ops::add(ctx, a, b, b);
      EXPECT_TRUE(same_bits(b, want));
      EXPECT_TRUE(b.intact());
    });
  });
}

/// What a row-parallel sum leaves: bits as of cast and then add.
TEST_P(Add, RoundsAnF32SummandFirst) {
  const auto [rows, width] = GetParam().shape;
  for_dtype(GetParam().dtype, [&](auto element) {
    using T = decltype(element);
    for_each_isa([&](Context& ctx) {
      auto a = Guarded<T>::random({rows, width}, 1, 3);
      auto b = Guarded<float>::random({rows, width}, 2, 1);
      Guarded<T> want({rows, width});
      for (std::int64_t t = 0; t < rows; ++t)
        for (std::int64_t i = 0; i < width; ++i)
          want.at(t, i) =
              from_double<T>(as_float(a.at(t, i)) + as_float(from_double<T>(b.at(t, i))));
      ops::add(ctx, a, b, a);
      EXPECT_TRUE(same_bits(a, want));
      EXPECT_TRUE(a.intact() && b.intact());
    });
  });
}

INSTANTIATE_TEST_SUITE_P(Shapes, Add,
                         testing::ValuesIn(in_each_dtype<RowsWidth>(
                             {{1, 1}, {2, 15}, {5, 16}, {7, 17}, {3, 1031}, {33, 1152}})),
                         InstanceName{});

TEST(Add, RoundsHalvesToEvenAndKeepsSpecials) {
  for_each_isa([&](Context& ctx) {
    const float inf = INFINITY;
    auto a = Guarded<BFloat16>::of(
        {1, 6}, {to_bfloat16(256), to_bfloat16(258), to_bfloat16(inf), to_bfloat16(NAN),
                 to_bfloat16(-0.0F), to_bfloat16(3.38e38F)});
    auto b =
        Guarded<BFloat16>::of({1, 6}, {to_bfloat16(1), to_bfloat16(1), to_bfloat16(-1),
                                       to_bfloat16(1), to_bfloat16(-0.0F), to_bfloat16(3.38e38F)});
    Guarded<BFloat16> y({1, 6});
    ops::add(ctx, a, b, y);
    EXPECT_EQ(to_float(y.at(0, 0)), 256);  // 257 lies between 256 and 258
    EXPECT_EQ(to_float(y.at(0, 1)), 260);  // 259 between 258 and 260
    EXPECT_EQ(to_float(y.at(0, 2)), inf);
    EXPECT_TRUE(std::isnan(to_float(y.at(0, 3))));
    EXPECT_TRUE(std::signbit(to_float(y.at(0, 4))));
    EXPECT_EQ(to_float(y.at(0, 5)), inf);
  });
}

TEST(Add, RefusesWhatDoesNotFit) {
  TestContext ctx;
  Guarded<float> a({3, 8}), b({3, 8}), wide({3, 9});
  Guarded<BFloat16> bf16({3, 8});
  EXPECT_THROW(ops::add(ctx, a, wide, b), BugError);
  EXPECT_THROW(ops::add(ctx, a, b, wide), BugError);
  EXPECT_THROW(ops::add(ctx, a, bf16, b), BugError);
  EXPECT_THROW(ops::add(ctx, a, b, bf16), BugError);
}

}  // namespace
}  // namespace retinue::test
