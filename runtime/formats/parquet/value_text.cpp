#include "runtime/formats/parquet/value_text.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <utility>
#include <vector>

namespace retinue::runtime::detail {
namespace {

using Bytes = std::span<const std::byte>;

template <class T>
T as(Bytes bytes) {
  T value{};
  std::memcpy(&value, bytes.data(), sizeof value);
  return value;
}

std::int64_t number_of(const ParquetLeaf& leaf, Bytes bytes) {
  return leaf.type == ParquetType::kInt32 ? as<std::int32_t>(bytes) : as<std::int64_t>(bytes);
}

/// The digits of a magnitude, most significant byte first.
std::string digits_of(std::vector<unsigned> magnitude) {
  std::string digits;
  while (std::ranges::any_of(magnitude, [](unsigned byte) { return byte != 0; })) {
    unsigned rest = 0;
    for (unsigned& byte : magnitude) {
      rest = rest << 8 | byte;
      byte = rest / 10;
      rest %= 10;
    }
    digits += static_cast<char>('0' + rest);
  }
  std::ranges::reverse(digits);
  return digits;
}

/// A two's complement number, most significant byte first, with `scale` digits behind the point.
std::string decimal_text(std::vector<unsigned> bytes, int scale) {
  const bool negative = !bytes.empty() && bytes[0] >= 0x80;
  unsigned carry = 1;
  if (negative)
    for (std::size_t i = bytes.size(); i-- > 0;) {
      const unsigned sum = (~bytes[i] & 0xFF) + carry;
      bytes[i] = sum & 0xFF;
      carry = sum >> 8;
    }
  std::string digits = digits_of(std::move(bytes));
  const auto behind = static_cast<std::size_t>(scale);
  if (digits.size() <= behind) digits.insert(0, behind + 1 - digits.size(), '0');
  if (scale > 0) digits.insert(digits.size() - behind, ".");
  return (negative ? "-" : "") + digits;
}

std::vector<unsigned> big_endian(const ParquetLeaf& leaf, Bytes bytes) {
  std::vector<unsigned> out;
  for (const std::byte byte : bytes) out.push_back(std::to_integer<unsigned>(byte));
  if (leaf.type == ParquetType::kInt32 || leaf.type == ParquetType::kInt64)
    std::ranges::reverse(out);
  return out;
}

std::pair<std::int64_t, std::int64_t> divide_down(std::int64_t value, std::int64_t by) {
  const std::int64_t rest = value % by;
  return rest < 0 ? std::pair(value / by - 1, rest + by) : std::pair(value / by, rest);
}

/// Days since 1970 in the Gregorian calendar.   Hinnant: chrono-compatible low-level date algorithms
std::string date_text(std::int64_t days) {
  const auto [era, day] = divide_down(days + 719468, 146097);
  const std::int64_t year = (day - day / 1460 + day / 36524 - day / 146096) / 365;
  const std::int64_t of_year = day - (365 * year + year / 4 - year / 100);
  const std::int64_t month = (5 * of_year + 2) / 153;  // from March
  return fmt::format("{:04}-{:02}-{:02}", year + era * 400 + (month >= 10 ? 1 : 0),
                     month < 10 ? month + 3 : month - 9, of_year - (153 * month + 2) / 5 + 1);
}

/// "12:34:56", with six or nine digits of the second where they are not zero.
std::string time_text(std::int64_t second, std::int64_t nanoseconds) {
  std::string text = fmt::format("{:02}:{:02}:{:02}", second / 3600, second / 60 % 60, second % 60);
  if (nanoseconds % 1000 != 0) return text + fmt::format(".{:09}", nanoseconds);
  return nanoseconds == 0 ? text : text + fmt::format(".{:06}", nanoseconds / 1000);
}

std::string instant_text(const ParquetLeaf& leaf, std::int64_t value) {
  std::int64_t per_second = 1, nanoseconds = 1;
  for (int i = 0; i < leaf.digits; ++i) per_second *= 10;
  for (int i = leaf.digits; i < 9; ++i) nanoseconds *= 10;
  const auto [seconds, part] = divide_down(value, per_second);
  const auto [days, second] = divide_down(seconds, 86400);
  const std::string time = time_text(second, part * nanoseconds);
  if (leaf.meaning == ParquetMeaning::kTime) return time;
  return date_text(days) + "T" + time + (leaf.utc ? "+00:00" : "");
}

std::string uuid_text(Bytes bytes) {
  std::string text;
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    if (i == 4 || i == 6 || i == 8 || i == 10) text += '-';
    text += fmt::format("{:02x}", std::to_integer<unsigned>(bytes[i]));
  }
  return text;
}

/// IEEE 754 binary16.
float half_of(std::uint16_t bits) {
  const int exponent = bits >> 10 & 31, fraction = bits & 1023;
  const float size = exponent == 31 ? (fraction != 0 ? NAN : INFINITY)
                     : exponent == 0
                         ? std::ldexp(static_cast<float>(fraction), -24)
                         : std::ldexp(static_cast<float>(fraction + 1024), exponent - 25);
  return (bits & 0x8000) != 0 ? -size : size;
}

std::string plain_text(const ParquetLeaf& leaf, Bytes bytes) {
  switch (leaf.type) {
    case ParquetType::kBoolean:
      return bytes[0] != std::byte{0} ? "true" : "false";
    case ParquetType::kInt32:
      return leaf.is_unsigned ? fmt::to_string(as<std::uint32_t>(bytes))
                              : fmt::to_string(as<std::int32_t>(bytes));
    case ParquetType::kInt64:
      return leaf.is_unsigned ? fmt::to_string(as<std::uint64_t>(bytes))
                              : fmt::to_string(as<std::int64_t>(bytes));
    case ParquetType::kFloat:
      return fmt::to_string(as<float>(bytes));
    case ParquetType::kDouble:
      return fmt::to_string(as<double>(bytes));
    case ParquetType::kInt96:
    case ParquetType::kByteArray:
    case ParquetType::kFixed:
      break;
  }
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

}  // namespace

std::string value_text(const ParquetLeaf& leaf, Bytes bytes) {
  // The digits take time quadratic in the bytes; 76 digits of the largest decimals need 32.
  constexpr std::size_t kLongestDecimal = 64;
  switch (leaf.meaning) {
    case ParquetMeaning::kDecimal:
      if (bytes.size() > kLongestDecimal) break;
      return decimal_text(big_endian(leaf, bytes), leaf.digits);
    case ParquetMeaning::kDate:
      return date_text(number_of(leaf, bytes));
    case ParquetMeaning::kTime:
    case ParquetMeaning::kTimestamp:
      return instant_text(leaf, number_of(leaf, bytes));
    case ParquetMeaning::kUuid:
      return uuid_text(bytes);
    case ParquetMeaning::kFloat16:
      return fmt::to_string(half_of(as<std::uint16_t>(bytes)));
    case ParquetMeaning::kNone:
    case ParquetMeaning::kText:
    case ParquetMeaning::kNull:
      break;
  }
  return plain_text(leaf, bytes);
}

}  // namespace retinue::runtime::detail
