#pragma once

#include "layers/weights/safetensors.h"

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>

namespace retinue::layers {

/// The index of the first element that is infinite or no number; nothing where all are finite.
///   bytes  of whole elements, at any address; integers are always finite
std::optional<std::size_t> first_not_finite(StoredType type, std::span<const std::byte> bytes);

/// Throws: UsageError naming the file, the tensor and the element that is not finite.
///   offset  in bytes, of the first of `bytes` in the tensor
void check_finite(const std::string& path, const std::string& tensor, StoredType type,
                  std::int64_t offset, std::span<const std::byte> bytes);

}  // namespace retinue::layers
