#include "layers/ops/silu_mul.h"

#include "tests/support/op_test.h"
#include "tests/support/quantized_rows.h"
#include "tests/support/reference.h"

#include <gtest/gtest.h>

namespace retinue::test {
namespace {

class SiluMul : public testing::TestWithParam<Instance<RowsWidth>> {};

TEST_P(SiluMul, MatchesF64Reference) {
  const auto [rows, width] = GetParam().shape;
  for_dtype(GetParam().dtype, [&](auto element) {
    using T = decltype(element);
    for_each_isa([&](Context& ctx) {
      auto gate_up = Guarded<T>::random({rows, 2 * width}, 1, 3, 9);
      Guarded<T> y({rows, width}, 5);
      ops::silu_mul(ctx, gate_up, y);
      const auto want = silu_mul_reference(gate_up.doubles(), rows, width, dtype_of<T>());
      // The roundings after silu and after the product, a unit more where the first decides a tie
      // differently; in f32 an exponential within 2 ulp, an addition, a division.
      EXPECT_TRUE(close(y.doubles(), want, bound_of(dtype_of<T>(), 4, 8)));
      EXPECT_TRUE(y.intact());
    });
  });
}

INSTANTIATE_TEST_SUITE_P(Shapes, SiluMul,
                         testing::ValuesIn(in_each_dtype<RowsWidth>(
                             {{1, 1}, {2, 15}, {5, 16}, {7, 17}, {3, 1031}, {4, 3200}, {65, 512}})),
                         InstanceName{});

TEST(SiluMul, RoundsBeforeTheProduct) {
  constexpr std::int64_t kRows = 16, kWidth = 512;
  for_each_isa([&](Context& ctx) {
    auto gate_up = Guarded<BFloat16>::random({kRows, 2 * kWidth}, 1, 0, 4);
    Guarded<BFloat16> y({kRows, kWidth});
    ops::silu_mul(ctx, gate_up, y);
    const auto differing = [&](DType inner) {
      const auto want = silu_mul_reference(gate_up.doubles(), kRows, kWidth, inner);
      const auto got = y.doubles();
      std::size_t count = 0;
      for (std::size_t i = 0; i < got.size(); ++i)
        if (got[i] != rounded(want.value[i], DType::kBF16)) ++count;
      return count;
    };
    EXPECT_LE(differing(DType::kBF16), kRows * kWidth / 1000U);
    EXPECT_GE(differing(DType::kF32), kRows * kWidth / 10U);
  });
}

TEST(SiluMul, IsRightFarFromZero) {
  for_each_isa([&](Context& ctx) {
    const std::vector<float> gate = {0, -0.0F, 88, -88, 200, -200, 3e38F, -3e38F, 1e-30F, -1e-30F};
    const auto n = static_cast<std::int64_t>(gate.size());
    std::vector<float> both = gate;
    both.resize(2 * gate.size(), 1.0F);
    auto gate_up = Guarded<float>::of({1, 2 * n}, both);
    Guarded<float> y({1, n});
    ops::silu_mul(ctx, gate_up, y);
    for (std::int64_t i = 0; i < n; ++i) {
      const double g = gate[static_cast<std::size_t>(i)], want = g / (1 + std::exp(-g));
      EXPECT_NEAR(y.at(0, i), want, std::abs(want) * 8 * kU32 + 0x1p-124) << g;
      EXPECT_FALSE(std::isnan(y.at(0, i))) << g;
    }
  });
}

TEST(SiluMul, KeepsNaNInItsElement) {
  for_each_isa([&](Context& ctx) {
    auto gate_up = Guarded<float>::random({2, 40}, 1);
    gate_up.at(1, 3) = NAN, gate_up.at(1, 20 + 7) = NAN;
    Guarded<float> y({2, 20});
    ops::silu_mul(ctx, gate_up, y);
    for (std::int64_t t = 0; t < 2; ++t)
      for (std::int64_t i = 0; i < 20; ++i)
        EXPECT_EQ(std::isnan(y.at(t, i)), t == 1 && (i == 3 || i == 7)) << t << ", " << i;
  });
}

class QuantizedSiluMul : public testing::TestWithParam<RowsWidth> {};

TEST_P(QuantizedSiluMul, LeavesTheBytesOfItsRowsQuantized) {
  const auto [rows, width] = GetParam();
  for_each_isa([&](Context& ctx) {
    auto gate_up = Guarded<BFloat16>::random({rows, 2 * width}, 1, 3, 9);
    for (std::int64_t i = 0; i < width; ++i) gate_up.at(rows / 2, i) = {};
    if (rows > 2) gate_up.at(2, width - 1) = to_bfloat16(NAN);
    if (rows > 3) gate_up.at(3, width) = to_bfloat16(-INFINITY);
    Guarded<BFloat16> y({rows, width});
    ops::silu_mul(ctx, gate_up, y);
    expect_quantized(ctx, y, [&](const ops::MatmulInput& to) { ops::silu_mul(ctx, gate_up, to); });
  });
}

INSTANTIATE_TEST_SUITE_P(Shapes, QuantizedSiluMul, testing::ValuesIn(quantized_shapes()),
                         [](const auto& instance) { return instance.param.text(); });

TEST(SiluMul, RefusesWhatDoesNotFit) {
  TestContext ctx;
  Guarded<float> gate_up({3, 8}), y({3, 4}), wide({3, 5}), tall({4, 4});
  Guarded<BFloat16> y_bf16({3, 4});
  EXPECT_THROW(ops::silu_mul(ctx, gate_up, wide), BugError);
  EXPECT_THROW(ops::silu_mul(ctx, gate_up, tall), BugError);
  EXPECT_THROW(ops::silu_mul(ctx, gate_up, y_bf16), BugError);
}

}  // namespace
}  // namespace retinue::test
