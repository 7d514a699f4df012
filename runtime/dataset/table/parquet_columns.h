#pragma once

// Tested through tests/runtime/dataset/table/parquet_items_test.cpp.

#include "runtime/dataset/item.h"
#include "runtime/formats/parquet/reader.h"

#include <optional>
#include <string>
#include <vector>

namespace retinue::runtime::detail {

/// The columns that hold the images or videos of one name: bytes, paths, or Hugging Face's struct of
/// both.
struct MediaColumns {
  ///   column  the name of a column, or the path of a leaf
  MediaColumns(const ParquetFile& file, const std::string& column);

  std::string name;
  std::optional<int> bytes, path, leaf;
  bool list = false, text = false;
  int present = 0;  ///< the definition level at which a row that has no list has a value

  /// A column whose cells give the number of images; a small one where there is one.
  [[nodiscard]] std::optional<int> counted() const { return path ? path : leaf ? leaf : bytes; }
};

/// What a table asks and shows. Absent columns are null or nothing.
struct TableColumns {
  std::vector<MediaColumns> media;  ///< of image, images, video
  std::optional<int> id, prompt, question, system;
  const ParquetNode *messages = nullptr, *conversations = nullptr;
};

/// Finds the columns that a job reads, and counts the others in `sink`.
///   prompt_given  the job has a prompt of its own: then other columns may ask what they like
/// Throws: UsageError, naming the column, for a table without any that is read; a column of another type
///   than is read; one that cannot be read (compression, encoding, encryption), with the command that
///   converts the file; a slip of a name (promt); a conversation under a name that is not read, where
///   no column asks.
TableColumns find_columns(const ParquetFile& file, bool prompt_given, ItemSink& sink);

}  // namespace retinue::runtime::detail
