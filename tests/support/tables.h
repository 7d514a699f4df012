#pragma once

#include "parallel/device/dtype.h"
#include "tests/support/source_folder.h"

#include <nlohmann/json.hpp>

#include <bit>
#include <cstdint>
#include <fstream>
#include <string>

namespace retinue::test {

/// Tables of the reference: tests/golden/model/tables.json, described in scripts/golden/README.md.
inline nlohmann::json golden_tables() {
  std::ifstream file(source_folder() + "/tests/golden/model/tables.json");
  return nlohmann::json::parse(file);
}

/// A float or bf16 from the hexadecimal digits of its bits.
template <class T>
T from_hex(const std::string& digits) {
  const auto bits = static_cast<std::uint32_t>(std::stoul(digits, nullptr, 16));
  if constexpr (sizeof(T) == 2)
    return T{static_cast<std::uint16_t>(bits)};
  else
    return std::bit_cast<T>(bits);
}

}  // namespace retinue::test
