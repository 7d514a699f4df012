#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace retinue::runtime {

/// What stands in the folder of a finished job beside captions.jsonl.
enum class OutputFormat { kJsonl, kWebDataset, kParquet };

/// One form in which finished records stand in the folder of a job. A file is written whole or not
/// at all; the same records in the same order give the same bytes.
class CaptionFiles {
 public:
  virtual ~CaptionFiles() = default;
  /// The next record: a line of captions.jsonl without its end.   Throws: SystemError.
  virtual void add(const std::string& json) = 0;
  /// No more of them.   Throws: SystemError.
  virtual void commit() = 0;
};

/// Writers of the records in `folder`, in the order in which they must be committed:
///   webdataset  captions-00000.tar, … of 10,000 records: KEY.json the record, KEY.txt the caption;
///               KEY is webdataset_key(id)
///   parquet     captions.parquet: the record's keys as columns; `input` and top_logprobs as JSON,
///               token_ids and logprobs as lists; what was not asked for is absent
///   jsonl       captions.jsonl, always and last: when it is there, all is
/// A form that the folder has already is made anew, too: none is older than another.
/// Throws: SystemError.
std::vector<std::unique_ptr<CaptionFiles>> caption_files(const std::string& folder,
                                                         OutputFormat format);

/// The id as webdataset takes it for a key, which ends at the first dot of a name: dots, "%",
/// control characters and backslashes become %2E and so on, likewise a slash that begins, ends or
/// follows another, and the first of two leading underscores. Different ids give different keys.
std::string webdataset_key(std::string_view id);

}  // namespace retinue::runtime
