#pragma once

#include "runtime/jobs/options.h"

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace retinue::study {

/// How ranks are arranged: replicas of `tensor` ranks each.
struct Layout {
  int tensor = 1;
  int data = 1;

  [[nodiscard]] int ranks() const { return tensor * data; }
  /// "TP2 x4"
  [[nodiscard]] std::string name() const;
  friend bool operator==(const Layout&, const Layout&) = default;
};

/// "1x1,2x1,1x2": tensor x data each. Throws: UsageError for anything else, and for one given
/// twice.
std::vector<Layout> parse_layouts(std::string_view text);
/// "4,16": numbers of at least 1; empty gives {0}, which stands for the plan's own. `flag` begins
/// the message. Throws: UsageError.
std::vector<std::int64_t> parse_sizes(std::string_view text, std::string_view flag);

/// Strong: the same items for all layouts. Weak: so many per rank.
enum class Scaling { kStrong, kWeak };
const char* name(Scaling scaling);
/// "strong", "weak" or "both". Throws: UsageError.
std::vector<Scaling> parse_scaling(std::string_view text);

using Ablation = runtime::AblationKind;
/// As --ablation has it.
const char* name(Ablation ablation);
/// "none", or a list of the others. Throws: UsageError.
std::vector<Ablation> parse_ablations(std::string_view text);

enum class CellKind {
  kWarmUp,       ///< not counted: fills caches, counts items, gives the captions to compare with
  kTrial,        ///< counted
  kCalibration,  ///< half of the items in another order: gives the model its step times
  kDrift,        ///< the baseline once more, at the end
};
const char* name(CellKind kind);

/// One run of a study.
struct Cell {
  CellKind kind = CellKind::kTrial;
  Layout layout;
  Scaling scaling = Scaling::kStrong;
  std::int64_t max_sequences = 0;  ///< 0: from the memory plan
  std::int64_t max_pixels = 0;     ///< 0: the model's
  Ablation ablation = Ablation::kNone;
  int trial = 1;

  /// Names its files: "strong-t2d1-s16-p0-none-trial1".
  [[nodiscard]] std::string id() const;
};

struct PlanOptions {
  std::vector<Layout> layouts;  ///< the first is the baseline
  std::vector<Scaling> scalings = {Scaling::kStrong};
  std::vector<std::int64_t> max_sequences = {0}, max_pixels = {0};
  std::vector<Ablation> ablations;
  int trials = 3;
  std::uint64_t seed = 0;
};

/// The runs in their order: warm-ups; then each round every case once, in an order that the seed
/// draws anew, so that a slow minute of the machine hits all alike; last the baseline again.
/// Ablations and calibrations belong to strong scaling; null collectives to tensor > 1.
std::vector<Cell> plan_cells(const PlanOptions& options);

}  // namespace retinue::study
