#pragma once

#include "runtime/study/report/summary.h"
#include "runtime/study/run/plan.h"

#include <nlohmann/json_fwd.hpp>

#include <cstdint>
#include <functional>
#include <optional>
#include <string>

namespace retinue::study {

/// One run that whoever starts ranks is asked for.
struct RunRequest {
  Cell cell;
  std::int64_t limit = 0;                ///< items; 0: all
  std::optional<std::uint64_t> shuffle;  ///< order of the items; none: the input's
  std::string folder;                    ///< the job's
};
struct RunOutcome {
  int exit_code = 0;
  double wall_s = 0;
  std::optional<double> energy_j;  ///< of the machine, while it ran
};
/// Starts `retinue caption --profile` with ranks in the cell's layout and waits for it.
using RunCell = std::function<RunOutcome(const RunRequest&)>;

struct StudyOptions {
  PlanOptions plan;
  std::string output;      ///< folder of the study
  std::int64_t limit = 0;  ///< of items, at the largest layout; 0: all
  Provenance provenance;   ///< `when` and `machine` of a study that goes on are those it began with
  nlohmann::ordered_json signature() const;  ///< what cells of one study have in common
};

/// Runs what is not there yet, cell by cell; each finished one is a file of its own, whole or
/// absent.
///   report   gets a line before each run
/// Writes study.json, study.csv and index.html after each round, complete or not. Returns 0; or the
/// exit code of a run that neither did all its items nor failed some (3), which ends the study: the
/// same command goes on. Throws: UsageError when the folder holds another study or is in use.
int run_study(const StudyOptions& options, const RunCell& run,
              const std::function<void(const std::string&)>& report, Study& study);

/// A study from its folder, as far as it has come. Throws: UsageError when there is none.
Study load_study(const std::string& folder);

/// All of it, results included: study.json.
nlohmann::ordered_json to_json(const Study& study);

}  // namespace retinue::study
