#pragma once

#include "parallel/mesh/mesh.h"
#include "runtime/engine/request.h"
#include "runtime/jobs/caption/caption_job.h"
#include "runtime/output/journal.h"
#include "runtime/output/record.h"
#include "runtime/status/progress.h"
#include "runtime/text/output_text.h"

#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace retinue::runtime {

/// The part of a record that the engine does not return; kept while the request is in flight.
struct InFlight {
  std::vector<MediaHeader> headers;
  std::string sha256;                ///< moves into the record
  std::shared_ptr<OutputText> text;  ///< finds stop texts; null without any
  std::int64_t top_logprobs = 0;
  bool logprobs = false;
  double submitted_s = 0;
};

/// Journals what becomes of the items of one replica, in a segment of its own, and counts what is
/// durable: a count never says more than the disk holds after a power cut.
class RecordWriter {
 public:
  using Format = std::function<std::string(const Record&)>;

  /// Starts the segment of `rank`. `job` and `clock` outlive it; `format` turns a record into its
  /// line. Throws: SystemError, as the others, when the disk refuses.
  RecordWriter(const CaptionJob& job, const MeshShape& mesh, int rank, const Clock& clock,
               Format format);

  /// Journals that work on an item begins. Call it before its first byte is read: after a crash the
  /// journal then names the items in flight. Any thread.
  void taken(std::size_t item);
  /// The record of a request that the engine has completed.
  [[nodiscard]] Record record_of(const Completion& completion, const Item& item,
                                 InFlight& request) const;
  void done(std::size_t item, const Record& record);
  void failed(std::size_t item, const FailureRecord& failure);

  /// Counts what has become durable since the last call. Throws where the job's folder is gone.
  void count_durable();
  /// Everything is durable and counted; nothing may follow.
  void close();

  /// Counts durable entries alone.
  [[nodiscard]] const Counts& counts() const { return counts_; }
  /// Spent on handing records to the journal.
  [[nodiscard]] double write_s() const { return write_s_; }

 private:
  /// The share of an entry in the counts, added once it is durable.
  struct Ended {
    std::int64_t entry = 0;
    bool done = false;
    std::int64_t media = 0, prompt_tokens = 0, completion_tokens = 0;
  };

  const CaptionJob& job_;
  const Clock& clock_;
  Format format_;
  std::string numerics_;  ///< as records name them
  SegmentWriter journal_;
  std::deque<Ended> not_durable_;  ///< in the order of their entries
  Counts counts_;
  double write_s_ = 0;
};

}  // namespace retinue::runtime
