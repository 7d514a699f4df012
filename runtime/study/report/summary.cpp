#include "runtime/study/report/summary.h"

#include "parallel/base/statistics.h"
#include "runtime/decode/prefetcher.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <map>
#include <numeric>

namespace retinue::study {
namespace {

/// A smaller loss is not named in a verdict.
constexpr double kWorthNaming = 0.05;
/// A larger difference between baselines means that the machine changed.
constexpr double kDrift = 0.05;

bool same_case(const Cell& a, const Cell& b) {
  return a.layout == b.layout && a.scaling == b.scaling && a.max_sequences == b.max_sequences &&
         a.max_pixels == b.max_pixels;
}

std::vector<const MeasuredCell*> find(const Study& study, const Cell& what, CellKind kind,
                                      Ablation ablation) {
  std::vector<const MeasuredCell*> found;
  for (const MeasuredCell& cell : study.cells)
    if (cell.cell.kind == kind && cell.cell.ablation == ablation && same_case(cell.cell, what))
      found.push_back(&cell);
  return found;
}

double median_of(const std::vector<const MeasuredCell*>& cells,
                 const std::function<double(const Measurement&)>& value) {
  std::vector<double> values;
  for (const MeasuredCell* cell : cells) values.push_back(value(cell->measurement));
  return median(values);
}

double share(double part, double whole) { return whole > 0 ? part / whole : 0; }

/// Share of the makespan that an ablation saves. A trial is compared with the ablation of its
/// round, since other work on the machine slows both.
std::optional<double> paired_loss(const Study& study,
                                  const std::vector<const MeasuredCell*>& trials,
                                  Ablation ablation) {
  std::vector<double> losses;
  for (const MeasuredCell* trial : trials)
    for (const MeasuredCell* other : find(study, trial->cell, CellKind::kTrial, ablation))
      if (other->cell.trial == trial->cell.trial)
        losses.push_back(loss(trial->measurement.work_s, other->measurement.work_s));
  if (losses.empty()) return std::nullopt;
  return median(losses);
}

/// Seconds that reading and decoding cost, by the clock: the engine had nothing to do, or shared
/// its processors with decoding. Decoding on processors that no rank computes on costs nothing.
double feed_s(const Measurement& m, const Provenance& provenance, int ranks) {
  const double computing = std::min<double>(provenance.cores, ranks * m.threads);
  const double idle = provenance.cores - computing;
  if (m.on_gpu()) return m.starved_s;
  const double taken = m.feed_cpu_s - idle * m.work_s;
  return std::max(m.starved_s, taken / computing);
}

/// Seconds that collectives cost. Where ranks share processors, a waiting rank leaves its own to
/// others, and only the processor time of collectives is lost.
double communication_s(const Measurement& m, const Provenance& provenance, int ranks) {
  return ranks * m.threads > provenance.cores ? *m.collectives_cpu_s / provenance.cores
                                              : *m.transfer_s;
}

std::vector<double> breakdown_of(const Measurement& m) {
  const double transfer = m.transfer_s.value_or(0), late = m.late_s.value_or(0);
  // The times of the model include its collectives, most of which are the decoder's.
  const double model = m.encode_s + m.forward_s;
  const double part = share(m.encode_s, model);
  std::vector<double> parts = {m.encode_s - part * (transfer + late),
                               m.forward_s - (1 - part) * (transfer + late),
                               transfer,
                               late,
                               m.plan_s + m.sample_s + m.wait_s,
                               m.starved_s};
  for (double& x : parts) x = std::max(0.0, share(x, m.work_s));
  const double sum = std::accumulate(parts.begin(), parts.end(), 0.0);
  if (sum > 1)
    for (double& x : parts) x /= sum;
  parts.push_back(std::max(0.0, 1 - sum));
  return parts;
}

std::string verdict_of(const CaseResult& result, const Provenance& provenance, int threads) {
  struct Limit {
    double share;
    std::string words;
  };
  std::vector<Limit> limits;
  const auto add = [&](std::optional<double> value, std::string words) {
    if (value && *value >= kWorthNaming) limits.push_back({*value, std::move(words)});
  };
  add(result.communication.ablated ? result.communication.ablated : result.communication.direct,
      result.communication.ablated ? "exposed communication" : "collectives");
  add(result.late, "waiting for late ranks");
  add(result.feed.ablated ? result.feed.ablated : result.feed.direct, "reading and decoding");
  add(result.tail, "start and tail of the job");
  std::string crowd;
  if (result.what.layout.ranks() * threads > provenance.cores)
    crowd = fmt::format("{} ranks share {} core{}; ", result.what.layout.ranks(), provenance.cores,
                        provenance.cores == 1 ? "" : "s");
  if (limits.empty()) return crowd + "limited by computing";
  const auto worst = std::ranges::max_element(limits, {}, &Limit::share);
  return fmt::format("{}limited by {}, {:.0f} %", crowd, worst->words, 100 * worst->share);
}

double number_of(std::int64_t value) { return static_cast<double>(value); }

void add_rates(const std::vector<const MeasuredCell*>& trials, CaseResult& r) {
  std::vector<double> seconds, rates;
  for (const MeasuredCell* trial : trials) {
    seconds.push_back(trial->measurement.work_s);
    rates.push_back(share(number_of(trial->measurement.done), seconds.back()));
  }
  r.makespan_s = spread_of(seconds), r.items_per_s = spread_of(rates);
  const Measurement& any = trials[0]->measurement;
  const double rank_seconds = r.makespan_s.median * r.what.layout.ranks();
  r.tokens_per_s_per_rank = share(number_of(any.completion_tokens), rank_seconds);
  r.all_tokens_per_s_per_rank =
      share(number_of(any.completion_tokens + any.prompt_tokens), rank_seconds);
}

void add_efficiency(const CaseResult& baseline, CaseResult& r) {
  r.p = static_cast<double>(r.what.layout.ranks()) / baseline.what.layout.ranks();
  if (r.what.scaling == Scaling::kWeak) {
    r.efficiency = weak_efficiency(baseline.items_per_s.median, r.items_per_s.median, r.p);
    return;
  }
  const double before_s = baseline.makespan_s.median, after_s = r.makespan_s.median;
  r.efficiency = strong_efficiency(before_s, after_s, r.p);
  r.serial = serial_fraction(speed_up(before_s, after_s), r.p);
}

/// Shares of the devices' peaks, where these are known.
void add_utilization(const Provenance& about, const Measurement& any, CaseResult& r) {
  const double rank_seconds = r.makespan_s.median * r.what.layout.ranks();
  const WorkDone done{.rows = number_of(any.rows),
                      .logit_rows = number_of(any.logit_rows),
                      .keys = number_of(any.keys),
                      .patches = number_of(any.patches),
                      .steps = number_of(any.steps)};
  if (about.peak_flops_per_s)
    r.mfu = flops(about.work, done) / (rank_seconds * *about.peak_flops_per_s);
  if (about.peak_bytes_per_s && any.done > 0) {
    WorkDone decode{.steps = number_of(any.steps)};
    const double context =
        (number_of(any.prompt_tokens) + number_of(any.completion_tokens) / 2) / number_of(any.done);
    decode.keys = number_of(any.completion_tokens) * context;
    r.mbu = bytes_read(about.work, decode) / (rank_seconds * *about.peak_bytes_per_s);
  }
}

/// Losses by leaving something out, and by the clock.
void add_losses(const Study& study, const std::vector<const MeasuredCell*>& trials, CaseResult& r) {
  const Provenance& about = study.provenance;
  const int ranks = r.what.layout.ranks();
  if (r.what.scaling == Scaling::kStrong) {
    r.communication.ablated = paired_loss(study, trials, Ablation::kNullCollectives);
    r.feed.ablated = paired_loss(study, trials, Ablation::kPreloadedPixels);
    r.images = paired_loss(study, trials, Ablation::kTextOnly);
  }
  if (trials[0]->measurement.transfer_s) {
    r.communication.direct = median_of(trials, [&](const Measurement& m) {
      return share(communication_s(m, about, ranks), m.work_s);
    });
    r.late = median_of(trials, [](const Measurement& m) { return share(*m.late_s, m.work_s); });
  }
  r.feed.direct = median_of(trials, [&](const Measurement& m) {
    return std::max(0.0, share(feed_s(m, about, ranks), m.work_s));
  });
  std::vector<double> tails;
  for (const MeasuredCell* trial : trials)
    if (const auto tail = tail_loss(trial->measurement.done_s, trial->measurement.work_s))
      tails.push_back(*tail);
  if (!tails.empty()) r.tail = median(tails);
}

/// How evenly the ranks work, and where the time goes.
void add_balance(const std::vector<const MeasuredCell*>& trials, CaseResult& r) {
  std::vector<double> balances, shares;
  r.breakdown.assign(breakdown_names().size(), 0);
  for (const MeasuredCell* trial : trials) {
    const Measurement& m = trial->measurement;
    balances.push_back(load_balance(m.compute_s));
    if (!m.compute_s.empty())
      shares.push_back(std::min(1.0, share(*std::ranges::max_element(m.compute_s), m.work_s)));
    const std::vector<double> parts = breakdown_of(m);
    for (std::size_t i = 0; i < parts.size(); ++i)
      r.breakdown[i] += parts[i] / static_cast<double>(trials.size());
  }
  r.load_balance = median(balances), r.communication_efficiency = median(shares);
}

void add_cost(const Provenance& about, const std::vector<const MeasuredCell*>& trials,
              CaseResult& r) {
  std::vector<double> joules;
  for (const MeasuredCell* trial : trials)
    if (trial->measurement.energy_j && trial->measurement.done > 0)
      joules.push_back(*trial->measurement.energy_j / number_of(trial->measurement.done));
  if (joules.size() == trials.size()) r.joules_per_item = median(joules);
  if (about.price_per_hour)
    r.cost_per_1000 =
        cost_per_1000(r.items_per_s.median, r.what.layout.ranks(), *about.price_per_hour);
  r.start_s = median_of(trials, [](const Measurement& m) { return m.wall_s - m.work_s; });
}

std::optional<double> predicted_s(const Study& study, const CaseResult& r) {
  const auto model = model_of(study, r.what);
  if (!model) return std::nullopt;
  std::vector<SimulatedItem> items = items_of(study, r.what.max_pixels);
  items.resize(
      std::min(items.size(), static_cast<std::size_t>(std::max<std::int64_t>(0, r.items))));
  return simulate({.items = items,
                   .data = r.what.layout.data,
                   .tensor = r.what.layout.tensor,
                   .limits = model->limits,
                   .times = model->times,
                   .feed = model->feed,
                   .reused_tokens = model->reused_tokens})
      .makespan_s;
}

CaseResult result_of(const Study& study, const std::vector<const MeasuredCell*>& trials,
                     const CaseResult* baseline) {
  const Measurement& any = trials[0]->measurement;
  CaseResult r;
  r.what = trials[0]->cell;
  r.items = any.done;
  add_rates(trials, r);
  if (baseline != nullptr) add_efficiency(*baseline, r);
  add_utilization(study.provenance, any, r);
  add_losses(study, trials, r);
  add_balance(trials, r);
  add_cost(study.provenance, trials, r);
  r.predicted_s = predicted_s(study, r);
  r.verdict = verdict_of(r, study.provenance, any.threads);
  return r;
}

/// The cases of a study: baselines first, then as layouts grow.
std::vector<Cell> cases_of(const Study& study, const Layout& first) {
  std::vector<Cell> cases;
  for (const MeasuredCell& cell : study.cells) {
    if (cell.cell.kind != CellKind::kTrial || cell.cell.ablation != Ablation::kNone) continue;
    if (std::ranges::none_of(cases, [&](const Cell& c) { return same_case(c, cell.cell); }))
      cases.push_back(cell.cell);
  }
  std::ranges::stable_sort(cases, {}, [&](const Cell& c) {
    return std::tuple(c.max_pixels, c.max_sequences, c.scaling, c.layout != first, c.layout.ranks(),
                      c.layout.tensor);
  });
  return cases;
}

void add_remarks(const Study& study, Summary& summary) {
  if (!study.complete())
    summary.remarks.push_back(
        fmt::format("incomplete: {} of {} runs are done; the same command resumes the study",
                    study.cells.size(), study.planned));
  if (summary.different > 0)
    summary.remarks.push_back(
        fmt::format("CAPTIONS DIFFER: {} of {} answers are not the baseline's; no speed-up of "
                    "such a layout counts",
                    summary.different, summary.compared));
  if (summary.failed > 0)
    summary.remarks.push_back(
        fmt::format("{} items failed, over all runs: rates count the others", summary.failed));
  if (summary.drift && std::abs(*summary.drift) > kDrift)
    summary.remarks.push_back(fmt::format(
        "the machine changed: the baseline at the end took {:+.0f} %", 100 * *summary.drift));
}

}  // namespace

Spread spread_of(const std::vector<double>& values) {
  if (values.empty()) return {};
  return {median(values), *std::ranges::min_element(values), *std::ranges::max_element(values),
          static_cast<int>(values.size())};
}

std::optional<double> CaseResult::model_error() const {
  if (!predicted_s || makespan_s.median <= 0) return std::nullopt;
  return *predicted_s / makespan_s.median - 1;
}

const std::vector<std::string>& breakdown_names() {
  static const std::vector<std::string> kNames = {"vision",          "decoder",
                                                  "collectives",     "waiting for late ranks",
                                                  "plans, sampling", "waiting for pixels",
                                                  "everything else"};
  return kNames;
}

std::vector<SimulatedItem> items_of(const Study& study, std::int64_t max_pixels) {
  for (const MeasuredCell& cell : study.cells)
    if (cell.cell.kind == CellKind::kWarmUp && cell.cell.max_pixels == max_pixels) {
      std::vector<SimulatedItem> items = cell.measurement.items_shown;
      for (SimulatedItem& item : items)
        item.visual_tokens = item.patches / study.provenance.merge_unit;
      return items;
    }
  return {};
}

std::optional<LayoutModel> model_of(const Study& study, const Cell& what) {
  Cell strong = what;
  strong.scaling = Scaling::kStrong;
  const auto cells = find(study, strong, CellKind::kCalibration, Ablation::kNone);
  if (cells.empty()) return std::nullopt;
  LayoutModel model;
  std::vector<TimedStep> steps;
  double pixels_s = 0, decoded = 0, reused = 0, admitted = 0;
  for (const MeasuredCell* cell : cells) {
    const Measurement& m = cell->measurement;
    steps.insert(steps.end(), m.steps_taken.begin(), m.steps_taken.end());
    pixels_s += m.feed_cpu_s, decoded += static_cast<double>(m.decoded);
    reused += static_cast<double>(m.reused_tokens), admitted += static_cast<double>(m.admitted);
    model.limits = m.limits;
  }
  const int threads = cells[0]->measurement.threads;
  model.times = fit_step_times(steps);
  model.feed = {.seconds = share(pixels_s, decoded),
                .threads = what.layout.tensor * runtime::decode_threads(threads)};
  model.reused_tokens = share(reused, admitted);
  return model;
}

Summary summarize(const Study& study) {
  Summary summary;
  for (const MeasuredCell& cell : study.cells) {
    summary.failed += cell.measurement.failed;
    // Other ablations change the captions.
    if (cell.cell.ablation != Ablation::kNone && cell.cell.ablation != Ablation::kPreloadedPixels)
      continue;
    summary.compared += cell.measurement.captions.compared;
    summary.different += cell.measurement.captions.different;
  }
  const auto warm = std::ranges::find_if(
      study.cells, [](const MeasuredCell& c) { return c.cell.kind == CellKind::kWarmUp; });
  const Layout first = warm != study.cells.end() ? warm->cell.layout : Layout{};
  const std::vector<Cell> cases = cases_of(study, first);
  summary.cases.reserve(cases.size());  // `baseline` points into it
  const CaseResult* baseline = nullptr;
  for (const Cell& what : cases) {
    const auto trials = find(study, what, CellKind::kTrial, Ablation::kNone);
    Cell of_baseline = what;
    of_baseline.layout = first;
    const bool comparable =
        what.layout != first && baseline != nullptr && same_case(baseline->what, of_baseline);
    summary.cases.push_back(result_of(study, trials, comparable ? baseline : nullptr));
    if (what.layout == first) baseline = &summary.cases.back();
  }
  std::vector<double> errors, drifts;
  for (const CaseResult& result : summary.cases) {
    if (const auto error = result.model_error()) errors.push_back(std::abs(*error));
    for (const MeasuredCell* last : find(study, result.what, CellKind::kDrift, Ablation::kNone))
      drifts.push_back(last->measurement.work_s / result.makespan_s.median - 1);
  }
  if (!errors.empty()) summary.model_error = median(errors);
  if (!drifts.empty()) summary.drift = median(drifts);
  add_remarks(study, summary);
  return summary;
}

std::vector<Curve> curves_of(const Summary& summary) {
  std::vector<Curve> curves;
  const auto sizes_of = [](const CaseResult& r) {
    return std::tuple(r.what.scaling, r.what.max_sequences, r.what.max_pixels);
  };
  for (const CaseResult& start : summary.cases) {
    const bool seen = std::ranges::any_of(curves, [&](const Curve& curve) {
      return sizes_of(*curve.cases.front()) == sizes_of(start);
    });
    if (seen) continue;
    for (const bool tensor : {true, false}) {
      Curve curve;
      curve.name =
          fmt::format("{}, {}", tensor ? "tensor-parallel" : "replicas", name(start.what.scaling));
      if (start.what.max_sequences > 0)
        curve.name += fmt::format(", {} sequences", start.what.max_sequences);
      if (start.what.max_pixels > 0)
        curve.name += fmt::format(", {} pixels", start.what.max_pixels);
      for (const CaseResult& r : summary.cases) {
        const Layout& layout = r.what.layout;
        const Layout& base = start.what.layout;
        const bool fits = tensor ? layout.data == base.data : layout.tensor == base.tensor;
        if (fits && sizes_of(r) == sizes_of(start)) curve.cases.push_back(&r);
      }
      if (curve.cases.size() < 2) continue;
      std::ranges::sort(curve.cases, {}, [](const CaseResult* r) { return r->p; });
      std::vector<ThroughputPoint> points;
      for (const CaseResult* r : curve.cases) points.push_back({r->p, r->items_per_s.median});
      curve.fit = fit_scalability(points);
      curves.push_back(std::move(curve));
    }
  }
  return curves;
}

}  // namespace retinue::study
