#pragma once

#include "runtime/dataset/given_texts.h"
#include "runtime/dataset/item.h"
#include "runtime/dataset/item_table.h"

#include <cstdint>
#include <istream>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace retinue::runtime {

/// The format of an input whose content does not show it.
enum class InputFormat {
  kImage,
  kVideo,
  kFolder,
  kGlob,
  kManifest,
  kOpenAiBatch,
  kWebDataset,
  kTar,  ///< another name of kWebDataset
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
  std::optional<InputFormat> format;  ///< --input-format; none: decided by content
  std::int64_t limit = 0;             ///< 0: all
  Shard shard;
  std::optional<std::uint64_t> shuffle;
  GivenTexts given;  ///< by flags, which win over texts in tables and archives
};

/// Lists the items of a job one by one, in a fixed order: inputs as given; a folder recursively, by
/// path; a manifest by line. Memory: the names of the largest folder or archive.
///   inputs  images, videos, folders, globs, .jsonl manifests and OpenAI batches, WebDataset .tar
///           archives, .parquet files, "-" for a manifest in `standard_input`
/// In a folder, every file that is an image or a video by its name or its content is an item
/// (folder.h); other files are counted as passed over. A line of a manifest that is no JSON, or has a
/// value of a wrong type, is a failed item, named by file and line; other items are not affected. A
/// folder, archive, table or manifest that several inputs reach is read once, which is counted; so is
/// what systems leave (left_by_tools.h) and a pattern matches.
/// Throws: UsageError for an input that is missing, gives no item, or is not supported (compressed
///   archives, pointers of Git LFS to archives, tables and manifests).
void list_items(const SourceOptions& options, std::istream& standard_input, ItemSink& sink);

/// The selection of --shuffle, --shard and --limit.   Throws: UsageError for a negative limit.
ItemSelection selection_of(const SourceOptions& options);

/// Lists and selects items into a table in `folder`; an empty name gives unnamed files.
/// Throws: as list_items and selection_of; UsageError where there is no item at all.
ItemTable list_table(const SourceOptions& options, std::istream& standard_input,
                     const std::string& folder);

}  // namespace retinue::runtime
