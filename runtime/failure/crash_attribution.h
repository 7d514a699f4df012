#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace retinue::runtime {

/// The death of a rank as it marked it itself: DIR/journal/r00002.e3.crash of rank and epoch, one
/// line
///   <reason> <item index, or -1> <lead of its replica>
/// A process that is killed from outside marks nothing: no item is to blame.
struct CrashReport {
  int rank = 0;
  int epoch = 0;
  int leader = 0;
  std::int64_t item = -1;  ///< what the dying thread worked on; -1: all that was in flight
  std::string reason;      ///< "SIGSEGV", "out_of_memory", …
};

/// Path of a mark in the folder of a job.
std::string crash_report_path(const std::string& job, int rank, int epoch);
/// `text` is what the file holds; nothing where that is torn or no mark.
std::optional<CrashReport> parse_crash_report(std::string_view text, int rank, int epoch);

/// Which items are to blame for the deaths of earlier runs. An item that a death names, or that was
/// alone in flight, has a strike; of several in flight all are suspects. An entry that ends an item
/// wipes out what was held against it before. Fed with the segments, in the order of their epochs.
class CrashAttribution {
 public:
  /// With so many strikes an item is not run again.
  static constexpr std::size_t kMaxCrashes = 2;

  /// Reads the marks below `job`; none is well.
  explicit CrashAttribution(const std::string& job);

  void begin(int epoch, int rank);
  void taken(std::int64_t item);
  void ended(std::int64_t item);
  void finish();

  /// By item, with the deaths that count, oldest first.
  [[nodiscard]] const std::map<std::int64_t, std::vector<CrashReport>>& by_item() const {
    return attributed_;
  }
  /// One of these killed a rank, or several did. In ascending order.
  [[nodiscard]] const std::set<std::int64_t>& suspects() const { return suspects_; }
  /// Of all marks; -1: none.
  [[nodiscard]] int newest_epoch() const;

 private:
  void judge(int before_epoch);

  std::map<std::pair<int, int>, CrashReport> reports_;  ///< by epoch and rank, not yet judged
  int newest_epoch_ = -1;
  std::pair<int, int> segment_{-1, -1};
  bool watched_ = false;  ///< a death has the lead of this segment
  /// By epoch and lead of a death: what was taken and has not ended.
  std::map<std::pair<int, int>, std::set<std::int64_t>> in_flight_;
  std::map<std::int64_t, std::vector<CrashReport>> attributed_;
  std::set<std::int64_t> suspects_;
};

}  // namespace retinue::runtime
