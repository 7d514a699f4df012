#pragma once

// Tested through tests/runtime/media/resize_test.cpp and patchify_test.cpp.

#include "runtime/media/resize.h"

#include <cstddef>
#include <cstdint>

/// Inner loops on pixels, each in a portable form and one for AVX2, equal in every bit. An AVX2
/// form may be called only where best_isa() is kAvx2; on other architectures it is the portable
/// one.
namespace retinue::runtime::detail {

/// Columns of `rows` rows: [rows, in_width, 3] → [rows, weights.first.size(), 3].
void resize_columns(const std::uint8_t* source, std::int64_t rows, std::int64_t in_width,
                    const AxisWeights& weights, std::uint8_t* target);
void resize_columns_avx2(const std::uint8_t* source, std::int64_t rows, std::int64_t in_width,
                         const AxisWeights& weights, std::uint8_t* target);

/// Output rows [begin, end) of the vertical pass: row i of `source` is input row `source_row` + i.
/// (Seven parameters, like BLAS: a struct would only move the names.)
void resize_rows(const std::uint8_t* source, std::int64_t source_row, std::int64_t row_bytes,
                 const AxisWeights& weights, std::int64_t begin, std::int64_t end,
                 std::uint8_t* target);
void resize_rows_avx2(const std::uint8_t* source, std::int64_t source_row, std::int64_t row_bytes,
                      const AxisWeights& weights, std::int64_t begin, std::int64_t end,
                      std::uint8_t* target);

/// Splits one patch [patch, patch, 3], whose rows are `row_bytes` apart, into planes of red, green
/// and blue, [patch, patch] each: at `out`, `out` + `plane` and `out` + 2 · `plane`; and again
/// `copy` bytes further where `copy` is not 0. The AVX2 form needs `patch` to be a multiple of 16.
void split_patch(const std::uint8_t* rgb, std::int64_t row_bytes, std::int64_t patch,
                 std::uint8_t* out, std::int64_t plane, std::int64_t copy);
void split_patch_avx2(const std::uint8_t* rgb, std::int64_t row_bytes, std::int64_t patch,
                      std::uint8_t* out, std::int64_t plane, std::int64_t copy);
/// Call after the last split_patch_avx2 of a thread. Its stores bypass the cache and have no order,
/// and a lock that passes the patches to another thread does not wait for them.
void publish_patches();

}  // namespace retinue::runtime::detail
