#pragma once

#include "parallel/base/result.h"
#include "runtime/text/prompt.h"

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace retinue::runtime {

/// Sampling that an item brings, over the job's.
struct ItemSampling {
  std::optional<std::int64_t> max_new_tokens, top_k;
  std::optional<double> temperature, top_p, min_p, repetition_penalty, presence_penalty;
  std::optional<std::uint64_t> seed;
  std::optional<std::vector<std::string>> stop;  ///< instead of the job's
  std::vector<std::int32_t> stop_ids;            ///< beside those of the model
  bool ignore_eos = false;
  bool logprobs = false;
};

/// One question of a job: what is shown, and what is asked where it differs from the job's own.
struct Item {
  std::string id;
  /// The id where another item has that one already; empty: this one fails then. Not packed.
  std::string qualified_id;
  std::string source;                 ///< "list.jsonl:17"; empty for a file
  std::int64_t ordinal = 0;           ///< place in the input, before shuffling
  std::vector<MediaReference> media;  ///< in prompt order
  std::optional<std::string> prompt;  ///< instead of the job's
  std::string messages;               ///< instead of any prompt: JSON as templates take it
  std::optional<ItemSampling> sampling;
  std::optional<DataError> error;  ///< it can never run; the others do
};

/// Takes items as a source finds them.
class ItemSink {
 public:
  virtual ~ItemSink() = default;
  /// False: no more are wanted.
  virtual bool add(Item item) = 0;
};

/// For files and hashing: equal items give equal bytes.
std::string pack_item(const Item& item);
/// Nothing when `packed` did not come from pack_item.
std::optional<Item> unpack_item(std::string_view packed);

/// What an item will take, in tokens, without opening a file: text by its length, pictures by the
/// bytes that an archive says, else alike. Only for sharing out work: never 0, and no promise.
std::uint32_t predicted_cost(const Item& item);

/// A line for messages: id, source, what is shown, what is asked.
std::string describe(const Item& item);

}  // namespace retinue::runtime
