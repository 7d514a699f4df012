#pragma once

#include "runtime/dataset/item.h"
#include "runtime/dataset/item_table.h"

#include <cstdint>
#include <istream>
#include <optional>
#include <string>
#include <vector>

namespace retinue::runtime {

struct SourceOptions {
  std::vector<std::string> inputs;
  std::string format;      ///< --input-format; empty: decided by content
  std::int64_t limit = 0;  ///< 0: all
  std::string shard;       ///< "I/N", I from 0
  std::optional<std::uint64_t> shuffle;
};

/// Lists the items of a job one by one, in a fixed order: inputs as given; a folder recursively, by
/// path; a manifest by line. Memory: the names of the largest folder.
///   inputs  images, videos, folders, globs, .jsonl manifests and OpenAI batches, WebDataset .tar
///           archives, .parquet files, "-" for a manifest in `standard_input`
/// In a folder, every file that is an image or a video by its name or its content is an item; other
/// files are skipped. A line of a manifest that is no JSON, or has a value of a wrong type, is a
/// failed item, named by file and line; other items are not affected.
/// Throws: UsageError for an input that is missing, gives no item, or is not supported (compressed
///   archives).
void list_items(const SourceOptions& options, std::istream& standard_input, ItemSink& sink);

/// The selection of --shuffle, --shard and --limit.   Throws: UsageError for an invalid one.
ItemSelection selection_of(const SourceOptions& options);

/// Lists and selects items into a table in `folder`; an empty name gives unnamed files.
/// Throws: as list_items and selection_of; UsageError where there is no item at all.
ItemTable list_table(const SourceOptions& options, std::istream& standard_input,
                     const std::string& folder);

}  // namespace retinue::runtime
