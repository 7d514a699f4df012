#pragma once

#include <cstdint>

namespace retinue::runtime {

/// What the lead's plans came to.
struct SchedulerStats {
  std::int64_t admitted = 0;         ///< sequences, again after each time they were sent back
  std::int64_t preempted = 0;        ///< sent back, for want of pages
  std::int64_t reused_tokens = 0;    ///< of prompts, whose pages were there already
  std::int64_t encoded_items = 0;    ///< by all ranks
  std::int64_t encodes = 0;          ///< batches of them, …
  std::int64_t awaited_encodes = 0;  ///< … and those that the decoder had to wait for, having
                                     ///< nothing else to do; of those that ran beside it
  // At the last plan:
  std::int64_t waiting = 0;  ///< sequences that are not admitted
  std::int64_t running = 0;
  std::int64_t kv_blocks = 0;       ///< pages that there are
  std::int64_t kv_blocks_held = 0;  ///< by sequences
};

/// Counters since the start, of one rank. Returned, never printed.
struct EngineStats {
  std::int64_t steps = 0;
  std::int64_t idle_steps = 0;      ///< steps with nothing to do but wait for pixels
  std::int64_t replayed_steps = 0;  ///< decoder steps that were one call to a recorded graph
  std::int64_t tokens = 0;          ///< rows of the decoder, of prompts and outputs
  std::int64_t logit_rows = 0;      ///< of these, rows whose logits were computed
  std::int64_t attended_keys = 0;   ///< for each row, the keys of its sequence
  std::int64_t patches = 0;         ///< encoded by this rank
  std::int64_t items = 0;           ///< images and videos encoded by this rank
  SchedulerStats scheduler;         ///< of the lead
  double starved_s = 0;             ///< lead: nothing to do until pixels came
  double pixels_waited_s = 0;       ///< lead: pixels waited to be encoded, summed over items
  double plan_s = 0;                ///< lead: choosing what the next step does
  double wait_s = 0;                ///< for other ranks and for pixels
  double encode_s = 0;              ///< vision tower and exchange
  double forward_s = 0;             ///< decoder
  double prefill_s = 0;             ///< of forward_s, steps that took prompts in
  double sample_s = 0;              ///< gathering candidates, choosing tokens, ending requests
};

}  // namespace retinue::runtime
