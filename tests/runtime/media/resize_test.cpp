#include "runtime/media/resize.h"

#include "parallel/base/hash.h"
#include "parallel/base/rng.h"
#include "runtime/media/pixel_kernels.h"
#include "tests/runtime/media/image_golden.h"

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <numeric>

namespace retinue::runtime {
namespace {

using Json = nlohmann::json;
using Pixels = std::vector<std::uint8_t>;

/// What scripts/golden/images.py resizes.
Pixels golden_source(std::uint64_t seed, ImageSize size) {
  Pixels pixels = random_bytes(seed, static_cast<std::size_t>(size.pixels() * 3));
  if (seed % 3 == 0)
    for (std::uint8_t& value : pixels) value = value >= 128 ? 255 : 0;
  return pixels;
}

Pixels resized(const Pixels& source, ImageSize from, ImageSize to, detail::Isa isa) {
  Pixels target(static_cast<std::size_t>(to.pixels() * 3));
  detail::resize_bicubic_u8(source, from, target, to, isa);
  return target;
}

class Resize : public testing::TestWithParam<detail::Isa> {};

/// What this CPU can run.
std::vector<detail::Isa> isas() {
  std::vector<detail::Isa> found{detail::Isa::kPortable};
  if (detail::best_isa() != detail::Isa::kPortable) found.push_back(detail::best_isa());
  return found;
}

TEST_P(Resize, EqualsTorchBitForBit) {
  const Json rows = read_golden("images/manifest.json")["resizes"]["rows"];
  ASSERT_GE(rows.size(), 60U);
  for (const Json& row : rows) {
    const ImageSize from{.height = row[1], .width = row[2]};
    const ImageSize to{.height = row[3], .width = row[4]};
    const Pixels out = resized(golden_source(row[0], from), from, to, GetParam());
    EXPECT_EQ(sha256_hex(std::as_bytes(std::span(out))), row[5]) << row.dump();
  }
}

TEST_P(Resize, EqualSizeIsTheIdentity) {
  const ImageSize size{.height = 37, .width = 41};
  const Pixels source = golden_source(1, size);
  EXPECT_EQ(resized(source, size, size, GetParam()), source);
}

TEST_P(Resize, AFlatImageStaysFlat) {
  // Weights sum to one only before they are rounded: a tap is off by at most half a unit, and the
  // sum of all taps must still round to the same level.
  for (const int level : {0, 1, 127, 128, 254, 255}) {
    const ImageSize from{.height = 90, .width = 131};
    const Pixels source(static_cast<std::size_t>(from.pixels() * 3),
                        static_cast<std::uint8_t>(level));
    for (const ImageSize to :
         {ImageSize{.height = 32, .width = 64}, ImageSize{.height = 160, .width = 192}}) {
      const Pixels out = resized(source, from, to, GetParam());
      EXPECT_EQ(out, Pixels(out.size(), static_cast<std::uint8_t>(level)));
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Isa, Resize, testing::ValuesIn(isas()), [](const auto& instance) {
  return instance.param == detail::Isa::kAvx2 ? "avx2" : "portable";
});

/// Against the portable forms; without a wider instruction set there is nothing to hold against
/// them, and no test.
class ResizeKernels : public testing::TestWithParam<detail::Isa> {};
INSTANTIATE_TEST_SUITE_P(Isa, ResizeKernels,
                         testing::ValuesIn(detail::best_isa() == detail::Isa::kPortable
                                               ? std::vector<detail::Isa>{}
                                               : std::vector{detail::Isa::kAvx2}),
                         [](const auto&) { return "avx2"; });

TEST_P(ResizeKernels, VectorFormsEqualThePortableOnes) {
  for (std::uint64_t i = 0; i < 300; ++i) {
    const auto side = [&](std::uint64_t k, std::int64_t most) {
      return 1 + static_cast<std::int64_t>(random_bits(i, k) % static_cast<std::uint64_t>(most));
    };
    const std::int64_t most = i % 5 == 0 ? 8 : 120;
    const ImageSize from{.height = side(1, most), .width = side(2, most)};
    const ImageSize to{.height = side(3, most), .width = side(4, most)};
    const Pixels source = golden_source(i, from);
    ASSERT_EQ(resized(source, from, to, GetParam()),
              resized(source, from, to, detail::Isa::kPortable))
        << from.height << " x " << from.width << " to " << to.height << " x " << to.width;
  }
}

TEST_P(ResizeKernels, SplittingAPatchIsTheSameInBothForms) {
  for (const std::int64_t patch : {16, 32}) {
    const std::int64_t square = patch * patch;
    for (const std::int64_t copy : {std::int64_t{0}, square}) {
      const std::int64_t row_bytes = patch * 3 + 5;
      const Pixels source = random_bytes(7, static_cast<std::size_t>(row_bytes * patch));
      for (const std::size_t offset : {0, 1}) {  // lines are streamed only where they are aligned
        Pixels wide(static_cast<std::size_t>(6 * square + 2));
        Pixels plain(wide.size());
        detail::split_patch_avx2(source.data(), row_bytes, patch, &wide[offset], 2 * square, copy);
        detail::publish_patches();
        detail::split_patch(source.data(), row_bytes, patch, &plain[offset], 2 * square, copy);
        EXPECT_EQ(wide, plain);
      }
    }
  }
}

TEST(BicubicWeights, TapsLieInTheInputAndSumToOne) {
  for (const auto& [in, out] :
       {std::pair{1, 256}, {7, 3}, {1000, 32}, {32, 1000}, {4000, 1184}, {5, 5}}) {
    const detail::AxisWeights axis = detail::bicubic_weights(in, out);
    ASSERT_EQ(std::ssize(axis.first), out);
    for (std::size_t i = 0; i < axis.first.size(); ++i) {
      ASSERT_GE(axis.first[i], 0);
      ASSERT_GE(axis.count[i], 1);
      ASSERT_LE(axis.first[i] + axis.count[i], in);
      const auto* w = axis.weights.data() + i * static_cast<std::size_t>(axis.stride);
      const std::int64_t sum = std::accumulate(w, w + axis.stride, std::int64_t{0});
      // Each weight is rounded by at most half a unit.
      ASSERT_LE(std::abs(sum - (std::int64_t{1} << axis.fraction_bits)), (axis.count[i] + 1) / 2);
    }
  }
}

}  // namespace
}  // namespace retinue::runtime
