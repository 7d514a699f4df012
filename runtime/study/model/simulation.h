#pragma once

#include "runtime/engine/even_steps.h"
#include "runtime/study/model/step_model.h"

#include <cstdint>
#include <span>
#include <vector>

namespace retinue::study {

/// The sizes of an item.
struct SimulatedItem {
  std::int64_t prompt_tokens = 0;  ///< with visual tokens
  std::int64_t visual_tokens = 0;
  std::int64_t patches = 0;
  std::int64_t new_tokens = 1;  ///< sampled tokens, with the one that ends the sequence
};

/// A replica's limits, as in runtime/engine/engine.h.
struct SimulatedLimits {
  std::int64_t max_batch_tokens = 2048;
  std::int64_t max_sequences = 32;
  std::int64_t encode_patches = 0;  ///< per rank and step
  std::int64_t feature_rows = 0;    ///< visual tokens held at once; 0: no limit
  std::int64_t kv_tokens = 0;       ///< 0: no limit
  runtime::EvenSteps even = {};
};

/// Reading and decoding beside the engine.
struct SimulatedFeed {
  double seconds = 0;  ///< time of a thread per item; 0: pixels are always ready
  int threads = 1;     ///< per replica
};

struct SimulatedJob {
  std::span<const SimulatedItem> items;
  int data = 1, tensor = 1;
  SimulatedLimits limits;
  StepTimes times;
  SimulatedFeed feed;
  double reused_tokens = 0;           ///< cached tokens of each prompt but a replica's first
  std::vector<double> slowness = {};  ///< per replica: a factor of its step times; empty: 1
};

struct SimulatedRun {
  double makespan_s = 0;
  std::vector<double> done_s;  ///< per item, in the order of completion
  std::vector<double> busy_s;  ///< per replica: seconds in steps with work
  double communication_s = 0;  ///< within steps, mean over replicas
  double starved_s = 0;        ///< without work until pixels came, mean over replicas
  std::int64_t steps = 0;      ///< over all replicas
  std::int64_t events = 0;     ///< steps, and looks that found nothing to do: what simulating costs
  double mean_rows = 0;        ///< per step
};

/// Runs the job in simulated time: the real work queue (runtime/jobs/work_queue.h), a replica's
/// rules of admission, chunks and encoding as in runtime/engine/scheduler.h, and step times from
/// `times`. Deterministic; a million items take about a second.
SimulatedRun simulate(const SimulatedJob& job);

}  // namespace retinue::study
