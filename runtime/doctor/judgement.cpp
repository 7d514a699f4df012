#include "runtime/doctor/judgement.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <utility>

namespace retinue::runtime::doctor {

std::string bytes_text(double bytes) {
  if (bytes >= 1e9) return fmt::format("{:.1f} GB", bytes / 1e9);
  if (bytes >= 1e6) return fmt::format("{:.0f} MB", bytes / 1e6);
  if (bytes >= 1e3) return fmt::format("{:.0f} kB", bytes / 1e3);
  return fmt::format("{:.0f} B", bytes);
}

std::string bytes_text(std::int64_t bytes) { return bytes_text(static_cast<double>(bytes)); }

std::string rate_text(double bytes_per_s) {
  if (bytes_per_s >= 1e8) return fmt::format("{:.2f} GB/s", bytes_per_s / 1e9);
  return fmt::format("{:.2f} MB/s", bytes_per_s / 1e6);
}

std::string time_text(double seconds) {
  if (std::abs(seconds) < 1e-3) return fmt::format("{:.1f} us", seconds * 1e6);
  if (std::abs(seconds) < 1) return fmt::format("{:.1f} ms", seconds * 1e3);
  return fmt::format("{:.1f} s", seconds);
}

void Judgement::add(std::string what, Verdict verdict, std::string found, std::string advice,
                    std::vector<int> ranks) {
  findings.push_back(
      {std::move(what), verdict, std::move(found), std::move(advice), std::move(ranks)});
}

void Judgement::agreement(const std::string& what, const Text& text, Verdict otherwise,
                          const std::string& advice,
                          const std::function<std::string(std::string)>& shown) {
  std::map<std::string, std::pair<int, int>> counts;  // text → how many, minus the first rank
  for (const RankFacts& one : facts.ranks)
    ++counts.try_emplace(text(one), 0, -one.rank).first->second.first;
  const std::string usual =
      std::ranges::max_element(counts, {}, [](const auto& entry) { return entry.second; })->first;
  const std::vector<int> others = which([&](const RankFacts& one) { return text(one) != usual; });
  if (others.empty())
    return add(what, Verdict::kOk,
               fmt::format("{}{}", shown(usual), facts.ranks.size() > 1 ? ", all alike" : ""));
  std::string found = fmt::format("most ranks have {};", shown(usual));
  for (std::size_t i = 0; i < std::min<std::size_t>(others.size(), 3); ++i)
    found += fmt::format(" {} {}", named({others[i]}), shown(text(of(others[i]))));
  add(what, otherwise, found, advice, others);
}

const RankFacts& Judgement::of(int rank) const {
  return *std::ranges::find(facts.ranks, rank, &RankFacts::rank);
}

std::string Judgement::named(const std::vector<int>& ranks) const {
  constexpr std::size_t kMost = 8;
  std::string text;
  for (std::size_t i = 0; i < std::min(ranks.size(), kMost); ++i) {
    const auto found = std::ranges::find(facts.ranks, ranks[i], &RankFacts::rank);
    text += fmt::format("{}{}", text.empty() ? "" : ", ", ranks[i]);
    if (found != facts.ranks.end()) text += fmt::format(" ({})", found->host);
  }
  if (ranks.size() > kMost) text += fmt::format(" and {} more", ranks.size() - kMost);
  return (ranks.size() == 1 ? "rank " : "ranks ") + text;
}

std::vector<int> Judgement::which(const std::function<bool(const RankFacts&)>& is) const {
  std::vector<int> ranks;
  for (const RankFacts& one : facts.ranks)
    if (is(one)) ranks.push_back(one.rank);
  return ranks;
}

std::map<std::string, std::vector<const RankFacts*>> Judgement::hosts() const {
  std::map<std::string, std::vector<const RankFacts*>> hosts;
  for (const RankFacts& one : facts.ranks) hosts[one.host].push_back(&one);
  return hosts;
}

bool Judgement::on_gpus() const {
  return std::ranges::any_of(facts.ranks, [](const RankFacts& one) { return one.on_gpu(); });
}

}  // namespace retinue::runtime::doctor
