#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace retinue::runtime {

/// The form in which records are written beside captions.jsonl when a job is finished.
enum class OutputFormat { kJsonl, kWebDataset, kParquet };

/// Writes the records of a finished job in one form. A file is written whole or not at all; the
/// same records in the same order give the same bytes.
class CaptionFiles {
 public:
  virtual ~CaptionFiles() = default;
  /// Adds a record: a line of captions.jsonl without its end.   Throws: SystemError.
  virtual void add(const std::string& json) = 0;
  /// Completes the files, after the last record.   Throws: SystemError.
  virtual void commit() = 0;
};

/// Writers of the records in `folder`, in the order in which they must be committed:
///   webdataset  captions-00000.tar, … of 10,000 records: KEY.json the record, KEY.txt the caption;
///               KEY is webdataset_key(id)
///   parquet     captions.parquet: the record's keys as columns; `input` and top_logprobs as JSON,
///               token_ids and logprobs as lists; columns that were not requested hold no values
///   jsonl       captions.jsonl, always and last: where it exists, all files exist
/// Forms from an earlier run are written again, too, so that all files hold the same records.
/// Throws: SystemError.
std::vector<std::unique_ptr<CaptionFiles>> caption_files(const std::string& folder,
                                                         OutputFormat format);

/// The id as a key of webdataset, which takes a name up to its first dot. Dots, "%", control
/// characters and backslashes become %2E and so on, likewise a slash that begins, ends or follows
/// another, and the first of two leading underscores. Different ids give different keys.
std::string webdataset_key(std::string_view id);

}  // namespace retinue::runtime
