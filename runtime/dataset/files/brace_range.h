#pragma once

#include <string>
#include <vector>

namespace retinue::runtime {

/// Expands numeric ranges as WebDataset writes them, and bash: "{00000..00002}.tar" becomes three
/// names, with the leading zeros of the bounds. Ranges count down where the first is the larger.
/// Other braces stay as they are. A pattern without a range is returned as it is.
/// Throws: UsageError for more than kMostNames names.
std::vector<std::string> expand_ranges(const std::string& pattern);

inline constexpr std::size_t kMostNames = 10'000'000;

}  // namespace retinue::runtime
