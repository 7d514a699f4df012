#pragma once

#include "layers/spec/inputs.h"
#include "runtime/engine/engine.h"
#include "runtime/engine/step.h"

#include <array>
#include <cstddef>
#include <cstdint>

namespace retinue::runtime {

/// The dimensions of a step's inputs.
struct StepSizes {
  std::int64_t tokens = 0, seqs = 0, max_blocks = 0, visual_rows = 0, logit_rows = 0;

  static StepSizes of(const StepPlan& plan);
  /// The largest step that the limits allow.
  static StepSizes largest(const EngineLimits& limits);
};

/// Whether each sequence has one token, with logits: such a step may be padded.
bool is_decode_only(const StepPlan& plan);

/// The sizes that a decode-only step is padded to, so that a few recorded graphs serve all steps:
/// up to 4 rows a power of two, up to 64 a multiple of 8, above a multiple of 32; blocks for a
/// power of two times 512 tokens. Never beyond the limits.
StepSizes padded_decode(const StepSizes& sizes, const EngineLimits& limits);

/// All inputs of a step in one block of memory, so that one copy brings them to a device. The sizes
/// alone fix where each one lies.
class StepBlock {
 public:
  explicit StepBlock(const StepSizes& sizes);

  [[nodiscard]] const StepSizes& sizes() const { return sizes_; }
  [[nodiscard]] std::size_t size_bytes() const { return size_bytes_; }
  /// Writes the plan's lists. Padding rows repeat the last row: they compute the same bits, and
  /// ops::norm_rope_kv_write stores them once.
  void fill(const StepPlan& plan, std::byte* block) const;
  /// Views of the inputs in a block at this address, on host or device; null for planning.
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
