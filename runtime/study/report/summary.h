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

/// What a study was of, beside its cells.
struct Provenance {
  std::string title;         ///< the model's folder and what was shown
  std::string model_sha256;  ///< of config.json
  std::string command;       ///< as it was typed
  std::string arguments;     ///< what every run is asked: part of the question
  std::string machine;       ///< processor, cores, memory; never a name
  std::string when;          ///< "2026-11-23 19:30 UTC", of the start
  int cores = 1;             ///< that all ranks together may use
  int hosts = 1;
  std::int64_t merge_unit = 4;  ///< patches per visual token
  ModelWork work;
  std::optional<double> peak_flops_per_s, peak_bytes_per_s;  ///< of one rank's device, where known
  std::optional<double> price_per_hour;                      ///< of one rank
};

struct MeasuredCell {
  Cell cell;
  Measurement measurement;
};

/// All that is known of a study.
struct Study {
  Provenance provenance;
  std::vector<MeasuredCell> cells;  ///< finished ones, in the order of the plan
  std::size_t planned = 0;          ///< how many there will be

  [[nodiscard]] bool complete() const { return cells.size() == planned; }
};

/// Median, least and most of trials.
struct Spread {
  double median = 0, least = 0, most = 0;
  int trials = 0;
};
Spread spread_of(const std::vector<double>& values);

/// A share of the makespan told by leaving something out, and the same from what runs say of
/// themselves.
struct TwoWays {
  std::optional<double> ablated, direct;
};

/// One case: a layout at one size and scaling, over its trials. Shares are of the makespan.
struct CaseResult {
  Cell what;
  double p = 1;  ///< ranks over those of the baseline
  std::int64_t items = 0;
  Spread makespan_s, items_per_s;
  double tokens_per_s_per_rank = 0, all_tokens_per_s_per_rank = 0;
  double efficiency = 1;
  std::optional<double> serial;
  std::optional<double> mfu, mbu;
  TwoWays communication, feed;
  std::optional<double> late;    ///< waiting in collectives for the last rank
  std::optional<double> images;  ///< by leaving them out: encoder and visual tokens
  std::optional<double> tail;
  double load_balance = 1, communication_efficiency = 1;
  std::optional<double> joules_per_item, cost_per_1000;
  double start_s = 0;  ///< of the process, outside the makespan
  std::optional<double> predicted_s;
  /// Of the makespan: vision, decoder, collectives, late ranks, planning and sampling, waiting for
  /// pixels, the rest; in this order, adding up to 1.
  std::vector<double> breakdown;
  std::string verdict;

  /// predicted / measured - 1.
  [[nodiscard]] std::optional<double> model_error() const;
};
const std::vector<std::string>& breakdown_names();

/// A family of layouts along which ranks grow: tensor alone, data alone.
struct Curve {
  std::string name;
  std::vector<const CaseResult*> cases;
  std::optional<Scalability> fit;
};

struct Summary {
  std::vector<CaseResult> cases;  ///< in the order of layouts, strong first
  std::int64_t compared = 0, different = 0, failed = 0;
  std::optional<double> drift;        ///< last baseline over the median of those before, minus 1
  std::optional<double> model_error;  ///< median of the absolute errors
  std::vector<std::string> remarks;   ///< what a reader must know first
};
Summary summarize(const Study& study);
/// Points into `summary`.
std::vector<Curve> curves_of(const Summary& summary);

/// What the calibrations of a layout tell: step times, messages, feed.
struct LayoutModel {
  StepTimes times;
  SimulatedFeed feed;
  SimulatedLimits limits;
  double reused_tokens = 0;
};
/// None without a calibration of that layout at that size.
std::optional<LayoutModel> model_of(const Study& study, const Cell& what);
/// Items of the warm-up at `max_pixels`, visual tokens filled in.
std::vector<SimulatedItem> items_of(const Study& study, std::int64_t max_pixels);

}  // namespace retinue::study
