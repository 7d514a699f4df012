#pragma once

// Tested through tests/runtime/status/status_board_test.cpp.

#include "parallel/mesh/mesh.h"
#include "runtime/dataset/passed_over.h"
#include "runtime/decode/prefetcher.h"
#include "runtime/engine/stats.h"
#include "runtime/status/progress.h"

#include <algorithm>
#include <array>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace retinue::runtime {

/// Histogram of the time per item, from when the engine takes it to its last token.
struct ItemSeconds {
  static constexpr std::array kBounds = {0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0, 300.0};

  void add(double seconds) {
    ++counts[static_cast<std::size_t>(std::ranges::lower_bound(kBounds, seconds) -
                                      kBounds.begin())];
    sum_s += seconds;
  }
  ItemSeconds& operator+=(const ItemSeconds& other) {
    for (std::size_t i = 0; i < counts.size(); ++i) counts[i] += other.counts[i];
    sum_s += other.sum_s;
    return *this;
  }

  std::array<std::int64_t, kBounds.size() + 1> counts{};  ///< items up to each bound, then above
  double sum_s = 0;
};

/// The status of one rank. Sent between ranks as bytes.
struct RankState {
  EngineStats engine;
  PrefetchState feed;
  bool finished = false;  ///< the last status of this rank
  // On leaders only:
  std::int64_t live = 0;      ///< items in the engine
  std::int64_t requests = 0;  ///< items that are not read yet, or wait for the engine
  double prepare_s = 0;       ///< reading files and headers, prompts, tokens; summed over threads
  double write_s = 0;         ///< writing records to the journal
  ItemSeconds item_seconds;
};

/// An item that ended on a leader other than rank 0, for the monitor. Sent between ranks as bytes;
/// longer texts are cut.
struct JobEvent {
  std::int64_t item = 0;
  bool failed = false;
  double seconds = 0;
  std::array<char, 24> stage{};
  std::array<char, 600> text{};  ///< the caption, or why the item failed
};

enum class JobPhase {
  kListing,     ///< lists the items of the inputs
  kLoading,     ///< loads weights
  kRunning,     ///< runs engine steps
  kStopping,    ///< finishes items in flight after a request to stop
  kFinalizing,  ///< writes captions.jsonl and the other output files
  kEnded,
  kFailed,  ///< the process ends by an exception; no exit code is known
};
std::string_view name(JobPhase phase);

/// The status of a job at one moment. Rank 0 makes it; afterwards it never changes.
struct JobStatus {
  static constexpr int kSchemaVersion = 1;

  struct Job {
    std::string model = {}, output = {}, dtype = {}, device = {};
    std::vector<std::string> input = {};
    MeshShape mesh = {};
    int epoch = 0;
  };
  struct Rank {
    RankState state;
    double stepped_s = 0;  ///< clock time of the last status in which it had made progress
    std::int64_t done = 0, failed = 0;  ///< items of its replica; on leaders only
  };
  /// Items that ended within a stretch of time.
  struct Bucket {
    double seconds = 0;
    std::int64_t done = 0, failed = 0, media = 0, prompt_tokens = 0, completion_tokens = 0;
  };
  struct Recent {
    std::int64_t serial = 0;  ///< from 1 in each process; names the thumbnail
    std::string id = {}, caption = {};
    int replica = 0;
    double seconds = 0;
    std::shared_ptr<const std::string> thumbnail = {};  ///< JPEG; null where there is none
  };
  struct Failed {
    std::string id = {}, stage = {}, message = {};
    int replica = 0;
  };

  Job job;
  JobPhase phase = JobPhase::kListing;
  int exit_code = -1;   ///< -1 before the end
  std::string outcome;  ///< for people; empty before the end
  double made_s = 0;    ///< on the job's clock
  double made_unix_s = 0, started_unix_s = 0;
  double elapsed_s = 0;  ///< since this run listed its items
  std::int64_t items = 0, done_before = 0, failed_before = 0, quarantined = 0;
  std::vector<PassedOver> passed_over;  ///< what the inputs hold beside the items
  Counts counts;                        ///< of this run, summed over replicas
  bool has_eta = false;
  double left_low_s = 0, left_high_s = 0;
  std::vector<Rank> ranks;
  std::vector<Bucket> history;   ///< oldest first; all but the last are equally long
  std::vector<Recent> recent;    ///< newest first
  std::vector<Failed> failures;  ///< newest first
  std::string monitor_url;

  /// Summed over ranks.
  [[nodiscard]] RankState total() const;
  [[nodiscard]] std::int64_t done() const { return done_before + counts.done; }
  [[nodiscard]] std::int64_t failed() const { return failed_before + counts.failed; }
  /// The rank that has made no step for the longest time, and that time in seconds at `now_s`.
  ///   returns  {seconds, rank}; {0, -1} while no rank has work
  [[nodiscard]] std::pair<double, int> longest_quiet_s(double now_s) const;
};

/// The body of /status and the content of DIR/status.json: one JSON object without line ends.
/// Malformed UTF-8 becomes U+FFFD.
std::string to_json(const JobStatus& status);

/// Receives each status, on the thread of the job's loop.
class StatusSink {
 public:
  virtual ~StatusSink() = default;
  /// Must not wait or throw: a slow or broken sink must not hold up the job.
  virtual void publish(std::shared_ptr<const JobStatus> status) = 0;
  /// The address where people see the status; empty: none.
  [[nodiscard]] virtual std::string url() const { return {}; }
};

}  // namespace retinue::runtime
