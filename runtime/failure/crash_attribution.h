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

/// The report of a crashing rank about itself: DIR/journal/r00002.e3.crash for rank 2 in epoch 3, one
/// line
///   <reason> <item index, or -1> <rank of its replica's leader>
/// A process that is killed from outside writes no report, and no item is blamed.
struct CrashReport {
  int rank = 0;
  int epoch = 0;  ///< counts the starts of a job
  int leader = 0;
  std::int64_t item = -1;  ///< the crashing thread worked on it; -1: unknown
  std::string reason;      ///< "SIGSEGV", "out_of_memory", …
};

/// Path of a report in the folder of a job.
std::string crash_report_path(const std::string& job, int rank, int epoch);
/// Parses the content of a report; nothing where it is torn or no report.
std::optional<CrashReport> parse_crash_report(std::string_view text, int rank, int epoch);

/// Decides which items caused the crashes of earlier runs.
///
/// A crash is attributed to an item that the report names, or that was alone in flight. Of several
/// items in flight all are suspects; bisection.h finds the one among them. An item that ends is
/// cleared of everything before.
///
/// The journal feeds it: for each segment, ordered by epoch, begin() and then taken() and ended()
/// in the order of its lines; at last finish().
class CrashAttribution {
 public:
  /// An item with so many crashes is not run again.
  static constexpr std::size_t kMaxCrashes = 2;

  /// Reads the crash reports below `job`; there may be none.
  explicit CrashAttribution(const std::string& job);

  void begin(int epoch, int rank);
  void taken(std::int64_t item);
  void ended(std::int64_t item);
  void finish();

  /// Attributed items with their crashes, oldest first.
  [[nodiscard]] const std::map<std::int64_t, std::vector<CrashReport>>& by_item() const {
    return attributed_;
  }
  /// At least one of these items crashed a rank. None of them is attributed.
  [[nodiscard]] const std::set<std::int64_t>& suspects() const { return suspects_; }
  /// The newest epoch that has a report; -1: none has.
  [[nodiscard]] int newest_epoch() const;

 private:
  void judge(int before_epoch);

  std::map<std::pair<int, int>, CrashReport> reports_;  ///< by epoch and rank, not judged yet
  int newest_epoch_ = -1;
  std::pair<int, int> segment_{-1, -1};  ///< epoch and rank of the segment that is being read
  bool watched_ = false;                 ///< a report names the segment's rank as its leader
  /// By epoch and leader of a report: items that were taken and did not end.
  std::map<std::pair<int, int>, std::set<std::int64_t>> in_flight_;
  std::map<std::int64_t, std::vector<CrashReport>> attributed_;
  std::set<std::int64_t> suspects_;
};

}  // namespace retinue::runtime
