#include "runtime/input/pixel_kernels.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

#include <algorithm>
#include <array>
#include <cstring>
#include <vector>

namespace retinue::runtime::detail {

#if defined(__x86_64__)

// A target attribute per function instead of a flag for the file: with the flag, the inline
// functions of the headers would be compiled for AVX2 as well, and the linker could choose those
// for all.
#define RETINUE_AVX2 __attribute__((target("avx2")))

namespace {

constexpr int kRowsAtOnce = 4;

/// Four taps of 3 channels a step: low lane taps 0 and 1, high lane 2 and 3, each as (r r g g b b 0
/// 0).
RETINUE_AVX2 void columns_of_4_rows(const std::array<const std::uint8_t*, kRowsAtOnce>& rows,
                                    const AxisWeights& axis,
                                    const std::array<std::uint8_t*, kRowsAtOnce>& out) {
  const __m256i pairs =
      _mm256_setr_epi8(0, -1, 3, -1, 1, -1, 4, -1, 2, -1, 5, -1, -1, -1, -1, -1,  //
                       6, -1, 9, -1, 7, -1, 10, -1, 8, -1, 11, -1, -1, -1, -1, -1);
  const __m256i spread = _mm256_setr_epi32(0, 0, 0, 0, 1, 1, 1, 1);
  const __m128i shift = _mm_cvtsi32_si128(axis.fraction_bits);
  // The rounding half goes into one of the two lanes that are added at the end.
  const __m256i half =
      _mm256_setr_epi32(1 << (axis.fraction_bits - 1), 1 << (axis.fraction_bits - 1),
                        1 << (axis.fraction_bits - 1), 0, 0, 0, 0, 0);
  const std::size_t width = axis.first.size();
  for (std::size_t x = 0; x < width; ++x) {
    const std::int16_t* w = axis.weights.data() + x * static_cast<std::size_t>(axis.stride);
    std::ptrdiff_t at = std::ptrdiff_t{axis.first[x]} * 3;
    __m256i sum0 = half;
    __m256i sum1 = half;
    __m256i sum2 = half;
    __m256i sum3 = half;
    for (std::int32_t j = 0; j < axis.count[x]; j += 4, at += 12) {
      long long four;
      std::memcpy(&four, w + j, sizeof four);
      const __m256i weights = _mm256_permutevar8x32_epi32(_mm256_set1_epi64x(four), spread);
      const auto product = [&](const std::uint8_t* row) RETINUE_AVX2 {
        const __m256i pixels = _mm256_broadcastsi128_si256(
            _mm_loadu_si128(reinterpret_cast<const __m128i*>(row + at)));
        return _mm256_madd_epi16(_mm256_shuffle_epi8(pixels, pairs), weights);
      };
      sum0 = _mm256_add_epi32(sum0, product(rows[0]));
      sum1 = _mm256_add_epi32(sum1, product(rows[1]));
      sum2 = _mm256_add_epi32(sum2, product(rows[2]));
      sum3 = _mm256_add_epi32(sum3, product(rows[3]));
    }
    const __m256i sum01 = _mm256_add_epi32(_mm256_permute2x128_si256(sum0, sum1, 0x20),
                                           _mm256_permute2x128_si256(sum0, sum1, 0x31));
    const __m256i sum23 = _mm256_add_epi32(_mm256_permute2x128_si256(sum2, sum3, 0x20),
                                           _mm256_permute2x128_si256(sum2, sum3, 0x31));
    const __m256i words =
        _mm256_packs_epi32(_mm256_sra_epi32(sum01, shift), _mm256_sra_epi32(sum23, shift));
    const __m256i samples = _mm256_packus_epi16(words, words);
    // Low lane: rows 0 and 2; high lane: rows 1 and 3.
    const __m128i low = _mm256_castsi256_si128(samples);
    const __m128i high = _mm256_extracti128_si256(samples, 1);
    const std::array<int, kRowsAtOnce> pixels = {_mm_cvtsi128_si32(low), _mm_cvtsi128_si32(high),
                                                 _mm_extract_epi32(low, 1),
                                                 _mm_extract_epi32(high, 1)};
    // The fourth byte is overwritten by the next pixel; behind the last one it is not ours.
    const bool last = x + 1 == width;
    for (std::size_t k = 0; k < pixels.size(); ++k) {
      if (!last)
        std::memcpy(out[k] + x * 3, &pixels[k], 4);
      else
        std::memcpy(out[k] + x * 3, &pixels[k], 3);
    }
  }
}

/// 32 bytes of one output row.
RETINUE_AVX2 inline void rows_block(const std::uint8_t* source, std::int64_t row_bytes,
                                    std::int32_t count, const std::int16_t* w, int fraction_bits,
                                    std::uint8_t* target) {
  const __m256i zero = _mm256_setzero_si256();
  const __m256i half = _mm256_set1_epi32(1 << (fraction_bits - 1));
  const __m128i shift = _mm_cvtsi32_si128(fraction_bits);
  __m256i sum0 = half;
  __m256i sum1 = half;
  __m256i sum2 = half;
  __m256i sum3 = half;
  for (std::int32_t j = 0; j < count; j += 2) {
    const auto* row = reinterpret_cast<const __m256i*>(source + j * row_bytes);
    const auto* next = reinterpret_cast<const __m256i*>(source + (j + 1) * row_bytes);
    const __m256i a = _mm256_loadu_si256(row);
    const __m256i b = j + 1 < count ? _mm256_loadu_si256(next) : zero;
    int two;
    std::memcpy(&two, w + j, sizeof two);
    const __m256i weights = _mm256_set1_epi32(two);
    const __m256i low = _mm256_unpacklo_epi8(a, b);
    const __m256i high = _mm256_unpackhi_epi8(a, b);
    sum0 = _mm256_add_epi32(sum0, _mm256_madd_epi16(_mm256_unpacklo_epi8(low, zero), weights));
    sum1 = _mm256_add_epi32(sum1, _mm256_madd_epi16(_mm256_unpackhi_epi8(low, zero), weights));
    sum2 = _mm256_add_epi32(sum2, _mm256_madd_epi16(_mm256_unpacklo_epi8(high, zero), weights));
    sum3 = _mm256_add_epi32(sum3, _mm256_madd_epi16(_mm256_unpackhi_epi8(high, zero), weights));
  }
  const __m256i low =
      _mm256_packs_epi32(_mm256_sra_epi32(sum0, shift), _mm256_sra_epi32(sum1, shift));
  const __m256i high =
      _mm256_packs_epi32(_mm256_sra_epi32(sum2, shift), _mm256_sra_epi32(sum3, shift));
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(target), _mm256_packus_epi16(low, high));
}

}  // namespace

void resize_columns_avx2(const std::uint8_t* source, std::int64_t rows, std::int64_t in_width,
                         const AxisWeights& axis, std::uint8_t* target) {
  const std::int64_t in_bytes = in_width * 3;
  const auto out_bytes = static_cast<std::int64_t>(axis.first.size()) * 3;
  // A step reads 16 bytes for 4 taps, also past the last tap: the furthest byte touched in a row.
  std::int64_t reach = 0;
  for (std::size_t x = 0; x < axis.first.size(); ++x)
    reach = std::max(reach, axis.first[x] * std::int64_t{3} + (axis.count[x] + 3) / 4 * 12 + 4);
  const std::int64_t total = rows * in_bytes;
  std::vector<std::uint8_t> padded(static_cast<std::size_t>(reach * kRowsAtOnce));
  std::vector<std::uint8_t> unused(static_cast<std::size_t>(out_bytes));
  for (std::int64_t y = 0; y < rows; y += kRowsAtOnce) {
    std::array<const std::uint8_t*, kRowsAtOnce> in;
    std::array<std::uint8_t*, kRowsAtOnce> out;
    for (std::int64_t k = 0; k < kRowsAtOnce; ++k) {
      const auto i = static_cast<std::size_t>(k);
      const std::int64_t row = std::min(y + k, rows - 1);
      in[i] = source + row * in_bytes;
      out[i] = y + k < rows ? target + row * out_bytes : unused.data();
      if (row * in_bytes + reach > total) {
        std::uint8_t* copy = padded.data() + k * reach;
        std::copy_n(in[i], std::min(in_bytes, reach), copy);
        in[i] = copy;
      }
    }
    columns_of_4_rows(in, axis, out);
  }
}

RETINUE_AVX2 void resize_rows_avx2(const std::uint8_t* source, std::int64_t source_row,
                                   std::int64_t row_bytes, const AxisWeights& axis,
                                   std::int64_t begin, std::int64_t end, std::uint8_t* target) {
  if (row_bytes < 32) {
    resize_rows(source, source_row, row_bytes, axis, begin, end, target);
    return;
  }
  for (auto y = static_cast<std::size_t>(begin); y < static_cast<std::size_t>(end);
       ++y, target += row_bytes) {
    const std::int16_t* w = axis.weights.data() + y * static_cast<std::size_t>(axis.stride);
    const std::uint8_t* first = source + (axis.first[y] - source_row) * row_bytes;
    for (std::int64_t x = 0; x < row_bytes; x += 32) {
      // The last block overlaps the one before it.
      const std::int64_t at = std::min(x, row_bytes - 32);
      rows_block(first + at, row_bytes, axis.count[y], w, axis.fraction_bits, target + at);
    }
  }
}

RETINUE_AVX2 void split_patch_avx2(const std::uint8_t* rgb, std::int64_t row_bytes,
                                   std::int64_t patch, std::uint8_t* out, std::int64_t plane,
                                   std::int64_t copy) {
  // Which byte of each third of 48 goes where; -1 leaves a zero for the others to fill.
  const __m128i r0 = _mm_setr_epi8(0, 3, 6, 9, 12, 15, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1);
  const __m128i r1 = _mm_setr_epi8(-1, -1, -1, -1, -1, -1, 2, 5, 8, 11, 14, -1, -1, -1, -1, -1);
  const __m128i r2 = _mm_setr_epi8(-1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, 1, 4, 7, 10, 13);
  const __m128i g0 = _mm_setr_epi8(1, 4, 7, 10, 13, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1);
  const __m128i g1 = _mm_setr_epi8(-1, -1, -1, -1, -1, 0, 3, 6, 9, 12, 15, -1, -1, -1, -1, -1);
  const __m128i g2 = _mm_setr_epi8(-1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, 2, 5, 8, 11, 14);
  const __m128i b0 = _mm_setr_epi8(2, 5, 8, 11, 14, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1);
  const __m128i b1 = _mm_setr_epi8(-1, -1, -1, -1, -1, 1, 4, 7, 10, 13, -1, -1, -1, -1, -1, -1);
  const __m128i b2 = _mm_setr_epi8(-1, -1, -1, -1, -1, -1, -1, -1, -1, -1, 0, 3, 6, 9, 12, 15);
  for (std::int64_t y = 0; y < patch; ++y, rgb += row_bytes) {
    for (std::int64_t x = 0; x < patch; x += 16, out += 16) {
      const auto load = [&](std::int64_t at) RETINUE_AVX2 {
        return _mm_loadu_si128(reinterpret_cast<const __m128i*>(rgb + x * 3 + at));
      };
      const __m128i a = load(0);
      const __m128i b = load(16);
      const __m128i c = load(32);
      const auto store = [&](std::int64_t at, __m128i from_a, __m128i from_b,
                             __m128i from_c) RETINUE_AVX2 {
        const __m128i samples =
            _mm_or_si128(_mm_or_si128(_mm_shuffle_epi8(a, from_a), _mm_shuffle_epi8(b, from_b)),
                         _mm_shuffle_epi8(c, from_c));
        _mm_storeu_si128(reinterpret_cast<__m128i*>(out + at), samples);
        if (copy != 0) _mm_storeu_si128(reinterpret_cast<__m128i*>(out + at + copy), samples);
      };
      store(0, r0, r1, r2);
      store(plane, g0, g1, g2);
      store(2 * plane, b0, b1, b2);
    }
  }
}

#else

void resize_columns_avx2(const std::uint8_t* source, std::int64_t rows, std::int64_t in_width,
                         const AxisWeights& axis, std::uint8_t* target) {
  resize_columns(source, rows, in_width, axis, target);
}
void resize_rows_avx2(const std::uint8_t* source, std::int64_t source_row, std::int64_t row_bytes,
                      const AxisWeights& axis, std::int64_t begin, std::int64_t end,
                      std::uint8_t* target) {
  resize_rows(source, source_row, row_bytes, axis, begin, end, target);
}
void split_patch_avx2(const std::uint8_t* rgb, std::int64_t row_bytes, std::int64_t patch,
                      std::uint8_t* out, std::int64_t plane, std::int64_t copy) {
  split_patch(rgb, row_bytes, patch, out, plane, copy);
}

#endif

}  // namespace retinue::runtime::detail
