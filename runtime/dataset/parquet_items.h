#pragma once

#include "parallel/base/result.h"
#include "runtime/dataset/item.h"

#include <cstddef>
#include <list>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

namespace retinue::runtime {

class ParquetFile;

/// Lists a Parquet file, an item per row. Columns, of which others are passed over:
///   id         text or number; without it the item is "file.parquet:row", rows from 0
///   image      bytes, the text of a path, or Hugging Face's struct of both, of which bytes go
///   first images     a list of such video      as image prompt     text messages   text: JSON as
///   in a manifest. Its images and videos that name no file are those of
///              the row, in order
/// Paths are relative to the file's folder. Bytes are not read: a row whose picture is absent or
/// damaged is an item that fails when it is read. A file that cannot be opened is one failed item.
/// Returns false when `sink` wants no more. Throws: UsageError for a file without any such column.
bool read_parquet(const std::string& path, ItemSink& sink);

/// Parquet files that are kept open, a few of them, for reading cells from any number of threads.
class OpenTables {
 public:
  Result<std::shared_ptr<const ParquetFile>> open(const std::string& path);

 private:
  std::mutex mutex_;
  std::list<std::pair<std::string, std::shared_ptr<const ParquetFile>>> files_;  ///< latest first
};

/// The bytes of a picture that lies in a cell, or in the file whose path does.
///   tables  where the file stays open for the next; null: it is opened for this one
/// Errors: stage "read": as ParquetFile; a cell without a value.
Result<std::vector<std::byte>> read_cell(const MediaFile& file, OpenTables* tables);

}  // namespace retinue::runtime
