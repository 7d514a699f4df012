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

/// How captions of a run compare with those of the warm-up, by id; ids of one alone do not count.
struct CaptionProof {
  std::string sha256;  ///< of captions.jsonl
  std::int64_t compared = 0, different = 0;
};

/// What one run came to. Seconds unless a name says otherwise.
struct Measurement {
  std::int64_t items = 0, done = 0, failed = 0, media = 0;
  std::int64_t prompt_tokens = 0, completion_tokens = 0, patches = 0;
  double wall_s = 0;                   ///< of the whole process, start and sealing included
  double load_s = 0;                   ///< model and weights, of the slowest rank
  double work_s = 0;                   ///< makespan: all loaded, to the last record durable
  std::vector<double> done_s = {};     ///< per record
  std::vector<double> compute_s = {};  ///< per rank: in the model, collectives taken out
  /// Per replica, mean: what collectives took once all had come, and waiting for the last to come.
  /// None where they only enqueue.
  std::optional<double> transfer_s, late_s;
  /// All ranks: processor time within collectives, that of spinning while waiting included.
  std::optional<double> collectives_cpu_s = {};
  double feed_cpu_s = 0;    ///< all ranks: reading, decoding, making prompts
  double pixels_cpu_s = 0;  ///< of that, decoding
  std::int64_t decoded = 0;
  double starved_s = 0;  ///< mean of the replicas: nothing to do until pixels came
  double encode_s = 0, forward_s = 0, sample_s = 0, plan_s = 0, wait_s = 0;  ///< mean of the leads
  std::int64_t steps = 0, rows = 0, logit_rows = 0, keys = 0;                ///< of all replicas
  std::int64_t admitted = 0, reused_tokens = 0, preempted = 0;
  std::int64_t weight_bytes = 0;  ///< of a replica's ranks
  SimulatedLimits limits;
  int threads = 1;  ///< per rank
  std::string device = {}, version = {}, revision = {}, fingerprint = {};
  std::optional<double> energy_j = {};
  CaptionProof captions = {};
  std::vector<TimedStep> steps_taken = {};      ///< of calibrations only
  std::vector<TimedBytes> messages = {};        ///< a part of the collectives, of calibrations
  std::vector<SimulatedItem> items_shown = {};  ///< of warm-ups only, in the order of completion
};

/// Reads what `retinue caption --profile` left in `folder`, as the cell wants it.
/// Throws: SystemError naming the file that is absent or not what it should be.
Measurement read_run(const std::string& folder, const Cell& cell);

/// Compares captions.jsonl of `folder` with that of `reference`. Throws: SystemError.
CaptionProof compare_captions(const std::string& folder, const std::string& reference);

nlohmann::ordered_json to_json(const Measurement& measurement);
/// Throws: nlohmann's exceptions when it is no such object.
Measurement measurement_from(const nlohmann::ordered_json& json);

}  // namespace retinue::study
