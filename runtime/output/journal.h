#pragma once

#include "runtime/failure/crash_attribution.h"

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

namespace retinue::runtime {

/// The journal is the truth about a job. It is a set of segments, DIR/journal/r00017.e3.seg for
/// rank 17 in epoch 3; every start of the job is a new epoch. A segment has one writer, which only
/// appends. A line is
///   <XXH3 of the rest, 16 hex digits> <type> <item index> <JSON>
/// so a torn or damaged line is lost alone.
enum class EntryType : char {
  kStart = 'S',  ///< index: the epoch; JSON: the writer and its numerics
  kTaken = 'T',  ///< index: the item; work on it starts
  kDone = 'D',   ///< index: the item; JSON: its record
  kFail = 'F',   ///< index: the item; JSON: its failure
};

/// Path of a segment in the folder of a job.
std::string segment_path(const std::string& job, int rank, int epoch);

/// Appends to one segment. An entry survives a crash of the process once append() returns, and a
/// power failure once durable() counts it, at most about `fsync_interval_ms` later. Any thread may
/// append. After close() a kTaken is ignored: threads that prepare requests may still begin with an
/// item while a job stops, and nothing comes of it.
class SegmentWriter {
 public:
  /// Throws: SystemError when the segment cannot be made.
  SegmentWriter(std::string path, std::int64_t fsync_interval_ms);
  ~SegmentWriter();
  SegmentWriter(const SegmentWriter&) = delete;
  SegmentWriter& operator=(const SegmentWriter&) = delete;

  /// Returns the number of this entry, from 1. `json` has no line end.
  /// Throws: SystemError when the disk refuses this write, or refused an earlier write or sync:
  ///   nothing is written behind a gap. Entries that durable() counted are safe. BugError for an
  ///   entry other than kTaken after close().
  std::int64_t append(EntryType type, std::int64_t index, std::string_view json);
  /// The entries up to this number survive a power failure.
  [[nodiscard]] std::int64_t durable() const;
  /// Looks, at most once per second, whether the segment still lies where it was made. Writes to
  /// a file whose folder was moved or deleted succeed, and nothing would find them. One thread.
  /// Throws: SystemError where it does not.
  void verify_place();
  /// Makes every entry durable. Throws: SystemError; as verify_place, too.
  void close();

 private:
  [[nodiscard]] bool is_in_place() const;
  void sync_loop(const std::stop_token& stop);
  [[noreturn]] void fail(int error) const;
  [[noreturn]] void fail_moved() const;

  std::string path_;
  std::int64_t fsync_interval_ms_;
  int fd_ = -1;  ///< -1 after close(); guarded by the mutex from the first append on
  std::chrono::steady_clock::time_point next_look_;
  mutable std::mutex mutex_;  ///< guards the members below
  std::condition_variable_any wake_;
  std::int64_t appended_ = 0, durable_ = 0;
  std::int64_t wanted_ = 0;  ///< the entries up to this number need a sync
  int error_ = 0;            ///< the first; after it nothing is written
  std::jthread syncer_;      // last: it uses all members above
};

/// Reads the segments of a job: for each item its newest entry, by epoch, then by line. Memory
/// holds where each entry is, not its JSON.
class Journal {
 public:
  /// Reads every segment below `job`; there may be none.
  /// Throws: SystemError when one cannot be read.
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
  /// Torn or damaged lines, which were skipped.
  [[nodiscard]] std::int64_t damaged_lines() const { return damaged_lines_; }
  /// All records ever written, also those that a newer entry of their item replaces.
  [[nodiscard]] std::int64_t done_lines() const { return done_lines_; }
  /// Which items caused crashes of earlier runs.
  [[nodiscard]] const CrashAttribution& crash_attribution() const { return attributed_; }

 private:
  struct Place {
    EntryType type = EntryType::kStart;  ///< kStart: no entry
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
