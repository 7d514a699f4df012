#pragma once

#include "runtime/media/frames.h"

#include <cstdint>
#include <span>
#include <vector>

namespace retinue::runtime {

/// Antialiased bicubic resize.  ATen: UpSampleKernel.cpp, the uint8 path of upsample_bicubic2d_aa,
/// which torchvision's v2 resize takes for uint8 images on a CPU
///   source   [from.height, from.width, 3]   u8
///   target   [to.height, to.width, 3]       u8   may not overlap source
/// Numerics: Keys' cubic with a = -0.5, stretched by the scale when shrinking. Weights are
///   normalised in f64 and rounded to i16 with as many fractional bits as the largest allows; each
///   pass sums in i32 and rounds to u8. Columns first, then rows; an axis of equal size is skipped.
///   All sums are of integers: the bits are the same on every CPU.
void resize_bicubic_u8(std::span<const std::uint8_t> source, ImageSize from,
                       std::span<std::uint8_t> target, ImageSize to);

namespace detail {

/// The taps of every output position of one axis. Rows of `weights` are `stride` long, a multiple
/// of four, with zeros behind the last tap.
struct AxisWeights {
  std::vector<std::int32_t> first;    ///< [out]: input position of tap 0
  std::vector<std::int32_t> count;    ///< [out]: taps with a weight
  std::vector<std::int16_t> weights;  ///< [out, stride]
  std::int32_t stride = 0;
  int fraction_bits = 0;
};
AxisWeights bicubic_weights(std::int64_t in, std::int64_t out);

enum class Isa { kPortable, kAvx2 };
/// The widest set that this CPU has.
Isa best_isa();

/// Resizes in bands of rows, from top to bottom, so that the rows between the two passes stay in
/// the cache and their consumer need not wait for all of them.
class BandResizer {
 public:
  BandResizer(ImageSize from, ImageSize to, Isa isa);

  /// Starts an image [from.height, from.width, 3], which must outlive its bands.
  void start(const std::uint8_t* source);

  /// Rows [begin, end) of the resized image, written to `scratch`; where the size does not change,
  /// rows of the source itself.
  ///   scratch   [end - begin, to.width, 3]
  const std::uint8_t* band(std::int64_t begin, std::int64_t end, std::uint8_t* scratch);

 private:
  const std::uint8_t* columns_of(std::int64_t begin, std::int64_t end);

  ImageSize from_;
  ImageSize to_;
  Isa isa_;
  AxisWeights columns_;
  AxisWeights rows_;
  const std::uint8_t* source_ = nullptr;
  std::vector<std::uint8_t> between_;  ///< input rows [kept_begin_, kept_end_) after the first pass
  std::int64_t kept_begin_ = 0;
  std::int64_t kept_end_ = 0;
};

/// As above, with the instruction set chosen; for tests and benchmarks.
void resize_bicubic_u8(std::span<const std::uint8_t> source, ImageSize from,
                       std::span<std::uint8_t> target, ImageSize to, Isa isa);

}  // namespace detail
}  // namespace retinue::runtime
