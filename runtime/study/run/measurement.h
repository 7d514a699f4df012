#pragma once
// Tested through tests/runtime/study/study_test.cpp.

#include "parallel/comm/sweep_fit.h"
#include "runtime/study/model/simulation.h"
#include "runtime/study/model/step_model.h"
#include "runtime/study/run/plan.h"

#include <nlohmann/json_fwd.hpp>

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace retinue::study {

/// How a run's captions compare with the warm-up's, by id. Only ids that both have count.
struct CaptionProof {
  std::string sha256;  ///< hash of captions.jsonl
  std::int64_t compared = 0, different = 0;
};

/// The results of one run. Times are in seconds.
struct Measurement {
  std::int64_t items = 0, done = 0, failed = 0, media = 0;
  std::int64_t prompt_tokens = 0, completion_tokens = 0, patches = 0;
  double wall_s = 0;                ///< the whole process, with start and finalization
  double load_s = 0;                ///< loading model and weights, on the slowest rank
  double work_s = 0;                ///< makespan: from everything loaded to the last record durable
  std::vector<double> done_s = {};  ///< when each record was durable
  std::vector<double> compute_s = {};  ///< per rank: in the model, without collectives
  /// Means over replicas: the time of collectives once all ranks had entered, and the leader's wait
  /// for the last rank to enter. None on devices, where collectives only enqueue.
  std::optional<double> transfer_s, late_s;
  /// Over all ranks: processor time within collectives, spinning included.
  std::optional<double> collectives_cpu_s = {};
  double feed_cpu_s = 0;    ///< over all ranks: reading, decoding, making prompts
  double pixels_cpu_s = 0;  ///< decoding alone
  std::int64_t decoded = 0;
  double starved_s = 0;  ///< mean over replicas: nothing to do until pixels came
  double encode_s = 0, forward_s = 0, sample_s = 0, plan_s = 0, wait_s = 0;  ///< mean over leaders
  std::int64_t steps = 0, rows = 0, logit_rows = 0, keys = 0;                ///< over all replicas
  std::int64_t admitted = 0, reused_tokens = 0, preempted = 0;
  std::int64_t weight_bytes = 0;  ///< over a replica's ranks
  SimulatedLimits limits;
  int threads = 1;  ///< per rank
  std::string device = {}, version = {}, revision = {}, fingerprint = {};
  /// The types of the job, as in its report.json; empty in files of earlier versions.
  std::string dtype = {}, kv_cache_dtype = {}, projections_dtype = {};
  [[nodiscard]] bool on_gpu() const { return device != "cpu"; }
  std::optional<double> energy_j = {};
  CaptionProof captions = {};
  std::vector<TimedStep> steps_taken = {};      ///< calibrations only
  std::vector<TimedBytes> messages = {};        ///< some collectives, calibrations only
  std::vector<SimulatedItem> items_shown = {};  ///< warm-ups only, in the order of completion
};

/// Reads the report and the profiles that `retinue caption --profile` wrote into `folder`.
/// Throws: SystemError naming the file that is absent or damaged.
Measurement read_run(const std::string& folder, const Cell& cell);

/// Compares captions.jsonl of `folder` with the file `reference`. Throws: SystemError.
CaptionProof compare_captions(const std::string& folder, const std::string& reference);

nlohmann::ordered_json to_json(const Measurement& measurement);
/// Throws: nlohmann's exceptions when it is no such object.
Measurement measurement_from(const nlohmann::ordered_json& json);

}  // namespace retinue::study
