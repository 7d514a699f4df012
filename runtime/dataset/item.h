#pragma once

// Tested through tests/runtime/dataset/item_table_test.cpp.

#include "parallel/base/result.h"
#include "runtime/text/prompt.h"

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace retinue::runtime {

/// Sampling options of one item, which override the job's.
struct ItemSampling {
  std::optional<std::int64_t> max_new_tokens, top_k;
  std::optional<double> temperature, top_p, min_p, repetition_penalty, presence_penalty;
  std::optional<std::uint64_t> seed;
  std::optional<std::vector<std::string>> stop;  ///< replaces the job's
  std::vector<std::int32_t> stop_ids;            ///< added to the model's
  bool ignore_eos = false;
  bool logprobs = false;
};

/// One row of the data set: its images and videos, and its prompt where that is not the job's.
struct Item {
  std::string id;
  /// The id to use where another item already has `id`; empty: this item fails then. Not packed.
  std::string qualified_id;
  std::string source;                 ///< "list.jsonl:17"; empty for a file
  std::int64_t ordinal = 0;           ///< position in the input, before shuffling
  std::vector<MediaReference> media;  ///< in prompt order
  std::optional<std::string> prompt;  ///< replaces the job's
  std::optional<std::string> system;  ///< replaces the job's
  /// The text lies in a table or in the JSON of an archive, which other people wrote: one that is given
  /// for the whole job wins. Not packed.
  bool prompt_is_data = false, system_is_data = false;
  std::string messages;  ///< replaces every prompt: JSON for the chat template
  std::optional<ItemSampling> sampling;
  /// Its text is part of the item table's hash: a reworded error makes another job of the same input.
  std::optional<DataError> error;  ///< why the item cannot run
};

/// Receives items as a source finds them.
class ItemSink {
 public:
  virtual ~ItemSink() = default;
  /// Returns false when no more items are wanted.
  virtual bool add(Item item) = 0;
  /// Counts a thing of the input that becomes no item or is not read, such as ".parquet" in a folder
  /// or a manifest's key "licence", and why. The job reports the counts.
  virtual void passed_over(std::string_view what, std::string_view why) = 0;
};

/// The item as bytes, for files and hashes: equal items give equal bytes.
std::string pack_item(const Item& item);
/// Nothing where `packed` did not come from pack_item.
std::optional<Item> unpack_item(std::string_view packed);

/// A guess of an item's cost in tokens, without opening a file: text counts by its length, an image
/// by its bytes where an archive gives them, else a fixed number. Used to balance work; never 0.
std::uint32_t predicted_cost(const Item& item);

/// One line for messages: id, source, files, prompt.
std::string describe(const Item& item);

}  // namespace retinue::runtime
