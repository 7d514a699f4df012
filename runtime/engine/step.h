#pragma once

#include "layers/ops/sample.h"
#include "layers/spec/inputs.h"

#include <array>
#include <cstdint>
#include <span>
#include <vector>

namespace retinue::runtime {

/// An image or video and the rank of the tensor axis that reads and encodes it.
struct OwnedImage {
  std::uint64_t key = 0;
  std::int32_t owner = 0;
};

/// One image of this step's batch.
struct ImageToEncode {
  std::uint64_t key = 0;
  std::int32_t owner = 0;
  std::int32_t first_row = 0;  ///< of the feature buffer
  layers::GridThw grid;
};

/// The work of one step. The leader plans it and broadcasts it; every rank of the replica executes
/// it. It holds every decision, so that all ranks branch alike.
struct StepPlan {
  bool stop = false;                      ///< the engine ends; nothing else is set
  std::vector<OwnedImage> prefetch;       ///< pixels that their owners start to get
  std::vector<std::uint64_t> drop;        ///< pixels that no sequence needs any more
  std::vector<std::int32_t> zero_blocks;  ///< zeroed before anything else runs
  std::vector<ImageToEncode> encode;      ///< one batch, in image order
  /// The decoder starts once this many batches in all are encoded; 0: it reads no new one.
  std::int32_t joined_encodes = 0;
  // The packed batch, as in layers::StepInputs.
  std::vector<std::int32_t> ids, positions, slot_mapping, block_table, cu_seqlens, seq_lens,
      visual_sources, visual_rows, logit_rows;
  std::int32_t max_blocks = 0;  ///< row length of block_table
  // Logit rows come in this order.
  std::int32_t argmax_rows = 0;  ///< only their largest is needed
  std::int32_t drawn_rows = 0;   ///< an id is drawn for each on the leader's device
  std::int32_t whole_rows = 0;   ///< they go to the leader's host whole
  /// How the drawn rows are drawn. The leader's alone: it is not broadcast.
  std::vector<ops::SampleRow> draws;

  [[nodiscard]] bool idle() const { return encode.empty() && ids.empty(); }
  void clear();
  /// Flat form for the broadcast, and back.
  void serialize(std::vector<std::int32_t>& words) const;
  void parse(std::span<const std::int32_t> words);
};

/// A rank's report to its leader before each step: which pixels have arrived or failed. Flat, of
/// fixed capacity; entries that do not fit wait for the next report.
struct RankReport {
  static constexpr std::size_t kEntries = 16;
  struct Entry {
    std::uint64_t key;
    std::int32_t failed;
    layers::GridThw grid;  ///< of the decoded pixels
    std::array<char, 20> stage;
    std::array<char, 480> message;  ///< cut if longer
  };
  std::int32_t count = 0;
  std::array<Entry, kEntries> entries;
};

}  // namespace retinue::runtime
