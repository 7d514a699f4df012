#pragma once

#include <cstdint>
#include <span>

namespace retinue {

/// out[i] := Σ_p parts[p][i], added in the order of reduce_tree.h.
///   parts   one f32 pointer per rank, `count` elements each; out may be one of them
/// Numerics: f32 adds only; the bits do not depend on how the elements are cut into calls.
void ordered_sum(std::span<const float* const> parts, std::int64_t count, float* out);

}  // namespace retinue
