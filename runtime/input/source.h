#pragma once

#include "parallel/base/result.h"
#include "runtime/input/prompt.h"

#include <cstdint>
#include <istream>
#include <optional>
#include <string>
#include <vector>

namespace retinue::runtime {

/// One question of a job: what is shown, and what is asked where it differs from the job's own.
struct Item {
  std::string id;
  std::string source;                 ///< "list.jsonl:17"; empty for a file
  std::int64_t ordinal = 0;           ///< place in the input, before shuffling
  std::vector<MediaReference> media;  ///< in prompt order
  std::optional<std::string> prompt;  ///< instead of the job's
  std::string messages;               ///< instead of any prompt: JSON as templates take it
  std::optional<DataError> error;     ///< it can never run; the others do
};

struct SourceOptions {
  std::vector<std::string> inputs;
  std::string format;      ///< --input-format; empty: read from the content
  std::int64_t limit = 0;  ///< 0: all
  std::string shard;       ///< "I/N", I from 0
  std::optional<std::uint64_t> shuffle;
};

/// The items of a job, in a fixed order: inputs as given; a folder recursively, by path; a manifest
/// by line. Shuffled, then the shard, then the limit.
///   inputs   image files, folders, globs, .jsonl manifests, "-" for a manifest in `standard_input`
/// A folder gives every file that its name or its content shows to be a picture or a video; other
/// files are passed over. A line of a manifest that is no JSON, has ill-typed fields or an id that
/// was seen before is a failed item, named by file and line; no other item minds.
/// Throws: UsageError for an input that is missing, gives nothing, or is of a kind that is not
/// served (tar, Parquet, OpenAI batches, files of video).
std::vector<Item> list_items(const SourceOptions& options, std::istream& standard_input);

/// For the way between ranks and for hashing: equal items give equal bytes.
std::string pack_items(const std::vector<Item>& items);
/// Throws: BugError when `packed` did not come from pack_items.
std::vector<Item> unpack_items(const std::string& packed);

}  // namespace retinue::runtime
