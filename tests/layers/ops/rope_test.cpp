#include "layers/ops/rope.h"

#include "tests/support/op_test.h"
#include "tests/support/reference.h"

#include <gtest/gtest.h>

namespace retinue::test {
namespace {

struct Turn {
  std::int64_t tokens, heads, head_dim;
  [[nodiscard]] std::string text() const {
    return dims({{"tokens", tokens}, {"heads", heads}, {"head_dim", head_dim}});
  }
};

class Rope : public testing::TestWithParam<Instance<Turn>> {};

/// The definition, in f32 with each rounding where it belongs. What f32 computes from f32 in one
/// operation is fixed by IEEE 754, so no tolerance is needed.
template <class T>
void turn(Guarded<T>& x, Guarded<float>& cos, Guarded<float>& sin, const Turn& s,
          ops::RopeRounding rounding) {
  const std::int64_t half = s.head_dim / 2;
  const bool each = rounding == ops::RopeRounding::kEachStep;
  const auto step = [&](float v) { return each ? as_float(from_double<T>(v)) : v; };
  for (std::int64_t t = 0; t < s.tokens; ++t)
    for (std::int64_t h = 0; h < s.heads; ++h)
      for (std::int64_t j = 0; j < half; ++j) {
        T& low = x.at(t, h * s.head_dim + j);
        T& high = x.at(t, h * s.head_dim + half + j);
        const float a = as_float(low), b = as_float(high), c = cos.at(t, j), d = sin.at(t, j);
        low = from_double<T>(step(a * c) + step(-b * d));
        high = from_double<T>(step(b * c) + step(a * d));
      }
}

TEST_P(Rope, TurnsEachPairWithTheRoundingsOfTheReference) {
  const Turn s = GetParam().shape;
  for_dtype(GetParam().dtype, [&](auto element) {
    using T = decltype(element);
    for_each_isa([&](Context& ctx) {
      auto cos = Guarded<float>::random({s.tokens, s.head_dim / 2}, 1, 3);
      auto sin = Guarded<float>::random({s.tokens, s.head_dim / 2}, 2, 1);
      for (const auto rounding : {ops::RopeRounding::kOnce, ops::RopeRounding::kEachStep}) {
        // Queries inside rows of a fused qkv.
        auto x = Guarded<T>::random({s.tokens, s.heads, s.head_dim}, 3, 2 * s.head_dim);
        auto want = Guarded<T>::of({s.tokens, s.heads, s.head_dim}, x.values());
        turn(want, cos, sin, s, rounding);
        ops::rope(ctx, x, cos, sin, rounding);
        EXPECT_TRUE(same_bits(x, want));
        EXPECT_TRUE(x.intact());
      }
    });
  });
}

INSTANTIATE_TEST_SUITE_P(Shapes, Rope,
                         testing::ValuesIn(in_each_dtype<Turn>({{1, 1, 2},
                                                                {3, 2, 30},
                                                                {5, 3, 32},
                                                                {2, 3, 34},
                                                                {7, 16, 64},
                                                                {5, 16, 72},
                                                                {9, 5, 128},
                                                                {67, 2, 128}})),
                         InstanceName{});

TEST(RopeTable, IsCosAndSinOfTheF32Product) {
  constexpr std::int64_t kTokens = 37, kSlots = 20;
  const std::vector<std::int32_t> axis = {0, 1, 2, 0, 1, 2, 0, 1, 2, 0,
                                          1, 2, 0, 1, 2, 0, 0, 0, 0, 0};
  std::vector<float> inv_freq;
  for (int i = 0; i < kSlots; ++i)
    inv_freq.push_back(static_cast<float>(1 / std::pow(5e6, 2.0 * i / 40)));
  for_each_isa([&](Context& ctx) {
    Guarded<std::int32_t> positions({3, kTokens}, 5);
    std::uint64_t i = 0;
    positions.for_each(
        [&](std::int32_t& p) { p = static_cast<std::int32_t>(random_bits(1, i++) % 250000); });
    for (const DType dtype : {DType::kF32, DType::kBF16})
      for (const float scale : {1.0F, 1.069315F}) {
        Guarded<float> cos({kTokens, kSlots}, 3), sin({kTokens, kSlots}, 1);
        ops::rope_table(ctx, positions, axis, inv_freq, scale, dtype, cos, sin);
        for (std::int64_t t = 0; t < kTokens; ++t)
          for (std::int64_t j = 0; j < kSlots; ++j) {
            const auto at = static_cast<std::size_t>(j);
            const float angle = inv_freq[at] * static_cast<float>(positions.at(axis[at], t));
            // cos and sin of a double are within a unit of 2^-53: rounding gives the nearest f32.
            const float c = static_cast<float>(std::cos(double{angle})) * scale;
            const float s = static_cast<float>(std::sin(double{angle})) * scale;
            EXPECT_EQ(cos.at(t, j), static_cast<float>(rounded(c, dtype))) << t << ", " << j;
            EXPECT_EQ(sin.at(t, j), static_cast<float>(rounded(s, dtype))) << t << ", " << j;
          }
        EXPECT_TRUE(cos.intact() && sin.intact());
      }
  });
}

TEST(Rope, RefusesWhatDoesNotFit) {
  TestContext ctx;
  Guarded<float> x({3, 2, 8}), flat({3, 16}), odd({3, 2, 7}), cos({3, 4}), wide({3, 5}),
      tall({4, 4});
  Guarded<BFloat16> cos_bf16({3, 4});
  const auto once = ops::RopeRounding::kOnce;
  EXPECT_THROW(ops::rope(ctx, flat, cos, cos, once), BugError);
  EXPECT_THROW(ops::rope(ctx, odd, cos, cos, once), BugError);
  EXPECT_THROW(ops::rope(ctx, x, wide, cos, once), BugError);
  EXPECT_THROW(ops::rope(ctx, x, cos, tall, once), BugError);
  EXPECT_THROW(ops::rope(ctx, x, cos_bf16, cos, once), BugError);
  auto positions = Guarded<std::int32_t>::filled({1, 3}, 0);
  const std::vector<float> inv_freq(4);
  const std::vector<std::int32_t> axis(4), short_axis(3), absent(4, 1);
  const auto table = [&](const std::vector<std::int32_t>& axes, TensorView c, TensorView s) {
    ops::rope_table(ctx, positions, axes, inv_freq, 1, DType::kF32, c, s);
  };
  EXPECT_THROW(table(short_axis, cos, cos), BugError);
  EXPECT_THROW(table(absent, cos, cos), BugError);
  EXPECT_THROW(table(axis, wide, cos), BugError);
  EXPECT_THROW(table(axis, cos, cos_bf16), BugError);
}

}  // namespace
}  // namespace retinue::test
