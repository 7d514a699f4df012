#include "runtime/dataset/passed_over.h"

#include <fmt/format.h>

namespace retinue::runtime {

std::string describe(const std::vector<PassedOver>& kinds) {
  std::string text;
  for (std::size_t i = 0; i < kinds.size(); ++i) {
    text += fmt::format("{}{}: {}", text.empty() ? "" : ", ", kinds[i].what, kinds[i].count);
    // Kinds are sorted by reason: one reason is said once for all of its kinds.
    if (i + 1 == kinds.size() || kinds[i + 1].why != kinds[i].why)
      text += fmt::format(" ({})", kinds[i].why);
  }
  return text;
}

std::string describe_instead(const std::vector<PassedOver>& kinds) {
  return kinds.empty() ? "" : fmt::format(" There are: {}.", describe(kinds));
}

void PassedOverCounts::add(std::string_view what, std::string_view why) {
  const auto key = std::pair(std::string(why), std::string(what));
  if (const auto found = counts_.find(key); found != counts_.end())
    ++found->second;
  else if (counts_.size() < kMostKinds)
    counts_.emplace(key, 1);
  else
    ++others_;
}

std::vector<PassedOver> PassedOverCounts::list() const {
  std::vector<PassedOver> all;
  for (const auto& [key, count] : counts_) all.push_back({key.second, key.first, count});
  if (others_ > 0) all.push_back({"others", "there are too many kinds to name each", others_});
  return all;
}

}  // namespace retinue::runtime
