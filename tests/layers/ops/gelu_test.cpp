#include "layers/ops/gelu.h"

#include "tests/support/op_test.h"
#include "tests/support/reference.h"

#include <gtest/gtest.h>

namespace retinue::test {
namespace {

class Gelu : public testing::TestWithParam<Instance<RowsWidth>> {};

/// One rounding to the dtype. In f32 about ten operations, an exponential within 2 ulp among them,
/// each relative to the value or, inside the exponential, to its argument; the fit of erfc adds
/// less than one.
Bound gelu_bound(DType dtype) { return bound_of(dtype, 1, 16); }

TEST_P(Gelu, MatchesF64Reference) {
  const auto [rows, width] = GetParam().shape;
  for_dtype(GetParam().dtype, [&](auto element) {
    using T = decltype(element);
    for_each_isa([&](Context& ctx) {
      auto x = Guarded<T>::random({rows, width}, 1, 3, 8);
      for (const bool tanh_form : {true, false}) {
        Guarded<T> y({rows, width}, 5);
        const auto form = tanh_form ? ops::Gelu::kTanh : ops::Gelu::kErf;
        ops::gelu(ctx, x, form, y);
        EXPECT_TRUE(
            close(y.doubles(), gelu_reference(x.doubles(), tanh_form), gelu_bound(dtype_of<T>())))
            << tanh_form;
        EXPECT_TRUE(y.intact());
        auto in_place = Guarded<T>::of({rows, width}, x.values());
        ops::gelu(ctx, in_place, form, in_place);
        EXPECT_TRUE(same_bits(in_place, y));
      }
    });
  });
}

INSTANTIATE_TEST_SUITE_P(Shapes, Gelu,
                         testing::ValuesIn(in_each_dtype<RowsWidth>(
                             {{1, 1}, {2, 15}, {5, 16}, {7, 17}, {3, 1031}, {9, 4304}})),
                         InstanceName{});

/// Every bf16 value: reference and op round once each, and differ only at ties of f32 against f64.
TEST(Gelu, OfEveryBFloat16IsWithinOneUnit) {
  std::vector<BFloat16> all;
  for (std::uint32_t bits = 0; bits < 0x10000; ++bits) {
    const BFloat16 x{static_cast<std::uint16_t>(bits)};
    if (std::isfinite(to_float(x)) && std::abs(to_float(x)) < 1e18F) all.push_back(x);
  }
  const Shape shape{1, static_cast<std::int64_t>(all.size())};
  for_each_isa([&](Context& ctx) {
    auto x = Guarded<BFloat16>::of(shape, all);
    for (const bool tanh_form : {true, false}) {
      Guarded<BFloat16> y(shape);
      ops::gelu(ctx, x, tanh_form ? ops::Gelu::kTanh : ops::Gelu::kErf, y);
      EXPECT_TRUE(
          close(y.doubles(), gelu_reference(x.doubles(), tanh_form), gelu_bound(DType::kBF16)))
          << tanh_form;
    }
  });
}

TEST(Gelu, IsZeroOrItselfFarFromZero) {
  for_each_isa([&](Context& ctx) {
    auto x = Guarded<float>::of({1, 5}, {1e6F, -1e6F, 3e38F, 0, -0.0F});
    for (const auto form : {ops::Gelu::kTanh, ops::Gelu::kErf}) {
      Guarded<float> y({1, 5});
      ops::gelu(ctx, x, form, y);
      EXPECT_EQ(y.at(0, 0), 1e6F);
      EXPECT_EQ(y.at(0, 1), 0);
      EXPECT_EQ(y.at(0, 2), 3e38F);
      EXPECT_EQ(y.at(0, 3), 0);
      EXPECT_EQ(y.at(0, 4), 0);
    }
  });
}

TEST(Gelu, KeepsNaNInItsElement) {
  for_each_isa([&](Context& ctx) {
    auto x = Guarded<float>::random({2, 33}, 1);
    x.at(0, 32) = NAN, x.at(1, 0) = NAN;
    for (const auto form : {ops::Gelu::kTanh, ops::Gelu::kErf}) {
      Guarded<float> y({2, 33});
      ops::gelu(ctx, x, form, y);
      for (std::int64_t t = 0; t < 2; ++t)
        for (std::int64_t i = 0; i < 33; ++i)
          EXPECT_EQ(std::isnan(y.at(t, i)), i == (t == 0 ? 32 : 0)) << t << ", " << i;
    }
  });
}

TEST(Gelu, RefusesWhatDoesNotFit) {
  TestContext ctx;
  Guarded<float> x({3, 8}), wide({3, 9});
  Guarded<BFloat16> y_bf16({3, 8});
  EXPECT_THROW(ops::gelu(ctx, x, ops::Gelu::kTanh, wide), BugError);
  EXPECT_THROW(ops::gelu(ctx, x, ops::Gelu::kErf, y_bf16), BugError);
}

}  // namespace
}  // namespace retinue::test
