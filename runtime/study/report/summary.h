#pragma once
// Tested through tests/runtime/study/study_test.cpp.

#include "runtime/study/model/metrics.h"
#include "runtime/study/run/measurement.h"
#include "runtime/study/run/plan.h"

#include <nlohmann/json_fwd.hpp>

#include <optional>
#include <string>
#include <vector>

namespace retinue::study {

/// The provenance of a study and of its runs.
struct Provenance {
  std::string title;         ///< names of the model's folder and of the input
  std::string model_sha256;  ///< hash of config.json
  std::string command;       ///< the command line
  std::string arguments;     ///< flags of every run, a part of the study's signature
  std::string machine;       ///< processor, cores, memory; never a host name
  std::string when;          ///< start: "2026-11-23 19:30 UTC"
  int cores = 1;             ///< shared by all ranks
  int hosts = 1;
  std::int64_t merge_unit = 4;  ///< patches per visual token
  ModelWork work;
  std::optional<double> peak_flops_per_s, peak_bytes_per_s;  ///< a rank's device, where known
  std::optional<double> price_per_hour;                      ///< per rank
};

struct MeasuredCell {
  Cell cell;
  Measurement measurement;
};

/// A study as far as it has come.
struct Study {
  Provenance provenance;
  std::vector<MeasuredCell> cells;  ///< finished runs, in the order of the plan
  std::size_t planned = 0;          ///< runs in all

  [[nodiscard]] bool complete() const { return cells.size() == planned; }
};

/// Median, least and most over trials.
struct Spread {
  double median = 0, least = 0, most = 0;
  int trials = 0;
};
Spread spread_of(const std::vector<double>& values);

/// A share of the makespan, found by a run that leaves something out, and by the clock.
struct TwoWays {
  std::optional<double> ablated, direct;
};

/// A layout at one size and scaling, over its trials. Shares are of the makespan.
struct CaseResult {
  Cell what;
  double p = 1;  ///< ranks over the baseline's
  std::int64_t items = 0;
  Spread makespan_s, items_per_s;
  double tokens_per_s_per_rank = 0, all_tokens_per_s_per_rank = 0;
  double efficiency = 1;
  std::optional<double> serial;
  std::optional<double> mfu, mbu;
  TwoWays communication, feed;
  std::optional<double> late;    ///< waiting in collectives for the last rank
  std::optional<double> images;  ///< saved by text-only runs: encoder and visual tokens
  std::optional<double> tail;
  double load_balance = 1, communication_efficiency = 1;
  std::optional<double> joules_per_item, cost_per_1000;
  double start_s = 0;  ///< time of the process before and after the makespan
  std::optional<double> predicted_s;
  /// Shares of the makespan in the order of breakdown_names, adding up to 1.
  std::vector<double> breakdown;
  std::string verdict;

  /// predicted / measured - 1.
  [[nodiscard]] std::optional<double> model_error() const;
};
const std::vector<std::string>& breakdown_names();

/// A family of layouts in which one size grows: tensor, or data.
struct Curve {
  std::string name;
  std::vector<const CaseResult*> cases;
  std::optional<Scalability> fit;
};

struct Summary {
  std::vector<CaseResult> cases;  ///< baselines first, then as layouts grow
  std::int64_t compared = 0, different = 0, failed = 0;
  std::optional<double> drift;        ///< last baseline over the median of the earlier, minus 1
  std::optional<double> model_error;  ///< median absolute error
  std::vector<std::string> remarks;   ///< shown before all figures
};
Summary summarize(const Study& study);
/// The curves point into `summary`.
std::vector<Curve> curves_of(const Summary& summary);

/// The model of a layout, from its calibrations.
struct LayoutModel {
  StepTimes times;
  SimulatedFeed feed;
  SimulatedLimits limits;
  double reused_tokens = 0;
};
/// None without a calibration of this layout at this size.
std::optional<LayoutModel> model_of(const Study& study, const Cell& what);
/// The items of the warm-up at `max_pixels`, with their visual tokens.
std::vector<SimulatedItem> items_of(const Study& study, std::int64_t max_pixels);

}  // namespace retinue::study
