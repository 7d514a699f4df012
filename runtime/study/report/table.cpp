#include "runtime/study/report/table.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <iterator>

namespace retinue::study {
namespace {

std::string number(const std::optional<double>& value, int digits = 2) {
  return value ? decimal(*value, digits) : "-";
}

/// "+3 %", "-3 %", "+0 %".
std::string change(const std::optional<double>& value, int digits) {
  if (!value) return "-";
  const std::string text = decimal(100 * *value, digits);
  return fmt::format("{}{} %", text.starts_with('-') ? "" : "+", text);
}

std::string label(const CaseResult& r) {
  std::string text = r.what.layout.name();
  if (r.what.scaling == Scaling::kWeak) text += " weak";
  if (r.what.max_sequences > 0) text += fmt::format(" s{}", r.what.max_sequences);
  if (r.what.max_pixels > 0) text += fmt::format(" p{}", r.what.max_pixels);
  return text;
}

}  // namespace

std::string decimal(double value, int digits) {
  std::string text = fmt::format("{:.{}f}", value, digits);
  if (text.starts_with('-') && text.find_first_not_of("-0.") == text.npos) text.erase(0, 1);
  return text;
}

std::string percent(const std::optional<double>& value) {
  return value ? decimal(100 * *value, 0) + " %" : "-";
}

std::string table(const Study& study, const Summary& summary, const std::string& folder) {
  std::string text;
  const auto add = [&](const std::string& line) { text += line + "\n"; };
  const auto first = summary.cases.empty() ? nullptr : &summary.cases.front();
  add(fmt::format("study {}  {} items  {} trials  captions identical in all layouts: {}",
                  study.provenance.title, first != nullptr ? first->items : 0,
                  first != nullptr ? first->makespan_s.trials : 0,
                  summary.compared == 0 ? "-"
                  : summary.different > 0
                      ? fmt::format("NO, {} of {} differ", summary.different, summary.compared)
                      : "yes"));
  add(fmt::format("on {}", study.provenance.machine));
  add(
      fmt::format("{:<16} {:>7} {:>9} {:>10} {:>5} {:>5} {:>5} {:>13} {:>12} {:>5} {:>6} {:>6} "
                  "{:>8} {:>9} {:>6}",
                  "layout", "img/s", "img/s/rk", "tok/s/rk", "eff", "MFU", "MBU", "comm(direct)",
                  "feed(direct)", "tail", "J/img", "$/1k", "seconds", "predicted", "error"));
  for (const CaseResult& r : summary.cases) {
    const auto two = [](const TwoWays& ways) {
      return fmt::format("{} ({})", percent(ways.ablated), percent(ways.direct));
    };
    add(fmt::format(
        "{:<16} {:>7.2f} {:>9.2f} {:>10.1f} {:>5.2f} {:>5} {:>5} {:>13} {:>12} {:>5} {:>6} {:>6} "
        "{:>8.2f} {:>9} {:>6}",
        label(r), r.items_per_s.median, r.items_per_s.median / r.what.layout.ranks(),
        r.tokens_per_s_per_rank, r.efficiency, percent(r.mfu), percent(r.mbu), two(r.communication),
        two(r.feed), percent(r.tail), number(r.joules_per_item), number(r.cost_per_1000, 4),
        r.makespan_s.median, number(r.predicted_s), change(r.model_error(), 0)));
  }
  const auto best = std::ranges::max_element(summary.cases, {}, [](const CaseResult& r) {
    return r.what.scaling == Scaling::kStrong ? r.items_per_s.median : 0.0;
  });
  if (best != summary.cases.end())
    add(fmt::format("best: {}, {:.2f} images/s", label(*best), best->items_per_s.median));
  for (const CaseResult& r : summary.cases) {
    std::string serial = r.serial ? "; serial fraction " + decimal(*r.serial, 2) : "";
    add(fmt::format("  {:<16} {}{}; load balance {:.2f}, start {:.1f} s", label(r), r.verdict,
                    serial, r.load_balance, r.start_s));
  }
  for (const Curve& curve : curves_of(summary))
    if (curve.fit)
      add(fmt::format("  {}: contention {}, coherency {}{}", curve.name,
                      decimal(curve.fit->contention, 3), decimal(curve.fit->coherency, 4),
                      curve.fit->peak() ? fmt::format(", largest at {:.0f} times the baseline",
                                                      *curve.fit->peak())
                                        : ", grows on"));
  add(
      fmt::format("predicted and measured: median error {}; baseline at the end {}.  Details: "
                  "{}/index.html",
                  summary.model_error ? fmt::format("{:.1f} %", 100 * *summary.model_error) : "-",
                  change(summary.drift, 1), folder));
  for (const std::string& remark : summary.remarks) add("NOTE: " + remark);
  return text;
}

std::string csv(const Study& study) {
  std::string text =
      "kind,tensor,data,scaling,max_sequences,max_pixels,ablation,trial,items,done,failed,work_s,"
      "wall_s,load_s,items_per_s,prompt_tokens,completion_tokens,encode_s,forward_s,transfer_s,"
      "late_s,feed_cpu_s,starved_s,steps,rows,energy_j,captions_compared,captions_different,"
      "captions_sha256\n";
  for (const MeasuredCell& cell : study.cells) {
    const Cell& c = cell.cell;
    const Measurement& m = cell.measurement;
    const auto maybe = [](const std::optional<double>& value) {
      return value ? fmt::format("{:.6g}", *value) : "";
    };
    fmt::format_to(
        std::back_inserter(text),
        "{},{},{},{},{},{},{},{},{},{},{},{:.6g},{:.6g},{:.6g},{:.6g},{},{},{:.6g},{:.6g},{},{},"
        "{:.6g},{:.6g},{},{},{},{},{},{}\n",
        name(c.kind), c.layout.tensor, c.layout.data, name(c.scaling), c.max_sequences,
        c.max_pixels, name(c.ablation), c.trial, m.items, m.done, m.failed, m.work_s, m.wall_s,
        m.load_s, m.work_s > 0 ? static_cast<double>(m.done) / m.work_s : 0, m.prompt_tokens,
        m.completion_tokens, m.encode_s, m.forward_s, maybe(m.transfer_s), maybe(m.late_s),
        m.feed_cpu_s, m.starved_s, m.steps, m.rows, maybe(m.energy_j), m.captions.compared,
        m.captions.different, m.captions.sha256);
  }
  return text;
}

}  // namespace retinue::study
