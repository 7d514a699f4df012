#pragma once
// Tested through tests/runtime/engine/engine_test.cpp.

#include <cstdint>

namespace retinue::runtime {

/// Counters of the leader's plans.
struct SchedulerStats {
  std::int64_t admitted = 0;         ///< sequences; counted again after each preemption
  std::int64_t preempted = 0;        ///< for want of blocks
  std::int64_t reused_tokens = 0;    ///< of prompts, from cached blocks
  std::int64_t encoded_images = 0;   ///< images and videos, on all ranks
  std::int64_t encodes = 0;          ///< batches of images
  std::int64_t awaited_encodes = 0;  ///< batches that an idle decoder waited for
  // At the last plan:
  std::int64_t waiting = 0;  ///< sequences that are not admitted
  std::int64_t running = 0;
  std::int64_t kv_blocks = 0;       ///< in all
  std::int64_t kv_blocks_held = 0;  ///< by sequences
};

/// Counters since the start, of one rank. Returned, never printed.
struct EngineStats {
  std::int64_t steps = 0;
  std::int64_t idle_steps = 0;      ///< steps with nothing to do but wait for pixels
  std::int64_t replayed_steps = 0;  ///< decoder steps that were one call to a recorded graph
  std::int64_t tokens = 0;          ///< decoder rows: tokens of prompts and outputs
  std::int64_t logit_rows = 0;      ///< decoder rows whose logits were computed
  std::int64_t attended_keys = 0;   ///< summed over decoder rows: the keys of the row's sequence
  std::int64_t patches = 0;         ///< encoded by this rank
  std::int64_t images = 0;          ///< images and videos encoded by this rank
  SchedulerStats scheduler;         ///< leader
  double starved_s = 0;             ///< leader: idle until pixels came
  double pixels_waited_s = 0;       ///< leader: pixels waited to be encoded, summed over images
  double plan_s = 0;                ///< leader: planning
  double wait_s = 0;                ///< waiting for other ranks and for pixels
  double encode_s = 0;              ///< vision tower and exchange
  double forward_s = 0;             ///< decoder
  double prefill_s = 0;             ///< the part of forward_s in steps with prompt tokens
  double sample_s = 0;              ///< gathering candidates, choosing tokens, ending requests
};

}  // namespace retinue::runtime
