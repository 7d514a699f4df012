#include "runtime/media/resize.h"

#include "parallel/base/check.h"
#include "runtime/media/pixel_kernels.h"

#include <algorithm>
#include <cmath>
#include <cstring>

namespace retinue::runtime {
namespace detail {
namespace {

/// Keys 1981 with a = -0.5, in ATen's order of operations.
double keys_cubic(double x) {
  constexpr double kA = -0.5;
  x = std::abs(x);
  if (x < 1.0) return ((kA + 2.0) * x - (kA + 3.0)) * x * x + 1.0;
  if (x < 2.0) return ((kA * x - 5.0 * kA) * x + 8.0 * kA) * x - 4.0 * kA;
  return 0.0;
}

std::uint8_t round_to_u8(std::int32_t sum, int fraction_bits) {
  return static_cast<std::uint8_t>(std::clamp(sum >> fraction_bits, 0, 255));
}

}  // namespace

AxisWeights bicubic_weights(std::int64_t in, std::int64_t out) {
  const double scale = static_cast<double>(in) / static_cast<double>(out);
  const double support = 2.0 * std::max(scale, 1.0);
  const double inverse = scale >= 1.0 ? 1.0 / scale : 1.0;
  const auto max_taps = static_cast<std::int32_t>(std::ceil(support)) * 2 + 1;

  AxisWeights axis;
  axis.stride = (max_taps + 3) / 4 * 4;
  const auto outs = static_cast<std::size_t>(out);
  const auto stride = static_cast<std::size_t>(axis.stride);
  axis.first.resize(outs);
  axis.count.resize(outs);
  axis.weights.resize(outs * stride);
  std::vector<double> exact(outs * stride);
  double largest = 0.0;
  std::int32_t most_taps = 0;
  for (std::size_t i = 0; i < outs; ++i) {
    const double center = scale * (static_cast<double>(i) + 0.5);
    const auto first = std::max<std::int64_t>(static_cast<std::int64_t>(center - support + 0.5), 0);
    const auto end = std::min(static_cast<std::int64_t>(center + support + 0.5), in);
    const auto count =
        static_cast<std::int32_t>(std::clamp<std::int64_t>(end - first, 0, max_taps));
    double* w = exact.data() + i * stride;
    double total = 0.0;
    for (std::int32_t j = 0; j < count; ++j) {
      w[j] = keys_cubic((static_cast<double>(j + first) - center + 0.5) * inverse);
      total += w[j];
    }
    for (std::int32_t j = 0; j < count; ++j) {
      if (total != 0.0) w[j] /= total;
      largest = std::max(largest, w[j]);
    }
    axis.first[i] = static_cast<std::int32_t>(first);
    axis.count[i] = count;
    most_taps = std::max(most_taps, count);
  }
  // The most fractional bits that keep the largest weight within 16 bits.
  while (axis.fraction_bits < 22 &&
         static_cast<std::int64_t>(
             0.5 + largest * static_cast<double>(1 << (axis.fraction_bits + 1))) < 32768)
    ++axis.fraction_bits;
  const auto one = static_cast<double>(1 << axis.fraction_bits);
  const auto packed = static_cast<std::size_t>((most_taps + 3) / 4 * 4);
  for (std::size_t i = 0; i < outs; ++i) {
    for (std::size_t j = 0; j < packed; ++j) {
      const double w = exact[i * stride + j] * one;
      axis.weights[i * packed + j] = static_cast<std::int16_t>(w < 0.0 ? w - 0.5 : w + 0.5);
    }
  }
  axis.stride = static_cast<std::int32_t>(packed);
  axis.weights.resize(outs * packed);
  return axis;
}

void resize_columns(const std::uint8_t* source, std::int64_t rows, std::int64_t in_width,
                    const AxisWeights& axis, std::uint8_t* target) {
  for (std::int64_t y = 0; y < rows; ++y, source += in_width * 3) {
    for (std::size_t x = 0; x < axis.first.size(); ++x, target += 3) {
      const std::int16_t* w = axis.weights.data() + x * static_cast<std::size_t>(axis.stride);
      const std::uint8_t* pixel = source + std::int64_t{axis.first[x]} * 3;
      std::int32_t sum[3] = {};
      for (std::int32_t j = 0; j < axis.count[x]; ++j, pixel += 3)
        for (int c = 0; c < 3; ++c) sum[c] += pixel[c] * w[j];
      const std::int32_t half = 1 << (axis.fraction_bits - 1);
      for (int c = 0; c < 3; ++c) target[c] = round_to_u8(sum[c] + half, axis.fraction_bits);
    }
  }
}

void resize_rows(const std::uint8_t* source, std::int64_t source_row, std::int64_t row_bytes,
                 const AxisWeights& axis, std::int64_t begin, std::int64_t end,
                 std::uint8_t* target) {
  std::vector<std::int32_t> sums(static_cast<std::size_t>(row_bytes));
  for (auto y = static_cast<std::size_t>(begin); y < static_cast<std::size_t>(end); ++y) {
    std::ranges::fill(sums, 1 << (axis.fraction_bits - 1));
    const std::int16_t* w = axis.weights.data() + y * static_cast<std::size_t>(axis.stride);
    for (std::int32_t j = 0; j < axis.count[y]; ++j) {
      const std::uint8_t* row = source + (axis.first[y] + j - source_row) * row_bytes;
      for (std::size_t x = 0; x < sums.size(); ++x) sums[x] += row[x] * w[j];
    }
    for (const std::int32_t sum : sums) *target++ = round_to_u8(sum, axis.fraction_bits);
  }
}

Isa best_isa() {
#if defined(__x86_64__)
  return __builtin_cpu_supports("avx2") != 0 ? Isa::kAvx2 : Isa::kPortable;
#else
  return Isa::kPortable;
#endif
}

BandResizer::BandResizer(ImageSize from, ImageSize to, Isa isa) : from_(from), to_(to), isa_(isa) {
  check(from.height > 0 && from.width > 0 && to.height > 0 && to.width > 0,
        "resize: an empty side");
  if (from.width != to.width) columns_ = bicubic_weights(from.width, to.width);
  if (from.height != to.height) rows_ = bicubic_weights(from.height, to.height);
}

void BandResizer::start(const std::uint8_t* source) {
  source_ = source;
  kept_begin_ = 0;
  kept_end_ = 0;
}

const std::uint8_t* BandResizer::columns_of(std::int64_t begin, std::int64_t end) {
  const auto row_bytes = static_cast<std::size_t>(to_.width * 3);
  // The vector form takes four rows at a time.
  end = std::min((end + 3) / 4 * 4, from_.height);
  const auto kept = static_cast<std::size_t>(std::max<std::int64_t>(kept_end_ - begin, 0));
  const auto rows = static_cast<std::size_t>(end - begin);
  if (between_.size() < rows * row_bytes) between_.resize(rows * row_bytes);
  if (kept > 0) {
    const auto skipped = static_cast<std::size_t>(begin - kept_begin_);
    std::memmove(between_.data(), between_.data() + skipped * row_bytes, kept * row_bytes);
  }
  const std::int64_t first = begin + static_cast<std::int64_t>(kept);
  if (first < end) {
    const auto columns = isa_ == Isa::kAvx2 ? resize_columns_avx2 : resize_columns;
    columns(source_ + first * from_.width * 3, end - first, from_.width, columns_,
            between_.data() + kept * row_bytes);
  }
  kept_begin_ = begin;
  kept_end_ = std::max(end, first);
  return between_.data();
}

const std::uint8_t* BandResizer::band(std::int64_t begin, std::int64_t end, std::uint8_t* scratch) {
  const bool same_width = from_.width == to_.width;
  if (from_.height == to_.height) {
    if (same_width) return source_ + begin * to_.width * 3;
    const auto columns = isa_ == Isa::kAvx2 ? resize_columns_avx2 : resize_columns;
    columns(source_ + begin * from_.width * 3, end - begin, from_.width, columns_, scratch);
    return scratch;
  }
  const auto first = static_cast<std::size_t>(begin);
  const auto last = static_cast<std::size_t>(end - 1);
  const std::int64_t top = rows_.first[first];
  const std::int64_t bottom = rows_.first[last] + rows_.count[last];
  const std::uint8_t* between = same_width ? source_ : columns_of(top, bottom);
  const auto rows = isa_ == Isa::kAvx2 ? resize_rows_avx2 : resize_rows;
  rows(between, same_width ? 0 : top, to_.width * 3, rows_, begin, end, scratch);
  return scratch;
}

void resize_bicubic_u8(std::span<const std::uint8_t> source, ImageSize from,
                       std::span<std::uint8_t> target, ImageSize to, Isa isa) {
  check(std::ssize(source) == from.pixels() * 3, "resize: source is not [height, width, 3]");
  check(std::ssize(target) == to.pixels() * 3, "resize: target is not [height, width, 3]");
  BandResizer resizer(from, to, isa);
  resizer.start(source.data());
  constexpr std::int64_t kBand = 16;
  for (std::int64_t y = 0; y < to.height; y += kBand) {
    const std::int64_t end = std::min(y + kBand, to.height);
    std::uint8_t* out = target.data() + y * to.width * 3;
    const std::uint8_t* rows = resizer.band(y, end, out);
    if (rows != out) std::copy_n(rows, (end - y) * to.width * 3, out);
  }
}

}  // namespace detail

void resize_bicubic_u8(std::span<const std::uint8_t> source, ImageSize from,
                       std::span<std::uint8_t> target, ImageSize to) {
  detail::resize_bicubic_u8(source, from, target, to, detail::best_isa());
}

}  // namespace retinue::runtime
