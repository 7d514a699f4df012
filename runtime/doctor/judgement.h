#pragma once
// Tested through tests/runtime/doctor/verdict_test.cpp.

#include "runtime/doctor/verdict.h"

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <vector>

namespace retinue::runtime::doctor {

/// The facts to judge, the findings so far, and what the judges of all subjects share. There is one
/// source per subject: verdict_program.cpp, verdict_devices.cpp, …
struct Judgement {
  using Text = std::function<std::string(const RankFacts&)>;

  const DoctorFacts& facts;
  std::vector<Finding> findings = {};

  void add(std::string what, Verdict verdict, std::string found, std::string advice = {},
           std::vector<int> ranks = {});
  /// Adds a finding about something that all ranks should have alike: `text` reads it from a rank's
  /// facts, `shown` words it. Where ranks differ, the finding is `otherwise` and names those that
  /// differ from most; of equally many, from the lowest rank.
  void agreement(const std::string& what, const Text& text, Verdict otherwise,
                 const std::string& advice, const std::function<std::string(std::string)>& shown);

  [[nodiscard]] const RankFacts& of(int rank) const;
  /// "rank 3 (hostb)", "ranks 1 (hosta), 3 (hostb)"; the ninth and later ranks are only counted.
  [[nodiscard]] std::string named(const std::vector<int>& ranks) const;
  /// The ranks for which `is` holds.
  [[nodiscard]] std::vector<int> which(const std::function<bool(const RankFacts&)>& is) const;
  [[nodiscard]] std::map<std::string, std::vector<const RankFacts*>> hosts() const;
  [[nodiscard]] bool on_gpus() const;
};

std::string bytes_text(double bytes);
std::string bytes_text(std::int64_t bytes);
std::string rate_text(double bytes_per_s);
std::string time_text(double seconds);

/// Judges whether all ranks answered.
void judge_ranks(Judgement& j);
/// The other judges, in the order of the findings: the facts have at least one rank.
void judge_program(Judgement& j);
void judge_devices(Judgement& j);
void judge_machine(Judgement& j);
void judge_storage(Judgement& j);
void judge_links(Judgement& j);

}  // namespace retinue::runtime::doctor
