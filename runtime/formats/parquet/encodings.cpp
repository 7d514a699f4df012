#include "runtime/formats/parquet/encodings.h"

#include <algorithm>

namespace retinue::runtime::detail {
namespace {

bool read_varint(std::span<const std::byte>& in, std::uint64_t& value) {
  value = 0;
  for (unsigned shift = 0; shift < 64 && !in.empty(); shift += 7) {
    const auto next = std::to_integer<std::uint64_t>(in[0]);
    in = in.subspan(1);
    value |= (next & 0x7F) << shift;
    if ((next & 0x80) == 0) return true;
  }
  return false;
}

std::int64_t unzigzag(std::uint64_t value) {
  return static_cast<std::int64_t>((value >> 1) ^ (~(value & 1) + 1));
}

/// Number `index` of a packed run, least significant bit first. Its bytes must exist.
std::uint64_t packed_at(std::span<const std::byte> bytes, std::size_t index, unsigned width) {
  const std::size_t bit = index * width;
  std::uint64_t value = 0;
  unsigned have = 0;
  for (std::size_t at = bit / 8; have < width + bit % 8; ++at, have += 8) {
    const auto byte = std::to_integer<std::uint64_t>(bytes[at]);
    const int shift = static_cast<int>(have) - static_cast<int>(bit % 8);
    value |= shift < 0 ? byte >> -shift : shift < 64 ? byte << shift : 0;
  }
  return width == 64 ? value : value & ((std::uint64_t{1} << width) - 1);
}

}  // namespace

bool read_hybrid(std::span<const std::byte>& in, int bit_width, std::span<std::uint32_t> out) {
  if (bit_width < 0 || bit_width > 32) return false;
  const auto width = static_cast<unsigned>(bit_width);
  const std::size_t run_bytes = (width + 7) / 8;
  while (!out.empty()) {
    std::uint64_t head = 0;
    if (!read_varint(in, head)) return false;
    // The last group may have room for more values than are left.
    if ((head & 1) == 0) {
      if (head == 0 || in.size() < run_bytes) return false;
      std::uint32_t value = 0;
      for (std::size_t i = 0; i < run_bytes; ++i)
        value |= std::to_integer<std::uint32_t>(in[i]) << (8 * i);
      in = in.subspan(run_bytes);
      const auto count = std::min<std::uint64_t>(head >> 1, out.size());
      std::ranges::fill(out.first(count), value);
      out = out.subspan(count);
    } else {
      const std::uint64_t groups = head >> 1;
      const auto count = std::min<std::uint64_t>(groups, out.size() / 8 + 1) * 8;
      const std::size_t values = std::min<std::size_t>(count, out.size());
      // A writer may leave out unused bytes of the last group.
      const std::size_t need = (values * width + 7) / 8;
      if (groups == 0 || in.size() < need) return false;
      for (std::size_t i = 0; i < values; ++i)
        out[i] = static_cast<std::uint32_t>(packed_at(in, i, width));
      in = in.subspan(std::min<std::uint64_t>(groups * width, in.size()));
      out = out.subspan(values);
    }
  }
  return true;
}

bool read_deltas(std::span<const std::byte>& in, std::size_t most, std::vector<std::int64_t>& out) {
  std::uint64_t block = 0, parts = 0, total = 0, first = 0;
  if (!read_varint(in, block) || !read_varint(in, parts) || !read_varint(in, total) ||
      !read_varint(in, first))
    return false;
  // The format requires blocks of a multiple of 128, in parts of a multiple of 32.
  if (block == 0 || block > (1U << 20) || block % 128 != 0 || parts == 0 || parts > block ||
      block % parts != 0 || block / parts % 32 != 0 || total > most)
    return false;
  out.clear();
  if (total == 0) return true;
  const std::size_t per_part = block / parts;
  auto value = static_cast<std::uint64_t>(unzigzag(first));
  out.push_back(static_cast<std::int64_t>(value));
  while (out.size() < total) {
    std::uint64_t least = 0;
    if (!read_varint(in, least) || in.size() < parts) return false;
    const std::span<const std::byte> widths = in.first(parts);
    in = in.subspan(parts);
    for (std::size_t part = 0; part < parts && out.size() < total; ++part) {
      const auto width = std::to_integer<unsigned>(widths[part]);
      const std::size_t bytes = per_part / 8 * width;
      if (width > 64 || in.size() < bytes) return false;
      const std::size_t count = std::min<std::size_t>(per_part, total - out.size());
      for (std::size_t i = 0; i < count; ++i) {
        value += static_cast<std::uint64_t>(unzigzag(least)) + packed_at(in, i, width);
        out.push_back(static_cast<std::int64_t>(value));
      }
      in = in.subspan(bytes);
    }
  }
  return true;
}

}  // namespace retinue::runtime::detail
