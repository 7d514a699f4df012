#include "runtime/study/compare.h"

#include "parallel/base/check.h"
#include "parallel/base/statistics.h"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <iterator>

namespace retinue::study {
namespace {

std::string name_of(const Cell& what) {
  std::string text = fmt::format("{} {}", what.layout.name(), name(what.scaling));
  if (what.max_sequences > 0) text += fmt::format(", {} sequences", what.max_sequences);
  if (what.max_pixels > 0) text += fmt::format(", {} pixels", what.max_pixels);
  return text;
}

void refuse_unlike(const Study& before, const Study& after) {
  std::string why;
  const auto add = [&](const std::string& text) { why += (why.empty() ? "" : "; ") + text; };
  const Provenance &a = before.provenance, &b = after.provenance;
  if (a.model_sha256 != b.model_sha256)
    add(fmt::format("they differ in the model's config.json ({:.12} and {:.12})", a.model_sha256,
                    b.model_sha256));
  if (a.arguments != b.arguments)
    add(fmt::format("they differ in the flags of their runs ({} and {})", a.arguments,
                    b.arguments));
  for (const auto& [study, which] : {std::pair(&before, "first"), std::pair(&after, "second")})
    if (!study->complete())
      add(fmt::format("the {} study is not complete: {} of {} runs", which, study->cells.size(),
                      study->planned));
  if (!why.empty())
    throw UsageError(
        fmt::format("[--compare] the studies cannot be compared: {}. Run 'retinue study' for both "
                    "with the same "
                    "model, input and flags.",
                    why));
}

}  // namespace

const char* ComparedCase::verdict() const {
  if (!differs()) return "no clear difference";
  return ratio > 1 ? "faster" : "slower";
}

Comparison compare(const Study& before, const Study& after) {
  refuse_unlike(before, after);
  Comparison comparison;
  const Provenance &a = before.provenance, &b = after.provenance;
  if (a.machine != b.machine)
    comparison.remarks.push_back(fmt::format("other machines: {} | {}", a.machine, b.machine));
  const Measurement& one = before.cells.front().measurement;
  const Measurement& two = after.cells.front().measurement;
  if (one.revision != two.revision)
    comparison.remarks.push_back(fmt::format("other builds: {} | {}", one.revision, two.revision));
  if (one.fingerprint != two.fingerprint)
    comparison.remarks.push_back("other numerics: captions may differ in their last bits");
  if (one.captions.sha256 != two.captions.sha256)
    comparison.remarks.push_back("CAPTIONS DIFFER between the studies: no speed-up counts");
  const auto seconds_of = [](const Study& study, const Cell& what, std::int64_t items) {
    std::vector<double> seconds;
    for (const MeasuredCell& cell : study.cells) {
      const Cell& c = cell.cell;
      if (c.kind == CellKind::kTrial && c.ablation == Ablation::kNone && c.layout == what.layout &&
          c.scaling == what.scaling && c.max_sequences == what.max_sequences &&
          c.max_pixels == what.max_pixels && cell.measurement.done == items)
        seconds.push_back(cell.measurement.work_s);
    }
    return seconds;
  };
  for (const CaseResult& result : summarize(before).cases) {
    const auto first = seconds_of(before, result.what, result.items);
    const auto second = seconds_of(after, result.what, result.items);
    if (first.empty() || second.empty()) {
      comparison.remarks.push_back("only in the first study, or over another number of items: " +
                                   name_of(result.what));
      continue;
    }
    ComparedCase c{
        .name = name_of(result.what), .before_s = median(first), .after_s = median(second)};
    c.ratio = c.before_s / c.after_s;
    c.least = *std::ranges::min_element(first) / *std::ranges::max_element(second);
    c.most = *std::ranges::max_element(first) / *std::ranges::min_element(second);
    c.trials = static_cast<int>(std::min(first.size(), second.size()));
    comparison.cases.push_back(c);
  }
  if (comparison.cases.empty())
    throw UsageError(
        "[--compare] the studies have no case in common: other layouts, sizes or numbers of items. "
        "Give both the same --layouts.");
  return comparison;
}

std::string comparison_table(const Comparison& comparison) {
  std::string text = fmt::format("{:<32} {:>10} {:>10} {:>7} {:>15}\n", "case", "before, s",
                                 "after, s", "ratio", "all pairs");
  for (const ComparedCase& c : comparison.cases)
    fmt::format_to(std::back_inserter(text), "{:<32} {:>10.3f} {:>10.3f} {:>7.3f} {:>15} {}\n",
                   c.name, c.before_s, c.after_s, c.ratio,
                   fmt::format("{:.2f} to {:.2f}", c.least, c.most), c.verdict());
  for (const std::string& remark : comparison.remarks) text += "NOTE: " + remark + "\n";
  return text;
}

nlohmann::ordered_json comparison_json(const Comparison& comparison, const Study& before,
                                       const Study& after) {
  nlohmann::ordered_json json;
  json["before"] = {{"title", before.provenance.title}, {"when", before.provenance.when}};
  json["after"] = {{"title", after.provenance.title}, {"when", after.provenance.when}};
  json["remarks"] = comparison.remarks;
  json["cases"] = nlohmann::ordered_json::array();
  for (const ComparedCase& c : comparison.cases)
    json["cases"].push_back({{"name", c.name},
                             {"before_s", c.before_s},
                             {"after_s", c.after_s},
                             {"ratio", c.ratio},
                             {"least", c.least},
                             {"most", c.most},
                             {"verdict", c.verdict()}});
  return json;
}

}  // namespace retinue::study
