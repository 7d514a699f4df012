#pragma once

#include "runtime/input/media.h"

#include <cstdint>
#include <span>
#include <vector>

namespace retinue::runtime {

/// Antialiased bicubic resize.  ATen: UpSampleKernel.cpp, the uint8 path of upsample_bicubic2d_aa,
/// which torchvision's v2 resize takes for uint8 images on a CPU
///   source   [from.height, from.width, 3]   u8
///   target   [to.height, to.width, 3]       u8   may not overlap source
/// Numerics: Keys' cubic with a = -0.5, stretched by the scale when shrinking; weights are
/// normalised
///   in f64 and rounded to i16 with as many fractional bits as the largest allows; each pass sums
///   in i32 and rounds to u8. Columns first, then rows; an axis of equal size is left alone. All
///   integers: the bits are the same on every CPU.
void resize_bicubic_u8(std::span<const std::uint8_t> source, ImageSize from,
                       std::span<std::uint8_t> target, ImageSize to);

namespace detail {

/// The taps of every output position of one axis. Rows of `weights` are `stride` long, a multiple
/// of four, with zeros behind the last tap.
struct AxisWeights {
  std::vector<std::int32_t> first;    ///< [out]: input position of tap 0
  std::vector<std::int32_t> count;    ///< [out]: taps that count
  std::vector<std::int16_t> weights;  ///< [out, stride]
  std::int32_t stride = 0;
  int fraction_bits = 0;
};
AxisWeights bicubic_weights(std::int64_t in, std::int64_t out);

enum class Isa { kPortable, kAvx2 };
/// The widest that this CPU has.
Isa best_isa();
/// As above, with the instruction set chosen; for tests and benchmarks.
void resize_bicubic_u8(std::span<const std::uint8_t> source, ImageSize from,
                       std::span<std::uint8_t> target, ImageSize to, Isa isa);

}  // namespace detail
}  // namespace retinue::runtime
