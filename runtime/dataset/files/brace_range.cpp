#include "runtime/dataset/files/brace_range.h"

#include "parallel/base/check.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cstdint>
#include <optional>
#include <string_view>

namespace retinue::runtime {
namespace {

struct Range {
  std::size_t begin = 0, end = 0;  ///< of the text with its braces
  std::int64_t first = 0, last = 0;
  std::size_t digits = 0;
};

std::optional<std::int64_t> number(std::string_view text) {
  std::int64_t value = 0;
  const char* end = text.data() + text.size();
  const auto [at, error] = std::from_chars(text.data(), end, value);
  const bool plain = !text.empty() && text.front() != '-' && text.size() <= 18;
  return plain && error == std::errc() && at == end ? std::optional(value) : std::nullopt;
}

/// The first range of a pattern.
std::optional<Range> find_range(std::string_view pattern) {
  for (std::size_t open = pattern.find('{'); open != pattern.npos;
       open = pattern.find('{', open + 1)) {
    const std::size_t close = pattern.find_first_of("{}", open + 1);
    if (close == pattern.npos) return std::nullopt;
    const std::string_view inside = pattern.substr(open + 1, close - open - 1);
    const std::size_t dots = inside.find("..");
    if (pattern[close] != '}' || dots == inside.npos) continue;
    const std::string_view from = inside.substr(0, dots), to = inside.substr(dots + 2);
    const auto first = number(from), last = number(to);
    if (!first || !last) continue;
    // As bash does: zeros are kept where a bound is written with them.
    const bool padded = (from.size() > 1 && from[0] == '0') || (to.size() > 1 && to[0] == '0');
    return Range{open, close + 1, *first, *last, padded ? std::max(from.size(), to.size()) : 0};
  }
  return std::nullopt;
}

}  // namespace

std::vector<std::string> expand_ranges(const std::string& pattern) {
  std::vector<std::string> names = {pattern};
  for (bool found = true; found;) {
    found = false;
    std::vector<std::string> expanded;
    for (const std::string& name : names) {
      const auto range = find_range(name);
      if (!range) {
        expanded.push_back(name);
        continue;
      }
      found = true;
      const std::int64_t step = range->first <= range->last ? 1 : -1;
      const auto count = static_cast<std::uint64_t>((range->last - range->first) * step) + 1;
      if (count > kMostNames || expanded.size() + count > kMostNames)
        throw UsageError(
            fmt::format("[--input] {}: names more than {} files. Give a folder or *.tar.", pattern,
                        kMostNames));
      for (std::uint64_t i = 0; i < count; ++i)
        expanded.push_back(fmt::format("{}{:0{}}{}", std::string_view(name).substr(0, range->begin),
                                       range->first + static_cast<std::int64_t>(i) * step,
                                       range->digits, std::string_view(name).substr(range->end)));
    }
    names = std::move(expanded);
  }
  return names;
}

}  // namespace retinue::runtime
