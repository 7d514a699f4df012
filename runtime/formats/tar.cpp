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
/// Zeros are read in pieces: an archive may end in many of them.
constexpr std::size_t kZeros = std::size_t{1} << 16;

std::string_view field(std::span<const std::byte, kBlock> header, std::size_t at,
                       std::size_t bytes) {
  return {reinterpret_cast<const char*>(header.data()) + at, bytes};
}

bool all_zero(std::span<const std::byte> bytes) {
  return std::ranges::all_of(bytes, [](std::byte b) { return b == std::byte{0}; });
}

bool has_magic(std::span<const std::byte, kBlock> header) {
  return field(header, 257, 5) == "ustar";
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
bool checksum_holds(std::span<const std::byte, kBlock> header) {
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
std::optional<DataError> TarReader::read_pax(const std::string& text, Extension& pax) const {
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
    } else if (key == "linkpath") {
      pax.target = value;
    } else if (key == "size") {
      std::int64_t bytes = -1;
      const auto parsed = std::from_chars(value.data(), value.data() + value.size(), bytes);
      if (parsed.ec != std::errc() || parsed.ptr != value.data() + value.size() || bytes < 0)
        return damage("an extended header with a size that is no number");
      pax.bytes = bytes;
    } else if (key.starts_with("GNU.sparse.")) {
      pax.sparse = true;
      if (key == "GNU.sparse.name") pax.sparse_name = value;
    }
  }
  return std::nullopt;
}

std::optional<DataError> TarReader::read_extension(char type, std::int64_t bytes,
                                                   Extension& extension) {
  auto text = read_text(bytes, type == 'L' || type == 'K' ? "long name" : "extended header");
  if (!text.ok()) return text.error();
  if (type == 'L') extension.long_name = text_of(*text);
  if (type == 'K') extension.long_target = text_of(*text);
  std::optional<DataError> error;
  if (type == 'x' || type == 'X') error = read_pax(*text, extension);
  if (type == 'g') {
    error = read_pax(*text, global_);
    extension = global_;
  }
  at_ += kBlock + whole_blocks(bytes);
  return error;
}

/// Goes over zeros to the next block, which may be cut; false at the end of the file.
Result<bool> TarReader::skip_zeros(Header& header) {
  std::array<std::byte, kZeros> piece;
  while (at_ < size_) {
    const auto wanted = std::min<std::int64_t>(size_ - at_, std::ssize(piece));
    const auto bytes = std::span(piece).first(static_cast<std::size_t>(wanted));
    // Members may lie behind bytes that a disk does not give.
    if (read_at_(at_, bytes) != bytes.size()) return damage("it cannot be read");
    const auto zeros =
        std::ranges::find_if(bytes, [](std::byte b) { return b != std::byte{0}; }) - bytes.begin();
    if (zeros == wanted) {
      at_ += wanted;
      continue;
    }
    at_ += zeros / kBlock * kBlock;
    header = {};
    return read_at_(at_, header) > 0;
  }
  return false;
}

/// Reads the next header; false behind the last one.
Result<bool> TarReader::find_header(Header& header) {
  const std::size_t got = read_at_(at_, header);
  if (got == 0) return damage("it ends without an end mark, so it may be cut");
  if (got != header.size()) return damage("a header is cut");
  if (!all_zero(header)) {
    if (!checksum_holds(header)) return damage("a header whose checksum does not hold");
    return true;
  }
  const auto more = skip_zeros(header);
  if (!more.ok() || !more.value()) return more;
  if (checksum_holds(header)) {
    ++archive_;
    global_ = {};
    return true;
  }
  if (has_magic(header)) return damage("a header whose checksum does not hold");
  unread_bytes_ = size_ - at_;
  return false;
}

/// The bytes between the header of GNU's sparse file and its content: more of its map.
Result<std::int64_t> TarReader::map_bytes(const Header& header) {
  std::int64_t bytes = 0;
  Header block = header;
  for (std::size_t more = 482; block[more] != std::byte{0}; more = 504) {
    bytes += kBlock;
    if (read_at_(at_ + bytes, block) != block.size())
      return damage("a map of a sparse file is cut");
  }
  return bytes;
}

Result<std::optional<TarMember>> TarReader::take_member(const Header& header, std::int64_t bytes,
                                                        Extension& extension) {
  const char type = static_cast<char>(header[156]);
  TarMember member;
  member.name = text_of(field(header, 0, 100));
  const bool ustar = field(header, 257, 6) == std::string_view("ustar\0", 6);
  if (const std::string prefix = text_of(field(header, 345, 155)); ustar && !prefix.empty())
    member.name = prefix + "/" + member.name;
  if (!extension.long_name.empty()) member.name = std::move(extension.long_name);
  if (!extension.path.empty()) member.name = std::move(extension.path);
  if (!extension.sparse_name.empty()) member.name = std::move(extension.sparse_name);
  member.bytes = extension.bytes.value_or(bytes);
  member.offset = at_ + kBlock;
  member.archive = archive_;
  if (type == 'S') {
    const auto map = map_bytes(header);
    if (!map.ok()) return map.error();
    member.offset += map.value();
  }
  // Links and folders have no content, even if their header has a size; other kinds have content.
  const bool empty = type >= '1' && type <= '6';
  if (empty) member.bytes = 0;
  if (member.bytes > size_ - member.offset) {
    cut_member_ = member.name;
    return damage(fmt::format("{} should have {} bytes, and {} are there", member.name,
                              member.bytes, std::max<std::int64_t>(0, size_ - member.offset)));
  }
  at_ = member.offset + whole_blocks(member.bytes);
  const bool regular = type == '0' || type == '\0' || type == '7';
  // 'D' is the list of a folder's files in a backup, 'V' the name of a volume.
  if (type == '5' || type == 'D' || type == 'V' || (regular && member.name.ends_with('/')))
    return std::optional<TarMember>();
  member.kind = type == 'S' || extension.sparse ? TarKind::kSparse
                : regular                       ? TarKind::kFile
                : type == '1'                   ? TarKind::kHardLink
                : type == '2'                   ? TarKind::kSymbolicLink
                                                : TarKind::kOther;
  if (type != '1' && type != '2') return std::optional(std::move(member));
  member.target = text_of(field(header, 157, 100));
  if (!extension.long_target.empty()) member.target = std::move(extension.long_target);
  if (!extension.target.empty()) member.target = std::move(extension.target);
  return std::optional(std::move(member));
}

Result<std::optional<TarMember>> TarReader::next() {
  Extension extension = global_;
  while (true) {
    Header header;
    const std::int64_t archive = archive_;
    const auto found = find_header(header);
    if (!found.ok()) return found.error();
    if (!found.value()) return std::optional<TarMember>();
    // What is before an end mark says nothing of a member behind it.
    if (archive_ != archive) extension = {};
    const auto bytes = number_of(field(header, 124, 12));
    if (!bytes) return damage("a header with a size that is no number");
    const char type = static_cast<char>(header[156]);
    if (std::string_view("xXgLK").find(type) != std::string_view::npos) {  // X: Solaris
      if (auto error = read_extension(type, *bytes, extension)) return *error;
      continue;
    }
    auto member = take_member(header, *bytes, extension);
    if (!member.ok() || member.value()) return member;
    extension = global_;
  }
}

}  // namespace retinue::runtime
