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

/// The work that a replica has done in this run. Its leader sends it to rank 0 as bytes.
struct Counts {
  std::int64_t done = 0;
  std::int64_t failed = 0;
  std::int64_t media = 0;  ///< images and videos of items that are done
  std::int64_t prompt_tokens = 0;
  std::int64_t completion_tokens = 0;
  EngineStats engine;
  StartUp start_up;
  bool interrupted = false;  ///< a stop was requested
  bool hurried = false;      ///< a second request: stop without waiting for items in flight
  bool finished = false;     ///< its journal segment is closed

  Counts& operator+=(const Counts& other);
};

/// Shows the progress of a job to people, on rank 0: on a terminal one line that is drawn again,
/// elsewhere a line in the log every ten seconds. Never writes to stdout.
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

  /// Shows `counts`, at most as often as above.
  void update(const Counts& counts);
  /// Shows the last line of a run, also without Options::show.
  void finish(const Counts& counts, std::string_view outcome);
  [[nodiscard]] double elapsed_s() const;

  /// "4,096 / 118,287 done, 2 failed, 31.4 images/s, 912 tokens/s, waited 3 % for pixels,
  /// 01:02:03 to 01:10:00 left". The two times assume the pace of the whole run, and that of at
  /// least its last half.
  [[nodiscard]] std::string line(const Counts& counts) const;
  /// Seconds to the end at those two paces, the shorter first; nothing before the first item has
  /// ended and after the last one has.
  [[nodiscard]] std::optional<std::pair<double, double>> left_s(const Counts& counts) const;

 private:
  Options options_;
  Log& log_;
  const Clock& clock_;
  double started_s_;
  double shown_s_;
  /// Items that had ended at a time: one mark for each of the last two doublings of the run.
  struct Mark {
    double time_s = 0;
    std::int64_t ended = 0;
  };
  Mark half_, next_half_;
};

}  // namespace retinue::runtime
