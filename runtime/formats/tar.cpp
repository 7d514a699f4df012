#include "runtime/formats/tar.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cstring>
#include <string_view>

namespace retinue::runtime {
namespace {

constexpr std::int64_t kBlock = 512;
/// Names and pax records are short. A header with a larger size is damaged.
constexpr std::int64_t kLongestText = std::int64_t{1} << 20;

using Header = std::array<std::byte, kBlock>;

std::string_view field(const Header& header, std::size_t at, std::size_t bytes) {
  return {reinterpret_cast<const char*>(header.data()) + at, bytes};
}

/// Up to the first NUL.
std::string text_of(std::string_view field) {
  return std::string(field.substr(0, field.find('\0')));
}

/// Octal digits between blanks; GNU's base-256 where the first bit is set.
std::optional<std::int64_t> number_of(std::string_view field) {
  const auto first = static_cast<unsigned char>(field[0]);
  if (first >= 0x80) {
    if (first != 0x80) return std::nullopt;  // negative, or beyond 64 bits
    std::uint64_t value = 0;
    for (const char c : field.substr(1)) {
      if (value >> 55 != 0) return std::nullopt;
      value = (value << 8) | static_cast<unsigned char>(c);
    }
    return static_cast<std::int64_t>(value);
  }
  std::int64_t value = 0;
  std::size_t at = field.find_first_not_of(' ');
  bool any = false;
  for (; at < field.size() && field[at] >= '0' && field[at] <= '7'; ++at, any = true)
    value = value * 8 + (field[at] - '0');
  for (; at < field.size(); ++at)
    if (field[at] != ' ' && field[at] != '\0') return std::nullopt;
  // Every tar reads a field of blanks as zero.
  return any || text_of(field).find_first_not_of(' ') == std::string::npos ? std::optional(value)
                                                                           : std::nullopt;
}

/// The sum of the header's bytes, with blanks for the checksum itself. Some writers summed signed
/// bytes.
bool checksum_holds(const Header& header) {
  const auto wanted = number_of(field(header, 148, 8));
  std::int64_t plain = 0, with_sign = 0;
  for (std::size_t i = 0; i < header.size(); ++i) {
    const auto value = i >= 148 && i < 156 ? static_cast<unsigned char>(' ')
                                           : static_cast<unsigned char>(header[i]);
    plain += value, with_sign += static_cast<signed char>(value);
  }
  return wanted && (*wanted == plain || *wanted == with_sign);
}

std::int64_t whole_blocks(std::int64_t bytes) { return (bytes + kBlock - 1) / kBlock * kBlock; }

}  // namespace

DataError TarReader::damage(const std::string& what) const {
  return {"tar", fmt::format("at byte {}: {}; what lies behind it is not read", at_, what)};
}

Result<std::string> TarReader::read_text(std::int64_t bytes, const char* what) {
  if (bytes < 0 || bytes > kLongestText)
    return damage(fmt::format("a {} of {} bytes", what, bytes));
  std::string text(static_cast<std::size_t>(bytes), '\0');
  const auto got = read_at_(at_ + kBlock, std::as_writable_bytes(std::span(text)));
  if (got != text.size()) return damage(fmt::format("a {} is cut", what));
  return text;
}

/// "<length> <key>=<value>\n", one after the other.
std::optional<DataError> TarReader::read_pax(const std::string& text, Pax& pax) const {
  std::string_view rest = text;
  while (!rest.empty() && rest[0] != '\0') {
    std::size_t length = 0;
    const auto [end, error] = std::from_chars(rest.data(), rest.data() + rest.size(), length);
    const auto digits = static_cast<std::size_t>(end - rest.data());
    if (error != std::errc() || length > rest.size() || length < digits + 3 || *end != ' ' ||
        rest[length - 1] != '\n')
      return damage("an extended header that cannot be read");
    const std::string_view record = rest.substr(digits + 1, length - digits - 2);
    rest.remove_prefix(length);
    const auto equals = record.find('=');
    if (equals == std::string_view::npos) return damage("an extended header that cannot be read");
    const std::string_view key = record.substr(0, equals), value = record.substr(equals + 1);
    if (key == "path") {
      pax.path = value;
    } else if (key == "size") {
      std::int64_t bytes = -1;
      const auto parsed = std::from_chars(value.data(), value.data() + value.size(), bytes);
      if (parsed.ec != std::errc() || parsed.ptr != value.data() + value.size() || bytes < 0)
        return damage("an extended header with a size that is no number");
      pax.bytes = bytes;
    } else if (key.starts_with("GNU.sparse.")) {
      pax.sparse = true;
    }
  }
  return std::nullopt;
}

Result<std::optional<TarMember>> TarReader::next() {
  Pax pax = global_;
  std::string long_name;
  while (true) {
    Header header;
    const std::size_t got = read_at_(at_, header);
    if (got == 0) return damage("it ends without an end mark, so it may be cut");
    if (got != header.size()) return damage("a header is cut");
    if (std::ranges::all_of(header, [](std::byte b) { return b == std::byte{0}; }))
      return std::optional<TarMember>();
    if (!checksum_holds(header)) return damage("a header whose checksum does not hold");
    const char type = static_cast<char>(header[156]);
    auto bytes = number_of(field(header, 124, 12));
    if (!bytes) return damage("a header with a size that is no number");

    if (type == 'x' || type == 'g' || type == 'L' || type == 'K') {
      auto text = read_text(*bytes, type == 'L' || type == 'K' ? "long name" : "extended header");
      if (!text.ok()) return text.error();
      if (type == 'L') long_name = text_of(*text);
      if (type == 'x')
        if (auto error = read_pax(*text, pax)) return *error;
      if (type == 'g') {
        if (auto error = read_pax(*text, global_)) return *error;
        pax = global_;
      }
      at_ += kBlock + whole_blocks(*bytes);
      continue;
    }

    TarMember member;
    member.name = text_of(field(header, 0, 100));
    const bool ustar = field(header, 257, 6) == std::string_view("ustar\0", 6);
    if (const std::string prefix = text_of(field(header, 345, 155)); ustar && !prefix.empty())
      member.name = prefix + "/" + member.name;
    if (!long_name.empty()) member.name = std::move(long_name);
    if (!pax.path.empty()) member.name = pax.path;
    member.bytes = pax.bytes.value_or(*bytes);
    member.offset = at_ + kBlock;
    if (type == 'S' || pax.sparse)
      return damage(fmt::format(
          "{} is a sparse file, which is not served. Pack it again without --sparse", member.name));
    const bool regular = type == '0' || type == '\0' || type == '7';
    // Links and folders have no content, even if their header has a size; other kinds have content.
    const bool empty = type >= '1' && type <= '6';
    const std::int64_t held = empty ? 0 : member.bytes;
    if (held > size_ - member.offset) {
      cut_member_ = member.name;
      return damage(fmt::format("{} should have {} bytes, and {} are there", member.name, held,
                                std::max<std::int64_t>(0, size_ - member.offset)));
    }
    at_ = member.offset + whole_blocks(held);
    if (regular && !member.name.ends_with('/')) return std::optional(std::move(member));
    pax = global_;
    long_name.clear();
  }
}

}  // namespace retinue::runtime
