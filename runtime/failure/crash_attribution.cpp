#include "runtime/failure/crash_attribution.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iterator>

namespace retinue::runtime {
namespace {

/// A number that ends at `end`, exactly.
template <class T>
bool parse_number(std::string_view& text, char end, T& value) {
  const auto [at, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || at == text.data() + text.size() || *at != end) return false;
  text.remove_prefix(static_cast<std::size_t>(at + 1 - text.data()));
  return true;
}

}  // namespace

std::string death_path(const std::string& job, int rank, int epoch) {
  return fmt::format("{}/journal/r{:05}.e{}.crash", job, rank, epoch);
}

std::optional<Death> parse_death(std::string_view text, int rank, int epoch) {
  Death death{.rank = rank, .epoch = epoch, .lead = 0, .item = -1, .reason = {}};
  const auto space = text.find(' ');
  if (space == std::string_view::npos || space == 0 || space > 40) return std::nullopt;
  death.reason = text.substr(0, space);
  for (const char c : death.reason)
    if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_'))
      return std::nullopt;
  text.remove_prefix(space + 1);
  if (!parse_number(text, ' ', death.item) || !parse_number(text, '\n', death.lead) ||
      death.item < -1 || death.lead < 0)
    return std::nullopt;
  return death;
}

Strikes::Strikes(const std::string& job) {
  std::error_code error;  // what cannot be listed is the journal's to report
  for (auto at = std::filesystem::directory_iterator(job + "/journal", error);
       !error && at != std::filesystem::directory_iterator(); at.increment(error)) {
    const std::string name = at->path().filename().string();
    int rank = 0, epoch = 0, end = 0;
    if (std::sscanf(name.c_str(), "r%d.e%d.crash%n", &rank, &epoch, &end) != 2 ||
        static_cast<std::size_t>(end) != name.size())
      continue;
    newest_epoch_ = std::max(newest_epoch_, epoch);
    std::ifstream file(at->path(), std::ios::binary);
    const std::string text{std::istreambuf_iterator<char>(file), {}};
    if (auto death = parse_death(text, rank, epoch)) deaths_[{epoch, rank}] = std::move(*death);
  }
  for (const auto& [at, death] : deaths_) in_flight_[{death.epoch, death.lead}];
}

int Strikes::newest_epoch() const { return newest_epoch_; }

void Strikes::begin(int epoch, int rank) {
  if (epoch != segment_.first) judge(epoch);
  segment_ = {epoch, rank};
  watched_ = in_flight_.contains(segment_);
}

void Strikes::taken(std::int64_t item) {
  if (watched_) in_flight_[segment_].insert(item);
}

void Strikes::ended(std::int64_t item) {
  if (watched_) in_flight_[segment_].erase(item);
  suspects_.erase(item);
  strikes_.erase(item);
}

void Strikes::finish() { judge(newest_epoch_ + 1); }

void Strikes::judge(int before_epoch) {
  while (!deaths_.empty() && deaths_.begin()->first.first < before_epoch) {
    const int epoch = deaths_.begin()->first.first;
    std::set<std::int64_t> suspects, struck;
    bool unnamed = false;
    for (; !deaths_.empty() && deaths_.begin()->first.first == epoch;
         deaths_.erase(deaths_.begin())) {
      const Death& death = deaths_.begin()->second;
      const std::set<std::int64_t>& flight = in_flight_[{epoch, death.lead}];
      const bool alone = death.item < 0 && flight.size() == 1;
      if (death.item < 0 && !alone) {
        // Nothing in flight: it died of something else, as while it loaded.
        unnamed = unnamed || !flight.empty();
        suspects.insert(flight.begin(), flight.end());
        continue;
      }
      // Ranks of a replica that die of the same item in the same run are one death.
      const std::int64_t item = alone ? *flight.begin() : death.item;
      if (struck.insert(item).second) strikes_[item].push_back(death);
    }
    // Those of the newest death are fewer than those it was looked for among.
    if (unnamed) suspects_ = std::move(suspects);
    for (const std::int64_t item : struck) suspects_.erase(item);
  }
}

}  // namespace retinue::runtime
