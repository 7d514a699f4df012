#pragma once

#include "runtime/input/resize.h"

#include <cstddef>
#include <cstdint>

/// Inner loops on pixels: one portable form and one for AVX2 of each, equal in every bit. The AVX2
/// forms may be called only where best_isa() says so; built for another architecture they are the
/// portable ones.
namespace retinue::runtime::detail {

/// Columns of `rows` rows: [rows, in_width, 3] → [rows, weights.first.size(), 3].
void resize_columns(const std::uint8_t* source, std::int64_t rows, std::int64_t in_width,
                    const AxisWeights& weights, std::uint8_t* target);
void resize_columns_avx2(const std::uint8_t* source, std::int64_t rows, std::int64_t in_width,
                         const AxisWeights& weights, std::uint8_t* target);

/// Rows: [in_rows, row_bytes] → [weights.first.size(), row_bytes].
void resize_rows(const std::uint8_t* source, std::int64_t row_bytes, const AxisWeights& weights,
                 std::uint8_t* target);
void resize_rows_avx2(const std::uint8_t* source, std::int64_t row_bytes,
                      const AxisWeights& weights, std::uint8_t* target);

/// `pixels` RGB triples to three planes, each written at its pointer and again `copy` bytes after
/// it when `copy` is not 0. `pixels` is a multiple of 16 for the AVX2 form.
void split_channels(const std::uint8_t* rgb, std::int64_t pixels, std::uint8_t* red,
                    std::uint8_t* green, std::uint8_t* blue, std::ptrdiff_t copy);
void split_channels_avx2(const std::uint8_t* rgb, std::int64_t pixels, std::uint8_t* red,
                         std::uint8_t* green, std::uint8_t* blue, std::ptrdiff_t copy);

}  // namespace retinue::runtime::detail
