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
/// "4,16": numbers of at least 1; empty gives {0}, the default. `flag` begins the message. Throws:
/// UsageError.
std::vector<std::int64_t> parse_sizes(std::string_view text, std::string_view flag);

/// Strong: the same items for all layouts. Weak: the same number of items per rank.
enum class Scaling { kStrong, kWeak };
const char* name(Scaling scaling);
/// "strong", "weak" or "both". Throws: UsageError.
std::vector<Scaling> parse_scaling(std::string_view text);

/// The part of the work that a run leaves out.
using Ablation = runtime::AblationKind;
/// The value of --ablation.
const char* name(Ablation ablation);
/// "none", or a list of the others. Throws: UsageError.
std::vector<Ablation> parse_ablations(std::string_view text);

enum class CellKind {
  kWarmUp,       ///< not timed: fills caches, counts items, gives the reference captions
  kTrial,        ///< timed
  kCalibration,  ///< half of the items in another order, for the model's step times
  kDrift,        ///< the baseline once more, at the end
};
const char* name(CellKind kind);

/// One run of a study.
struct Cell {
  CellKind kind = CellKind::kTrial;
  Layout layout;
  Scaling scaling = Scaling::kStrong;
  std::int64_t max_sequences = 0;  ///< 0: as the memory plan chooses
  std::int64_t max_pixels = 0;     ///< 0: as the model says
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

/// The runs in their order: warm-ups; then rounds with every case once, each in another order drawn
/// from the seed, so that a slow minute of the machine favours no case; last the baseline again.
/// Ablations and calibrations use strong scaling; null collectives need tensor > 1.
std::vector<Cell> plan_cells(const PlanOptions& options);

}  // namespace retinue::study
