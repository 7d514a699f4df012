#pragma once

#include <cstdint>

namespace retinue::runtime {

/// Counters since the start, of one rank. Returned, never printed.
struct EngineStats {
  std::int64_t steps = 0;
  std::int64_t idle_steps = 0;  ///< steps with nothing to do but wait for pixels
  std::int64_t prefill_tokens = 0;
  std::int64_t decode_tokens = 0;
  std::int64_t patches = 0;  ///< encoded by this rank
  std::int64_t items = 0;    ///< images and videos encoded by this rank
  double plan_s = 0, encode_s = 0, forward_s = 0, sample_s = 0, wait_s = 0;
};

}  // namespace retinue::runtime
