#include "runtime/failure/crash_attribution.h"

#include "parallel/base/file.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cstdio>
#include <filesystem>

namespace retinue::runtime {
namespace {

/// Reads a number that is followed by `end`.
template <class T>
bool parse_number(std::string_view& text, char end, T& value) {
  const auto [at, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || at == text.data() + text.size() || *at != end) return false;
  text.remove_prefix(static_cast<std::size_t>(at + 1 - text.data()));
  return true;
}

}  // namespace

std::string crash_report_path(const std::string& job, int rank, int epoch) {
  return fmt::format("{}/journal/r{:05}.e{}.crash", job, rank, epoch);
}

std::optional<CrashReport> parse_crash_report(std::string_view text, int rank, int epoch) {
  CrashReport crash{.rank = rank, .epoch = epoch, .leader = 0, .item = -1, .reason = {}};
  const auto space = text.find(' ');
  if (space == std::string_view::npos || space == 0 || space > 40) return std::nullopt;
  crash.reason = text.substr(0, space);
  for (const char c : crash.reason)
    if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_'))
      return std::nullopt;
  text.remove_prefix(space + 1);
  if (!parse_number(text, ' ', crash.item) || !parse_number(text, '\n', crash.leader) ||
      crash.item < -1 || crash.leader < 0)
    return std::nullopt;
  return crash;
}

CrashAttribution::CrashAttribution(const std::string& job) {
  std::error_code error;  // the journal reports a folder that cannot be listed
  for (auto at = std::filesystem::directory_iterator(job + "/journal", error);
       !error && at != std::filesystem::directory_iterator(); at.increment(error)) {
    const std::string name = at->path().filename().string();
    int rank = 0, epoch = 0, end = 0;
    if (std::sscanf(name.c_str(), "r%d.e%d.crash%n", &rank, &epoch, &end) != 2 ||
        static_cast<std::size_t>(end) != name.size())
      continue;
    newest_epoch_ = std::max(newest_epoch_, epoch);
    const std::string text = read_file(at->path().string(), "[crash]").value_or("");
    if (auto crash = parse_crash_report(text, rank, epoch))
      reports_[{epoch, rank}] = std::move(*crash);
  }
  for (const auto& [at, crash] : reports_) in_flight_[{crash.epoch, crash.leader}];
}

int CrashAttribution::newest_epoch() const { return newest_epoch_; }

void CrashAttribution::begin(int epoch, int rank) {
  if (epoch != segment_.first) judge(epoch);
  segment_ = {epoch, rank};
  watched_ = in_flight_.contains(segment_);
}

void CrashAttribution::taken(std::int64_t item) {
  if (watched_) in_flight_[segment_].insert(item);
}

void CrashAttribution::ended(std::int64_t item) {
  if (watched_) in_flight_[segment_].erase(item);
  suspects_.erase(item);
  attributed_.erase(item);
}

void CrashAttribution::finish() { judge(newest_epoch_ + 1); }

void CrashAttribution::judge(int before_epoch) {
  while (!reports_.empty() && reports_.begin()->first.first < before_epoch) {
    const int epoch = reports_.begin()->first.first;
    std::set<std::int64_t> suspects, attributed;
    bool unnamed = false;
    for (; !reports_.empty() && reports_.begin()->first.first == epoch;
         reports_.erase(reports_.begin())) {
      const CrashReport& crash = reports_.begin()->second;
      const std::set<std::int64_t>& flight = in_flight_[{epoch, crash.leader}];
      const bool alone = crash.item < 0 && flight.size() == 1;
      if (crash.item < 0 && !alone) {
        // Nothing in flight: no item caused it. The rank may have crashed while it loaded.
        unnamed = unnamed || !flight.empty();
        suspects.insert(flight.begin(), flight.end());
        continue;
      }
      // Ranks of a replica that crash on one item in one run count as one crash.
      const std::int64_t item = alone ? *flight.begin() : crash.item;
      if (attributed.insert(item).second) attributed_[item].push_back(crash);
    }
    // The newest crash narrows the suspects: keep only items that were in flight then.
    if (unnamed) suspects_ = std::move(suspects);
    for (const std::int64_t item : attributed) suspects_.erase(item);
  }
}

}  // namespace retinue::runtime
