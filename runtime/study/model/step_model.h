#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace retinue::study {

/// What one step of a replica did.
struct StepWork {
  double rows = 0;        ///< of the decoder, prompts and outputs
  double logit_rows = 0;  ///< of these, rows whose logits were computed
  double keys = 0;        ///< attended, summed over rows
  double kv_tokens = 0;   ///< tokens of cache read, once per sequence
  double patches = 0;     ///< encoded, by the rank that had most of them
};
struct TimedStep {
  StepWork work;
  double seconds =
      0;  ///< from the step before to this one, all that a step brings with it included
};

/// Seconds of a step: a table by rows with straight lines between, and so much for each of the
/// rest.
struct StepTimes {
  struct Knot {
    double rows = 0, seconds = 0;
  };
  std::vector<Knot> knots;  ///< rising; beyond the last its slope goes on
  double per_logit_row_s = 0, per_key_s = 0, per_kv_token_s = 0;
  double encode_s = 0;     ///< of a step that encodes anything
  double per_patch_s = 0;  ///< and for each patch
  /// Sums between ranks, where the table is without them: so many of alpha + bytes / bandwidth.
  double collectives = 0, bytes_per_row = 0, alpha_s = 0, bytes_per_s = 0;

  [[nodiscard]] double seconds(const StepWork& work) const;
  /// Its part that is communication.
  [[nodiscard]] double communication_s(const StepWork& work) const;
};

/// Fitted to steps that were measured, so that the sum over those steps is kept: what other work on
/// the machine costs on the average is in it. Throws: UsageError with fewer than 8 steps that did
/// anything.
StepTimes fit_step_times(std::span<const TimedStep> steps);

}  // namespace retinue::study
