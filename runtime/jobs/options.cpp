#include "runtime/jobs/options.h"

#include "parallel/base/check.h"

#include <fmt/format.h>

#include <charconv>
#include <limits>

namespace retinue::runtime {

Weights parse_weights(std::string_view text) {
  if (text == "checkpoint") return {};
  if (text == "random") return {.random = true};
  constexpr std::string_view kSeeded = "random:";
  std::uint64_t seed = 0;
  const char* end = text.data() + text.size();
  if (text.starts_with(kSeeded)) {
    const auto [at, error] = std::from_chars(text.data() + kSeeded.size(), end, seed);
    if (error == std::errc() && at == end) return {.random = true, .seed = seed};
  }
  throw UsageError(
      fmt::format("[--weights] is '{}', wanted checkpoint, random or random:SEED", text));
}

std::string Weights::text() const {
  if (!random) return "checkpoint";
  return seed ? fmt::format("random:{}", *seed) : "random";
}

FailureBudget parse_failure_budget(std::string_view text) {
  if (text.empty()) return {};
  FailureBudget budget{.limit = 0, .percent = text.ends_with('%')};
  const char* end = text.data() + text.size() - (budget.percent ? 1 : 0);
  const auto [at, error] = std::from_chars(text.data(), end, *budget.limit);
  if (error != std::errc() || at != end || !(*budget.limit >= 0) ||
      *budget.limit > (budget.percent ? 100.0 : 1e15))
    throw UsageError(fmt::format("[--max-failures] is '{}', wanted a number of items or P%", text));
  return budget;
}

std::string FailureBudget::text() const {
  return limit ? fmt::format("{}{}", *limit, percent ? "%" : "") : "";
}

std::int64_t FailureBudget::of(std::int64_t items) const {
  if (!limit) return std::numeric_limits<std::int64_t>::max();
  return static_cast<std::int64_t>(percent ? *limit / 100.0 * static_cast<double>(items) : *limit);
}

}  // namespace retinue::runtime
