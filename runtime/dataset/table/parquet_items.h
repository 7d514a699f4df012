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

/// Lists a Parquet file, one item per row. Other columns than these are counted in `sink`:
///   id             text, number, UUID, date or bytes; without it the id is "file.parquet:row", rows
///                  from 0. Bytes that are no UTF-8 become \xHH.
///   image          bytes, the text of a path, or Hugging Face's struct of both, whose bytes come first
///   images         a list of these
///   video          as image
///   prompt         text; question where there is none
///   system         text
///   messages       as in a manifest, as JSON text or typed: list<struct<role, content>>, where content is
///                  text or list<struct<type, text, image, …>>; fields that are null are absent. Its
///                  images and videos without a file are those of the row, in order or by "index".
///   conversations  as LLaVA writes them, likewise: list<struct<from, value>>
/// Paths are relative to the file's folder. Image bytes are not read here: a row whose image is
/// absent or damaged fails when it is read. A file that cannot be opened is one failed item.
///   prompt_given  the job has a prompt of its own
///   returns       false when `sink` wants no more
/// Throws: UsageError as detail::find_columns; for an encrypted file.
bool read_parquet(const std::string& path, bool prompt_given, ItemSink& sink);

/// Keeps a few Parquet files open, for any number of threads that read cells.
class OpenTables {
 public:
  Result<std::shared_ptr<const ParquetFile>> open(const std::string& path);

 private:
  std::mutex mutex_;
  std::list<std::pair<std::string, std::shared_ptr<const ParquetFile>>> files_;  ///< latest first
};

/// The bytes of an image that a cell holds, or of the file whose path a cell holds.
///   tables  keeps the Parquet file open for later calls; null: it is opened for this call
/// Errors: stage "read": as ParquetFile; a cell without a value.
Result<std::vector<std::byte>> read_cell(const MediaFile& file, OpenTables* tables);

}  // namespace retinue::runtime
