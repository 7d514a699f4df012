#include "layers/weights/finite.h"

#include "parallel/base/check.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdint>
#include <cstring>

namespace retinue::layers {
namespace {

/// The first element with all of these bits: all bits of the exponent; of e4m3 those of the mantissa
/// too.
template <class Bits>
std::optional<std::size_t> first_with(Bits wanted, std::span<const std::byte> bytes) {
  constexpr std::size_t kBlock = 4096 / sizeof(Bits);
  Bits block[kBlock];
  const std::size_t count = bytes.size() / sizeof(Bits);
  for (std::size_t first = 0; first < count; first += kBlock) {
    const std::size_t here = std::min(kBlock, count - first);
    std::memcpy(block, bytes.data() + first * sizeof(Bits), here * sizeof(Bits));
    std::fill(block + here, block + kBlock, Bits{0});
    // Without a branch and of a fixed length, so that -O2 makes vectors of it.
    Bits found = 0;
    for (std::size_t i = 0; i < kBlock; ++i)
      found |= static_cast<Bits>((block[i] & wanted) == wanted ? 1 : 0);
    if (found == 0) continue;
    for (std::size_t i = 0; i < here; ++i)
      if ((block[i] & wanted) == wanted) return first + i;
  }
  return std::nullopt;
}

}  // namespace

std::optional<std::size_t> first_not_finite(StoredType type, std::span<const std::byte> bytes) {
  switch (type) {
    case StoredType::kF32:
      return first_with<std::uint32_t>(0x7F80'0000, bytes);
    case StoredType::kF16:
      return first_with<std::uint16_t>(0x7C00, bytes);
    case StoredType::kBF16:
      return first_with<std::uint16_t>(0x7F80, bytes);
    case StoredType::kF8E4M3:
      return first_with<std::uint8_t>(0x7F, bytes);
    case StoredType::kI64:
    case StoredType::kI32:
    case StoredType::kU8:
      return std::nullopt;
  }
  return std::nullopt;
}

void check_finite(const std::string& path, const std::string& tensor, StoredType type,
                  std::int64_t offset, std::span<const std::byte> bytes) {
  if (const auto at = first_not_finite(type, bytes))
    throw UsageError(fmt::format(
        "[checkpoint] {}: element {} of tensor {} is NaN or infinite, wanted a finite number. The "
        "file is damaged, or was saved so: download it or convert it again",
        path, static_cast<std::uint64_t>(offset) / size_bytes(type) + *at, tensor));
}

}  // namespace retinue::layers
