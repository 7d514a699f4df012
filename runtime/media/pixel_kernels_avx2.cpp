#include "runtime/media/pixel_kernels.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

#include <algorithm>
#include <array>
#include <cstring>
#include <vector>

namespace retinue::runtime::detail {

#if defined(__x86_64__)

// Each function has a target attribute; the file has no flag. With a flag, inline functions of
// headers would be compiled for AVX2 too, and the linker could choose those for the whole program.
#define RETINUE_AVX2 __attribute__((target("avx2")))

namespace {

constexpr int kRowsAtOnce = 4;

/// Two output columns of four rows: column x in the low lane, x + 1 in the high one, four taps of 3
/// channels per step. `at` and `next` are the first bytes of the taps, `w` and `w_next` their
/// weights.
struct Columns {
  std::ptrdiff_t at;
  std::ptrdiff_t next;
  const std::int16_t* w;
  const std::int16_t* w_next;
  std::int32_t count;
};

/// Per lane: four bytes of each of the four rows: r, g, b and one that is ignored.
RETINUE_AVX2 inline __m256i two_columns(const std::array<const std::uint8_t*, kRowsAtOnce>& rows,
                                        const Columns& c, __m256i half, __m128i shift) {
  // As 16-bit words: r r g g b b 0 0 of taps 0 and 1, and of taps 2 and 3.
  const __m256i taps01 = _mm256_broadcastsi128_si256(
      _mm_setr_epi8(0, -1, 3, -1, 1, -1, 4, -1, 2, -1, 5, -1, -1, -1, -1, -1));
  const __m256i taps23 = _mm256_broadcastsi128_si256(
      _mm_setr_epi8(6, -1, 9, -1, 7, -1, 10, -1, 8, -1, 11, -1, -1, -1, -1, -1));
  // Spelled out: as arrays and loops, g++ -O2 keeps the sums in memory.
  const std::uint8_t* row0 = rows[0];
  const std::uint8_t* row1 = rows[1];
  const std::uint8_t* row2 = rows[2];
  const std::uint8_t* row3 = rows[3];
  __m256i sum0 = half;
  __m256i sum1 = half;
  __m256i sum2 = half;
  __m256i sum3 = half;
  for (std::int32_t j = 0; j < c.count; j += 4) {
    const __m256i four = _mm256_inserti128_si256(
        _mm256_castsi128_si256(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(c.w + j))),
        _mm_loadl_epi64(reinterpret_cast<const __m128i*>(c.w_next + j)), 1);
    const __m256i weights01 = _mm256_shuffle_epi32(four, 0x00);
    const __m256i weights23 = _mm256_shuffle_epi32(four, 0x55);
    const auto add = [&](__m256i& sum, const std::uint8_t* row) RETINUE_AVX2 {
      const auto* low = reinterpret_cast<const __m128i*>(row + c.at + j * 3);
      const auto* high = reinterpret_cast<const __m128i*>(row + c.next + j * 3);
      const __m256i pixels = _mm256_inserti128_si256(_mm256_castsi128_si256(_mm_loadu_si128(low)),
                                                     _mm_loadu_si128(high), 1);
      sum =
          _mm256_add_epi32(sum, _mm256_madd_epi16(_mm256_shuffle_epi8(pixels, taps01), weights01));
      sum =
          _mm256_add_epi32(sum, _mm256_madd_epi16(_mm256_shuffle_epi8(pixels, taps23), weights23));
    };
    add(sum0, row0);
    add(sum1, row1);
    add(sum2, row2);
    add(sum3, row3);
  }
  const __m256i words01 =
      _mm256_packs_epi32(_mm256_sra_epi32(sum0, shift), _mm256_sra_epi32(sum1, shift));
  const __m256i words23 =
      _mm256_packs_epi32(_mm256_sra_epi32(sum2, shift), _mm256_sra_epi32(sum3, shift));
  return _mm256_packus_epi16(words01, words23);
}

/// Stores the last one or two `pixels` of a row from the low bytes of `samples`.
void store_last(std::uint8_t* target, long long samples, std::size_t pixels) {
  if (pixels == 2)
    std::memcpy(target, &samples, 6);
  else
    std::memcpy(target, &samples, 3);
}

RETINUE_AVX2 void columns_of_4_rows(const std::array<const std::uint8_t*, kRowsAtOnce>& rows,
                                    const AxisWeights& axis,
                                    const std::array<std::uint8_t*, kRowsAtOnce>& out) {
  const __m128i shift = _mm_cvtsi32_si128(axis.fraction_bits);
  const __m256i half = _mm256_set1_epi32(1 << (axis.fraction_bits - 1));
  const __m128i close_gaps = _mm_setr_epi8(0, 1, 2, 4, 5, 6, -1, -1, 8, 9, 10, 12, 13, 14, -1, -1);
  const auto stride = static_cast<std::size_t>(axis.stride);
  const std::size_t width = axis.first.size();
  for (std::size_t x = 0; x < width; x += 2) {
    // An odd last column is computed twice.
    const std::size_t next = std::min(x + 1, width - 1);
    const Columns columns{.at = std::ptrdiff_t{axis.first[x]} * 3,
                          .next = std::ptrdiff_t{axis.first[next]} * 3,
                          .w = axis.weights.data() + x * stride,
                          .w_next = axis.weights.data() + next * stride,
                          .count = std::max(axis.count[x], axis.count[next])};
    const __m256i samples = two_columns(rows, columns, half, shift);
    const __m128i low = _mm256_castsi256_si128(samples);
    const __m128i high = _mm256_extracti128_si256(samples, 1);
    const __m128i rows01 = _mm_shuffle_epi8(_mm_unpacklo_epi32(low, high), close_gaps);
    const __m128i rows23 = _mm_shuffle_epi8(_mm_unpackhi_epi32(low, high), close_gaps);
    const std::size_t left = width - x;
    if (left > 2) {
      // Writes two bytes too many; the next pixels overwrite them.
      _mm_storel_epi64(reinterpret_cast<__m128i*>(out[0] + x * 3), rows01);
      _mm_storel_epi64(reinterpret_cast<__m128i*>(out[1] + x * 3),
                       _mm_unpackhi_epi64(rows01, rows01));
      _mm_storel_epi64(reinterpret_cast<__m128i*>(out[2] + x * 3), rows23);
      _mm_storel_epi64(reinterpret_cast<__m128i*>(out[3] + x * 3),
                       _mm_unpackhi_epi64(rows23, rows23));
    } else {
      store_last(out[0] + x * 3, _mm_cvtsi128_si64(rows01), left);
      store_last(out[1] + x * 3, _mm_extract_epi64(rows01, 1), left);
      store_last(out[2] + x * 3, _mm_cvtsi128_si64(rows23), left);
      store_last(out[3] + x * 3, _mm_extract_epi64(rows23, 1), left);
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
  const std::int64_t reach = std::ranges::max(axis.first) * std::int64_t{3} + axis.stride * 3 + 4;
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
  // The source byte of each target byte, for each third of 48; -1 gives a zero for the others to
  // fill.
  const __m128i r0 = _mm_setr_epi8(0, 3, 6, 9, 12, 15, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1);
  const __m128i r1 = _mm_setr_epi8(-1, -1, -1, -1, -1, -1, 2, 5, 8, 11, 14, -1, -1, -1, -1, -1);
  const __m128i r2 = _mm_setr_epi8(-1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, 1, 4, 7, 10, 13);
  const __m128i g0 = _mm_setr_epi8(1, 4, 7, 10, 13, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1);
  const __m128i g1 = _mm_setr_epi8(-1, -1, -1, -1, -1, 0, 3, 6, 9, 12, 15, -1, -1, -1, -1, -1);
  const __m128i g2 = _mm_setr_epi8(-1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, 2, 5, 8, 11, 14);
  const __m128i b0 = _mm_setr_epi8(2, 5, 8, 11, 14, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1);
  const __m128i b1 = _mm_setr_epi8(-1, -1, -1, -1, -1, 1, 4, 7, 10, 13, -1, -1, -1, -1, -1, -1);
  const __m128i b2 = _mm_setr_epi8(-1, -1, -1, -1, -1, -1, -1, -1, -1, -1, 0, 3, 6, 9, 12, 15);
  // 16 x 16 pixels fill whole cache lines, which are written past the cache: the patches of an
  // image are larger than the cache, and reading lines only to overwrite them would take half of
  // the time.
  const auto address =
      reinterpret_cast<std::uintptr_t>(out) | static_cast<std::uintptr_t>(plane | copy);
  const bool stream = patch == 16 && address % 16 == 0;
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
        auto* target = reinterpret_cast<__m128i*>(out + at);
        auto* again = reinterpret_cast<__m128i*>(out + at + copy);
        if (stream) {
          _mm_stream_si128(target, samples);
          if (copy != 0) _mm_stream_si128(again, samples);
        } else {
          _mm_storeu_si128(target, samples);
          if (copy != 0) _mm_storeu_si128(again, samples);
        }
      };
      store(0, r0, r1, r2);
      store(plane, g0, g1, g2);
      store(2 * plane, b0, b1, b2);
    }
  }
}

void publish_patches() { _mm_sfence(); }

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

void publish_patches() {}

#endif

}  // namespace retinue::runtime::detail
