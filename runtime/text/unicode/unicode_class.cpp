#include "runtime/text/unicode/unicode_class.h"

#include <algorithm>
#include <array>
#include <iterator>

namespace retinue::runtime {
namespace {

struct Range {
  std::uint32_t first;
  std::uint32_t last;
  std::uint8_t flags;
};

constexpr Range kRanges[] = {
#include "runtime/text/unicode/unicode_ranges.inc"
};

// The lower planes hold nearly all text: one byte each. Above, a search in the ranges.
constexpr std::uint32_t kDirect = 0x3400;

constexpr std::array<std::uint8_t, kDirect> kTable = [] {
  std::array<std::uint8_t, kDirect> table{};
  for (const Range& range : kRanges) {
    for (std::uint32_t c = range.first; c <= range.last && c < kDirect; ++c) table[c] = range.flags;
  }
  return table;
}();

constexpr UnicodeFacts unpack(std::uint8_t flags) {
  return {static_cast<UnicodeClass>(flags & 3U), (flags & 4U) != 0, (flags & 8U) != 0};
}

}  // namespace

UnicodeFacts unicode_facts(char32_t code_point) {
  if (code_point < kDirect) return unpack(kTable[code_point]);
  const auto* range = std::lower_bound(std::begin(kRanges), std::end(kRanges), code_point,
                                       [](const Range& r, char32_t c) { return r.last < c; });
  if (range == std::end(kRanges) || range->first > code_point) return {};
  return unpack(range->flags);
}

}  // namespace retinue::runtime
