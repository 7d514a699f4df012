#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace retinue::study {

/// The work of one step of a replica.
struct StepWork {
  double rows = 0;        ///< decoder rows, of prompts and outputs
  double logit_rows = 0;  ///< rows whose logits were computed
  double keys = 0;        ///< attended keys, summed over rows
  double kv_tokens = 0;   ///< cached tokens read, once per sequence
  double patches = 0;     ///< encoded by the rank that had most of them
};
struct TimedStep {
  StepWork work;
  double seconds = 0;  ///< time between the ends of the step before and of this step
};

/// Seconds of a step: a piecewise linear table over rows, plus a constant rate for each other kind
/// of work.
struct StepTimes {
  struct Knot {
    double rows = 0, seconds = 0;
  };
  std::vector<Knot> knots;  ///< rising rows; beyond the last, its slope continues
  double per_logit_row_s = 0, per_key_s = 0, per_kv_token_s = 0;
  double encode_s = 0;     ///< per step that encodes anything
  double per_patch_s = 0;  ///< plus so much per patch
  /// Collectives per step, each alpha + bytes / bandwidth; 0 where the table contains them.
  double collectives = 0, bytes_per_row = 0, alpha_s = 0, bytes_per_s = 0;

  [[nodiscard]] double seconds(const StepWork& work) const;
  /// The part of `seconds` that is communication.
  [[nodiscard]] double communication_s(const StepWork& work) const;
};

/// Steps that did any work, of which a fit needs at least kLeastSteps.
std::size_t usable_steps(std::span<const TimedStep> steps);
inline constexpr std::size_t kLeastSteps = 8;

/// Fits measured steps so that their sum is kept: the average cost of other work on the machine is
/// in the result. Throws: UsageError with fewer than kLeastSteps that did any work.
StepTimes fit_step_times(std::span<const TimedStep> steps);

}  // namespace retinue::study
