#pragma once

#include "runtime/formats/parquet/schema.h"

#include <cstddef>
#include <span>
#include <string>

namespace retinue::runtime::detail {

/// A value as text: numbers as decimal text, booleans as "true" and "false", decimals with their digits
/// behind the point, UUIDs in their canonical form, dates and times as Python's isoformat() writes
/// them. Strings and binary are their bytes.
///   bytes  one plain value of the leaf
std::string value_text(const ParquetLeaf& leaf, std::span<const std::byte> bytes);

}  // namespace retinue::runtime::detail
