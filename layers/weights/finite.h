#pragma once

#include "layers/weights/safetensors.h"

#include <cstddef>
#include <optional>
#include <span>

namespace retinue::layers {

/// The index of the first element that is infinite or no number; nothing where all are finite.
///   bytes  of whole elements, at any address; integers are always finite
std::optional<std::size_t> first_not_finite(StoredType type, std::span<const std::byte> bytes);

}  // namespace retinue::layers
