#include "runtime/doctor/verdict.h"

#include "parallel/base/check.h"
#include "runtime/doctor/judgement.h"

#include <fmt/format.h>

#include <algorithm>

namespace retinue::runtime {

std::string_view name(Verdict verdict) {
  switch (verdict) {
    case Verdict::kOk:
      return "ok";
    case Verdict::kSlow:
      return "slow";
    case Verdict::kBroken:
      return "broken";
  }
  throw BugError("a verdict without a name");
}

std::vector<Finding> judge(const DoctorFacts& facts) {
  doctor::Judgement j{.facts = facts};
  doctor::judge_ranks(j);
  if (facts.ranks.empty()) return j.findings;
  for (const auto& judge_subject :
       {doctor::judge_program, doctor::judge_devices, doctor::judge_machine, doctor::judge_storage,
        doctor::judge_links})
    judge_subject(j);
  return j.findings;
}

std::vector<std::string> not_looked_at(const DoctorFacts& facts) {
  std::vector<std::string> left_out;
  if (facts.ranks.empty()) return left_out;
  const RankFacts& first = facts.ranks[0];
  if (first.model.empty()) left_out.emplace_back("model and file system: no --model");
  for (const RankFacts& one : facts.ranks)
    if (one.on_gpu() && !one.nvml_absent.empty()) {
      left_out.push_back(
          fmt::format("clocks and memory errors of GPUs: rank {}: {}", one.rank, one.nvml_absent));
      break;
    }
  if (facts.size == 1) left_out.emplace_back("links: one rank has none");
  if (!facts.silent.empty()) left_out.emplace_back("time of day and links: not all ranks answered");
  return left_out;
}

Verdict overall(const std::vector<Finding>& findings) {
  Verdict worst = Verdict::kOk;
  for (const Finding& finding : findings) worst = std::max(worst, finding.verdict);
  return worst;
}

}  // namespace retinue::runtime
