#pragma once

#include "runtime/study/model/step_model.h"

#include <cstdint>
#include <span>
#include <vector>

namespace retinue::study {

/// An item as the queue of a replica sees it.
struct SimulatedItem {
  std::int64_t prompt_tokens = 0;  ///< visual ones included
  std::int64_t visual_tokens = 0;
  std::int64_t patches = 0;
  std::int64_t new_tokens = 1;  ///< sampled, the one that ends it included
};

/// What bounds a replica, as in runtime/engine/engine.h.
struct SimulatedLimits {
  std::int64_t max_batch_tokens = 2048;
  std::int64_t max_sequences = 32;
  std::int64_t encode_patches = 0;  ///< per rank and step
  std::int64_t feature_rows = 0;    ///< visual tokens held at once; 0: any number
  std::int64_t kv_tokens = 0;       ///< 0: any number
};

/// Reading and decoding beside the engine.
struct SimulatedFeed {
  double seconds = 0;  ///< per item, of one thread; 0: pixels are always there
  int threads = 1;     ///< of a replica
};

struct SimulatedJob {
  std::span<const SimulatedItem> items;
  int data = 1, tensor = 1;
  SimulatedLimits limits;
  StepTimes times;
  SimulatedFeed feed;
  double reused_tokens = 0;  ///< of each prompt but a replica's first, found in the cache
  std::vector<double> slowness =
      {};  ///< per replica: its steps take so many times as long; or none
};

struct SimulatedRun {
  double makespan_s = 0;
  std::vector<double> done_s;  ///< per item in the order of completion
  std::vector<double> busy_s;  ///< per replica, in steps that did something
  double communication_s = 0;  ///< in steps, mean of the replicas
  double starved_s = 0;        ///< nothing to do until pixels came, mean of the replicas
  std::int64_t steps = 0;      ///< of all replicas
  std::int64_t events = 0;     ///< steps, and looks that found nothing to do: what simulating costs
  double mean_rows = 0;        ///< of a step
};

/// The job in simulated time: the dealer of the true job (runtime/jobs/work_queue.h) and a replica's
/// rules of admission, chunks and encoding as in runtime/engine/scheduler.h, with steps that take
/// what `times` says. Deterministic; a million items take about a second.
SimulatedRun simulate(const SimulatedJob& job);

}  // namespace retinue::study
