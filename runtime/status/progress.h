#pragma once

#include "parallel/base/clock.h"
#include "parallel/base/log.h"
#include "runtime/engine/stats.h"
#include "runtime/status/start_up.h"

#include <cstdint>
#include <optional>
#include <string>
#include <utility>

namespace retinue::runtime {

/// What a lead has done in this run. Travels between ranks as it is.
struct Counts {
  std::int64_t done = 0;
  std::int64_t failed = 0;
  std::int64_t media = 0;  ///< images and videos of items that are done
  std::int64_t prompt_tokens = 0;
  std::int64_t completion_tokens = 0;
  EngineStats engine;
  StartUp start_up;
  bool interrupted = false;  ///< asked to stop
  bool hurried = false;      ///< and soon
  bool finished = false;     ///< its segment is closed

  Counts& operator+=(const Counts& other);
};

/// How a job stands, for people: one line that is drawn again on a terminal, else a line in the log
/// every ten seconds. Rank 0's; stdout is never written.
class Progress {
 public:
  struct Options {
    std::int64_t items = 0;        ///< of the job
    std::int64_t done_before = 0;  ///< by earlier runs
    std::int64_t failed_before = 0;
    int replicas = 1;
    bool show = true;
    bool terminal = false;
  };
  Progress(const Options& options, Log& log, const Clock& clock);

  /// Shows `counts` if it is time to.
  void update(const Counts& counts);
  /// The line at the end of a run, in any case of `show`.
  void finish(const Counts& counts, std::string_view outcome);
  [[nodiscard]] double elapsed_s() const;

  /// "4,096 / 118,287 done, 2 failed, 31.4 images/s, 912 tokens/s, waited 3 % for pixels,
  /// 01:02:03 to 01:10:00 left": at the pace of the whole run, and of its last half or more.
  [[nodiscard]] std::string line(const Counts& counts) const;
  /// Seconds to the end at those two paces, the shorter first; nothing before an item has ended and
  /// after all have.
  [[nodiscard]] std::optional<std::pair<double, double>> left_s(const Counts& counts) const;

 private:
  Options options_;
  Log& log_;
  const Clock& clock_;
  double started_s_;
  double shown_s_;
  /// How many had ended when, at the last two doublings of the run.
  struct Mark {
    double time_s = 0;
    std::int64_t ended = 0;
  };
  Mark half_, next_half_;
};

}  // namespace retinue::runtime
