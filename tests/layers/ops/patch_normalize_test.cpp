#include "layers/ops/patch_normalize.h"

#include "tests/support/op_test.h"

#include <gtest/gtest.h>

namespace retinue::test {
namespace {

class PatchNormalize : public testing::TestWithParam<Instance<RowsWidth>> {};

/// A table is looked up: no tolerance.
TEST_P(PatchNormalize, TakesEachChannelsOwnValue) {
  constexpr std::int64_t kChannels = 3;
  const auto [patches, per_channel] = GetParam().shape;
  for_dtype(GetParam().dtype, [&](auto element) {
    using T = decltype(element);
    for_each_isa([&](Context& ctx) {
      std::vector<float> values;
      for (int i = 0; i < kChannels * 256; ++i)
        values.push_back((static_cast<float>(i % 256) / 255 - 0.5F) / (0.25F * float(1 + i / 256)));
      const std::int64_t width = kChannels * per_channel;
      Guarded<std::uint8_t> pixels({patches, width}, 3);
      std::uint64_t i = 0;
      pixels.for_each(
          [&](std::uint8_t& x) { x = static_cast<std::uint8_t>(random_bits(1, i++) & 0xFF); });
      Guarded<T> y({patches, width}, 5), want({patches, width});
      ops::patch_normalize(ctx, pixels, values, y);
      for (std::int64_t t = 0; t < patches; ++t)
        for (std::int64_t c = 0; c < width; ++c)
          want.at(t, c) = from_double<T>(
              values[static_cast<std::size_t>(c / per_channel * 256 + pixels.at(t, c))]);
      EXPECT_TRUE(same_bits(y, want));
      EXPECT_TRUE(y.intact());
    });
  });
}

INSTANTIATE_TEST_SUITE_P(Shapes, PatchNormalize,
                         testing::ValuesIn(in_each_dtype<RowsWidth>({{1, 1}, {5, 17}, {9, 512}})),
                         InstanceName{});

TEST(PatchNormalize, RefusesWhatDoesNotFit) {
  TestContext ctx;
  const std::vector<float> values(768), odd(700);
  Guarded<std::uint8_t> pixels({2, 12}), uneven({2, 13});
  Guarded<float> y({2, 12}), y_uneven({2, 13});
  Guarded<std::int32_t> y_i32({2, 12});
  EXPECT_THROW(ops::patch_normalize(ctx, pixels, odd, y), BugError);
  EXPECT_THROW(ops::patch_normalize(ctx, pixels, {}, y), BugError);
  EXPECT_THROW(ops::patch_normalize(ctx, uneven, values, y_uneven), BugError);
  EXPECT_THROW(ops::patch_normalize(ctx, pixels, values, y_uneven), BugError);
  EXPECT_THROW(ops::patch_normalize(ctx, y, values, y), BugError);
  EXPECT_THROW(ops::patch_normalize(ctx, pixels, values, y_i32), BugError);
}

}  // namespace
}  // namespace retinue::test
