#include "runtime/study/model/step_model.h"

#include "parallel/base/check.h"
#include "runtime/study/model/least_squares.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <numeric>

namespace retinue::study {
namespace {

constexpr std::size_t kMostKnots = 12;
enum Rest : std::size_t { kLogits, kKeys, kEncodes, kPatches, kRest };

bool is_usable(const TimedStep& step) {
  return (step.work.rows > 0 || step.work.patches > 0) && step.seconds > 0;
}

/// Quantiles of the steps' rows, so that every knot has steps around it.
std::vector<double> knots_for(std::span<const TimedStep> steps) {
  std::vector<double> rows;
  for (const TimedStep& step : steps)
    if (step.work.rows > 0) rows.push_back(step.work.rows);
  std::ranges::sort(rows);
  std::vector<double> knots;
  for (std::size_t i = 0; i < kMostKnots && !rows.empty(); ++i) {
    const double at = rows[i * (rows.size() - 1) / (kMostKnots - 1)];
    if (knots.empty() || at > knots.back()) knots.push_back(at);
  }
  return knots;
}

/// Weights of the knots around `rows`: they add up to 1 between the first knot and the last.
std::vector<double> hats(std::span<const double> knots, double rows) {
  std::vector<double> parts(knots.size(), 0);
  if (rows <= 0 || knots.empty()) return parts;
  const auto above =
      static_cast<std::size_t>(std::ranges::lower_bound(knots, rows) - knots.begin());
  if (above == 0) {
    parts[0] = 1;
  } else if (above == knots.size()) {
    parts[above - 1] = rows / knots[above - 1];
  } else {
    const double part = (rows - knots[above - 1]) / (knots[above] - knots[above - 1]);
    parts[above - 1] = 1 - part, parts[above] = part;
  }
  return parts;
}

}  // namespace

double StepTimes::communication_s(const StepWork& work) const {
  if (work.rows <= 0 || collectives <= 0) return 0;
  const double wire_s = bytes_per_s > 0 ? bytes_per_row * work.rows / bytes_per_s : 0;
  return collectives * (alpha_s + wire_s);
}

double StepTimes::seconds(const StepWork& work) const {
  double sum = communication_s(work) + per_logit_row_s * work.logit_rows + per_key_s * work.keys +
               per_kv_token_s * work.kv_tokens;
  if (work.patches > 0) sum += encode_s + per_patch_s * work.patches;
  if (work.rows <= 0 || knots.empty()) return sum;
  const auto above = std::ranges::lower_bound(knots, work.rows, {}, &Knot::rows);
  if (above == knots.begin()) return sum + knots.front().seconds;
  const Knot& low = above == knots.end() && knots.size() > 1 ? above[-2] : above[-1];
  const Knot& high = above == knots.end() ? above[-1] : above[0];
  if (high.rows <= low.rows) return sum + high.seconds * work.rows / high.rows;
  const double slope = (high.seconds - low.seconds) / (high.rows - low.rows);
  return sum + std::max(0.0, low.seconds + slope * (work.rows - low.rows));
}

std::size_t usable_steps(std::span<const TimedStep> steps) {
  return static_cast<std::size_t>(std::ranges::count_if(steps, is_usable));
}

StepTimes fit_step_times(std::span<const TimedStep> all) {
  std::vector<TimedStep> steps;
  std::ranges::copy_if(all, std::back_inserter(steps), is_usable);
  if (steps.size() < kLeastSteps)
    throw UsageError(fmt::format(
        "[study] a calibration run had {} steps with work; the model of step times needs at least "
        "{}. Give more --input, or a higher --limit.",
        steps.size(), kLeastSteps));
  const std::vector<double> knots = knots_for(steps);
  std::vector<std::vector<double>> rows;
  std::vector<double> y, weights;
  for (const TimedStep& step : steps) {
    rows.push_back(hats(knots, step.work.rows));
    const std::array<double, kRest> rest = {step.work.logit_rows, step.work.keys,
                                            step.work.patches > 0 ? 1.0 : 0.0, step.work.patches};
    rows.back().insert(rows.back().end(), rest.begin(), rest.end());
    y.push_back(step.seconds);
    weights.push_back(1 / step.seconds);
  }
  std::vector<double> c;
  // Weights of 1 / fitted time make the residuals add up to zero, so that the fitted steps sum up
  // to the measured ones however these scatter.
  for (int round = 0; round < 4; ++round) {
    c = nonnegative_least_squares(rows, y, weights);
    const double floor =
        0.01 * std::accumulate(y.begin(), y.end(), 0.0) / static_cast<double>(y.size());
    for (std::size_t s = 0; s < rows.size(); ++s)
      weights[s] =
          1 / std::max(floor, std::inner_product(c.begin(), c.end(), rows[s].begin(), 0.0));
  }
  StepTimes times;
  for (std::size_t i = 0; i < knots.size(); ++i) times.knots.push_back({knots[i], c[i]});
  times.per_logit_row_s = c[knots.size() + kLogits];
  times.per_key_s = c[knots.size() + kKeys];
  times.encode_s = c[knots.size() + kEncodes];
  times.per_patch_s = c[knots.size() + kPatches];
  return times;
}

}  // namespace retinue::study
