#pragma once

#include "runtime/failure/crash_attribution.h"

#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

namespace retinue::runtime {

/// The journal is the truth about a job: segments DIR/journal/r00017.e3.seg of rank and epoch, each
/// with one writer, only ever appended to; every start of the job is a new epoch. A line is
///   <XXH3 of the rest, 16 hex digits> <type> <item index> <JSON>
/// so that a torn tail, or a damaged line, costs itself and nothing else.
enum class EntryType : char {
  kStart = 'S',  ///< index: the epoch; who wrote, under which numerics
  kTaken = 'T',  ///< index: the item; its work begins here
  kDone = 'D',   ///< index: the item; its record
  kFail = 'F',   ///< index: the item; its failure
};

/// Path of a segment in the folder of a job.
std::string segment_path(const std::string& job, int rank, int epoch);

/// Appends to one segment. What append() returned from survives the process; what durable() counts
/// survives the power, `fsync_interval_ms` later. Any thread may append.
class SegmentWriter {
 public:
  /// Throws: SystemError when it cannot be made.
  SegmentWriter(std::string path, std::int64_t fsync_interval_ms);
  ~SegmentWriter();
  SegmentWriter(const SegmentWriter&) = delete;
  SegmentWriter& operator=(const SegmentWriter&) = delete;

  /// The number of this entry, from 1. `json` has no line end. Throws: SystemError when the disk
  /// refuses or has refused before, at a sync too: nothing is kept behind a hole, and what
  /// durable() counted stays.
  std::int64_t append(EntryType type, std::int64_t index, std::string_view json);
  /// The entries up to this number survive the power.
  [[nodiscard]] std::int64_t durable() const;
  /// Everything is durable. Throws: SystemError.
  void close();

 private:
  void sync_loop(const std::stop_token& stop);
  [[noreturn]] void fail(int error) const;

  std::string path_;
  std::int64_t fsync_interval_ms_;
  int fd_ = -1;
  mutable std::mutex mutex_;  ///< of what follows
  std::condition_variable_any wake_;
  std::int64_t appended_ = 0, durable_ = 0;
  std::int64_t wanted_ = 0;  ///< should become durable
  int error_ = 0;            ///< the first; there is no writing after it
  std::jthread syncer_;      // last: it uses all of the above
};

/// What the segments of a job say: for each item the newest entry, by epoch, then by line. Texts
/// stay on disk.
class Journal {
 public:
  /// Reads every segment below `job`; none is well. Throws: SystemError when one cannot be read.
  Journal(const std::string& job, std::int64_t items);

  [[nodiscard]] bool done(std::int64_t index) const { return is(index, EntryType::kDone); }
  [[nodiscard]] bool failed(std::int64_t index) const { return is(index, EntryType::kFail); }
  [[nodiscard]] std::int64_t done_count() const { return count(EntryType::kDone); }
  [[nodiscard]] std::int64_t failed_count() const { return count(EntryType::kFail); }
  /// The JSON of an item that is done or failed. Throws: SystemError.
  [[nodiscard]] std::string text(std::int64_t index) const;
  /// One above the newest epoch that was found.
  [[nodiscard]] int next_epoch() const { return next_epoch_; }
  /// JSON of the starts, oldest first.
  [[nodiscard]] const std::vector<std::string>& starts() const { return starts_; }
  /// Lines that were cut or skipped.
  [[nodiscard]] std::int64_t damaged_lines() const { return damaged_lines_; }
  /// Records that were ever written, of whatever item.
  [[nodiscard]] std::int64_t done_lines() const { return done_lines_; }
  /// What the deaths of earlier runs tell about items.
  [[nodiscard]] const CrashAttribution& crash_attribution() const { return attributed_; }

 private:
  struct Place {
    EntryType type = EntryType::kStart;  ///< kStart: nothing is known
    std::uint32_t segment = 0;
    std::uint32_t length = 0;
    std::int64_t offset = 0;
  };
  [[nodiscard]] bool is(std::int64_t index, EntryType type) const;
  [[nodiscard]] std::int64_t count(EntryType type) const;
  void read_segment(const std::string& path);

  std::vector<std::string> segments_;
  std::vector<Place> places_;
  std::vector<std::string> starts_;
  CrashAttribution attributed_;
  std::int64_t damaged_lines_ = 0, done_lines_ = 0;
  int next_epoch_ = 0;
};

}  // namespace retinue::runtime
