#include "runtime/study/compare.h"

#include "parallel/base/check.h"
#include "runtime/study/report/html.h"
#include "runtime/study/report/svg.h"

#include <fmt/format.h>

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
    add(fmt::format("the model's config.json ({:.12} and {:.12})", a.model_sha256, b.model_sha256));
  if (a.arguments != b.arguments)
    add(fmt::format("what runs were asked ({} and {})", a.arguments, b.arguments));
  for (const auto& [study, which] : {std::pair(&before, "first"), std::pair(&after, "second")})
    if (!study->complete())
      add(fmt::format("the {} is not complete: {} of {} runs", which, study->cells.size(),
                      study->planned));
  if (!why.empty())
    throw UsageError(fmt::format(
        "[--compare] the studies cannot be compared: they differ in, or lack: {}. Run 'retinue "
        "study' for both with the same model, input and flags.",
        why));
}

}  // namespace

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
      comparison.remarks.push_back("only in the first, or over another number of items: " +
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
                   fmt::format("{:.2f} to {:.2f}", c.least, c.most),
                   c.differs() ? (c.ratio > 1 ? "faster" : "slower") : "no clear difference");
  for (const std::string& remark : comparison.remarks) text += "NOTE: " + remark + "\n";
  return text;
}

std::string comparison_html(const Comparison& comparison, const Study& before, const Study& after) {
  std::string body = "<h1>Two scaling studies</h1>\n";
  fmt::format_to(std::back_inserter(body),
                 "<p class=\"soft\">before: {}, {}<br>after: {}, {}</p>\n",
                 escaped(before.provenance.title), escaped(before.provenance.when),
                 escaped(after.provenance.title), escaped(after.provenance.when));
  for (const std::string& remark : comparison.remarks)
    body += "<p class=\"note\">" + escaped(remark) + "</p>\n";
  PairedBars chart{
      .title = "Makespan", .unit = "s", .first = "before", .second = "after", .bars = {}};
  std::vector<std::vector<std::string>> rows = {
      {"case", "before, s", "after, s", "ratio of rates", "least", "most", "verdict"}};
  for (const ComparedCase& c : comparison.cases) {
    chart.bars.push_back({c.name.substr(0, c.name.find(' ', 5)), c.before_s, c.after_s,
                          fmt::format("{:.2f}x", c.ratio)});
    rows.push_back({c.name, fmt::format("{:.3f}", c.before_s), fmt::format("{:.3f}", c.after_s),
                    fmt::format("{:.3f}", c.ratio), fmt::format("{:.3f}", c.least),
                    fmt::format("{:.3f}", c.most),
                    c.differs() ? (c.ratio > 1 ? "faster" : "slower") : "no clear difference"});
  }
  body += html_table(rows) + "<div class=\"figures\">" + paired_bars(chart) + "</div>\n";
  body +=
      "<p class=\"soft\">ratio: rates after over before, of medians; least and most of all pairs "
      "of "
      "trials. Faster and slower: at least three trials each, and all pairs agree.</p>\n";
  return html_page("Two scaling studies", body);
}

}  // namespace retinue::study
