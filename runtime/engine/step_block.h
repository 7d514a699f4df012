#pragma once

#include "layers/spec/inputs.h"
#include "runtime/engine/engine.h"
#include "runtime/engine/step.h"

#include <array>
#include <cstddef>
#include <cstdint>

namespace retinue::runtime {

/// How many of each a step's inputs have.
struct StepSizes {
  std::int64_t tokens = 0, seqs = 0, max_blocks = 0, visual_rows = 0, logit_rows = 0;

  static StepSizes of(const StepPlan& plan);
  /// The largest step that the limits allow.
  static StepSizes largest(const EngineLimits& limits);
};

/// Each sequence brings one token, and that gets logits: such a step may be padded.
bool is_decode_only(const StepPlan& plan);

/// The sizes that a decode-only step is padded to, so that few records serve all of them: rows to a
/// multiple of 8 (1, 2 and 4 as they are; of 32 from 64 on), pages to a power of two times 512
/// tokens. Never beyond the limits.
StepSizes padded_decode(const StepSizes& sizes, const EngineLimits& limits);

/// All inputs of a step in one block of memory, so that one copy brings them to a device. Where
/// each lies follows from the sizes alone.
class StepBlock {
 public:
  explicit StepBlock(const StepSizes& sizes);

  [[nodiscard]] const StepSizes& sizes() const { return sizes_; }
  [[nodiscard]] std::size_t size_bytes() const { return size_bytes_; }
  /// Writes the plan's lists. Rows of a decode-only plan beyond its own repeat its last one: they
  /// compute and store the same bits once more, in the same place.
  void fill(const StepPlan& plan, std::byte* block) const;
  /// The inputs in a block that lies at `block`, on host or device; null for planning.
  [[nodiscard]] layers::StepInputs views(const std::byte* block) const;

 private:
  enum List : std::uint8_t {
    kIds,
    kPositions,
    kSlotMapping,
    kBlockTable,
    kCuSeqlens,
    kSeqLens,
    kVisualSources,
    kVisualRows,
    kLogitRows,
    kLists
  };

  StepSizes sizes_;
  std::array<Shape, kLists> shapes_;
  std::array<std::size_t, kLists> offsets_{};
  std::size_t size_bytes_ = 0;
};

}  // namespace retinue::runtime
