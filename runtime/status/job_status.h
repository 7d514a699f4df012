#pragma once

#include "parallel/mesh/mesh.h"
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

/// How long items took, from the engine's taking them to their last token.
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

  std::array<std::int64_t, kBounds.size() + 1> counts{};  ///< up to each bound, and above
  double sum_s = 0;
};

/// How one rank stands. Travels between ranks as it is.
struct RankState {
  EngineStats engine;
  PrefetchState feed;
  bool finished = false;  ///< nothing follows
  // Of leads only:
  std::int64_t live = 0;      ///< items that the engine has
  std::int64_t requests = 0;  ///< items that wait to be read, or read to be taken by the engine
  double prepare_s = 0;       ///< reading files and headers, prompts, tokens; over threads
  double write_s = 0;         ///< handing records to the journal
  ItemSeconds item_seconds;
};

/// An item that ended on another lead than rank 0, to be shown. Travels as it is; what does not fit
/// is cut.
struct JobEvent {
  std::int64_t item = 0;
  bool failed = false;
  double seconds = 0;
  std::array<char, 24> stage{};
  std::array<char, 600> text{};  ///< the caption, or why it failed
};

enum class JobPhase {
  kListing,     ///< the input is read
  kLoading,     ///< weights are
  kRunning,     ///< steps are made
  kStopping,    ///< on purpose, before the end
  kFinalizing,  ///< captions.jsonl and the like are written
  kEnded,
  kFailed,  ///< the process ends by an error; no exit code is known
};
std::string_view name(JobPhase phase);

/// How a job stands, at one moment. Made by rank 0, never changed afterwards.
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
    double stepped_s = 0;  ///< clock: when it was last seen to have made a step that did something
    std::int64_t done = 0, failed = 0;  ///< of its replica, at leads
  };
  /// Items that ended between two moments.
  struct Bucket {
    double seconds = 0;
    std::int64_t done = 0, failed = 0, media = 0, prompt_tokens = 0, completion_tokens = 0;
  };
  struct Recent {
    std::int64_t serial = 0;  ///< in this process, from 1: names the thumbnail
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
  int exit_code = -1;   ///< once ended
  std::string outcome;  ///< once ended, in words
  double made_s = 0;    ///< on the job's clock
  double made_unix_s = 0, started_unix_s = 0;
  double elapsed_s = 0;  ///< of this run, since its items are known
  std::int64_t items = 0, done_before = 0, failed_before = 0, quarantined = 0;
  Counts counts;  ///< of this run, over all replicas
  bool has_eta = false;
  double left_low_s = 0, left_high_s = 0;
  std::vector<Rank> ranks;
  std::vector<Bucket> history;   ///< oldest first, all but the last of one length
  std::vector<Recent> recent;    ///< newest first
  std::vector<Failed> failures;  ///< newest first
  std::string monitor_url;

  /// Summed over ranks.
  [[nodiscard]] RankState total() const;
  [[nodiscard]] std::int64_t done() const { return done_before + counts.done; }
  [[nodiscard]] std::int64_t failed() const { return failed_before + counts.failed; }
  /// Seconds at `now_s` since the rank that is longest without a step made one, and that rank;
  /// {0, -1} while none has to.
  [[nodiscard]] std::pair<double, int> longest_quiet_s(double now_s) const;
};

/// What /status answers and DIR/status.json holds: one JSON object without line ends. Any bytes in
/// texts; malformed UTF-8 becomes U+FFFD.
std::string to_json(const JobStatus& status);

/// Is told how a job stands, by the job's own loop.
class StatusSink {
 public:
  virtual ~StatusSink() = default;
  /// Never waits, and never throws for reasons of its own.
  virtual void publish(std::shared_ptr<const JobStatus> status) = 0;
  /// Where people look at it; empty: nowhere.
  [[nodiscard]] virtual std::string url() const { return {}; }
};

}  // namespace retinue::runtime
