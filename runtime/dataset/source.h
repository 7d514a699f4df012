#pragma once

#include "runtime/dataset/item.h"
#include "runtime/dataset/item_table.h"

#include <cstdint>
#include <istream>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace retinue::runtime {

/// What an input is, where its content does not show it.
enum class InputFormat {
  kImage,
  kVideo,
  kFolder,
  kGlob,
  kManifest,
  kOpenAiBatch,
  kWebDataset,
  kParquet
};

/// The part `index`, from 0, of `count` equal parts of the items.
struct Shard {
  std::uint64_t index = 0, count = 1;
  /// As parse_shard reads it.
  [[nodiscard]] std::string text() const;
  friend bool operator==(const Shard&, const Shard&) = default;
};
/// "I/N", or "" for all items. Throws: UsageError for anything else.
Shard parse_shard(std::string_view text);

struct SourceOptions {
  std::vector<std::string> inputs;
  std::optional<InputFormat> format;  ///< --input-format; none: read from the content
  std::int64_t limit = 0;             ///< 0: all
  Shard shard;
  std::optional<std::uint64_t> shuffle;
};

/// Hands out the items of a job one by one, in a fixed order: inputs as given; a folder
/// recursively, by path; a manifest by line. Memory is that of the largest folder's names.
///   inputs   files of pictures or video, folders, globs, .jsonl manifests and OpenAI batches,
///   WebDataset .tar
///            archives, .parquet files, "-" for a manifest in `standard_input`
/// A folder gives every file that its name or its content shows to be a picture or a video; other
/// files are passed over. A line of a manifest that is no JSON or has ill-typed fields is a failed
/// item, named by file and line; no other item minds.
/// Throws: UsageError for an input that is missing, gives nothing, or is of a kind that is not
/// served (compressed archives).
void list_items(const SourceOptions& options, std::istream& standard_input, ItemSink& sink);

/// --shuffle, --shard and --limit. Throws: UsageError for a negative limit.
ItemSelection selection_of(const SourceOptions& options);

/// What list_items gives, selected, as a table in `folder`; without one in files without a name.
/// Throws: as both; UsageError when there is no item at all.
ItemTable list_table(const SourceOptions& options, std::istream& standard_input,
                     const std::string& folder);

}  // namespace retinue::runtime
