#pragma once

#include "runtime/study/report/summary.h"
#include "runtime/study/run/plan.h"

#include <nlohmann/json_fwd.hpp>

#include <cstdint>
#include <functional>
#include <optional>
#include <string>

namespace retinue::study {

/// A run that the launcher is asked to start.
struct RunRequest {
  Cell cell;
  std::int64_t limit = 0;                ///< number of items; 0: all
  std::optional<std::uint64_t> shuffle;  ///< seed of the items' order; none: as in the input
  std::string folder;                    ///< the job's folder
};
struct RunOutcome {
  int exit_code = 0;
  double wall_s = 0;
  std::optional<double> energy_j;  ///< energy of the machine during the run
};
/// Runs `retinue caption --profile` with the cell's layout to its end.
using RunCell = std::function<RunOutcome(const RunRequest&)>;

struct StudyOptions {
  PlanOptions plan;
  std::string output;      ///< the study's folder
  std::int64_t limit = 0;  ///< number of items at the largest layout; 0: all
  Provenance provenance;   ///< a resumed study keeps the provenance of its start
  /// The part of the options that a resumed study must have in common with its start.
  [[nodiscard]] nlohmann::ordered_json signature() const;
};

/// Runs the cells that have no measurement yet and stores each in a file of its own.
///   report   gets a line before each run
/// Writes study.json, study.csv and index.html after each round, complete or not. Returns 0, or the
/// exit code of a run other than 0 and 3 (some items failed), which ends the study; the same call
/// resumes it. Throws: UsageError when the folder holds another study or is in use.
int run_study(const StudyOptions& options, const RunCell& run,
              const std::function<void(const std::string&)>& report, Study& study);

/// Reads a study from its folder, complete or not. Throws: UsageError when there is none.
Study load_study(const std::string& folder);

/// A study with all results: study.json.
nlohmann::ordered_json to_json(const Study& study);

}  // namespace retinue::study
