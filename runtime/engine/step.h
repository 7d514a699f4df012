#pragma once

#include "layers/spec/inputs.h"

#include <array>
#include <cstdint>
#include <span>
#include <vector>

namespace retinue::runtime {

/// An image or video and the rank of the tensor axis that reads and encodes it.
struct OwnedItem {
  std::uint64_t key = 0;
  std::int32_t owner = 0;
};

/// One item of this step's exchange.
struct EncodeItem {
  std::uint64_t key = 0;
  std::int32_t owner = 0;
  std::int32_t first_row = 0;  ///< of the feature buffer
  layers::GridThw grid;
};

/// What every rank of a replica does in one step; made by the lead, broadcast, executed by all. All
/// decisions stand here, so that all ranks branch alike.
struct StepPlan {
  bool stop = false;                      ///< the engine ends; nothing else is set
  std::vector<OwnedItem> prefetch;        ///< newly dealt
  std::vector<std::uint64_t> drop;        ///< keys that nobody needs any more
  std::vector<std::int32_t> zero_blocks;  ///< pages that are zeroed before all else
  std::vector<EncodeItem> encode;         ///< in image order: one batch, encoded and exchanged
  /// The decoder begins after so many batches of the engine's; 0: it reads none that is new.
  std::int32_t joined_encodes = 0;
  // The packed batch, as in layers::StepInputs.
  std::vector<std::int32_t> ids, positions, slot_mapping, block_table, cu_seqlens, seq_lens,
      visual_sources, visual_rows, logit_rows;
  std::int32_t max_blocks = 0;   ///< row length of block_table
  std::int32_t argmax_rows = 0;  ///< the first so many logit rows need their largest only …
  std::int32_t whole_rows = 0;   ///< … the rest go to the lead whole

  [[nodiscard]] bool idle() const { return encode.empty() && ids.empty(); }
  void clear();
  /// Flat form for the broadcast, and back.
  void serialize(std::vector<std::int32_t>& words) const;
  void parse(std::span<const std::int32_t> words);
};

/// What a rank tells its lead before each step; flat, of fixed capacity. What does not fit waits
/// for the next.
struct RankReport {
  static constexpr std::size_t kEntries = 16;
  struct Entry {
    std::uint64_t key;
    std::int32_t failed;
    layers::GridThw grid;  ///< of what was decoded
    std::array<char, 20> stage;
    std::array<char, 480> message;  ///< cut if longer
  };
  std::int32_t count = 0;
  std::array<Entry, kEntries> entries;
};

}  // namespace retinue::runtime
