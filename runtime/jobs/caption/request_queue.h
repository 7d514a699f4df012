#pragma once

#include "runtime/jobs/prepared_request.h"

#include <condition_variable>
#include <cstddef>
#include <deque>
#include <functional>
#include <map>
#include <mutex>
#include <optional>
#include <span>
#include <thread>
#include <vector>

namespace retinue::runtime {

/// Makes questions ahead of the engine on its own threads and gives them out in order, so that
/// neither reading nor tokenising stands in the way of a step.
class RequestQueue {
 public:
  using Make = std::function<Result<PreparedRequest>(std::size_t item)>;

  /// At most `ahead` questions wait.
  ///   stops  how many items, ascending, after which nothing is made before pass()
  RequestQueue(Make make, std::size_t ahead, int threads, std::vector<std::size_t> stops = {});

  /// Behind those that were added before.
  void add(std::span<const std::int64_t> items);
  /// No more will be added.
  void close();
  /// Items that were added and have not been given out.
  [[nodiscard]] std::int64_t waiting();

  struct Entry {
    std::size_t item;
    Result<PreparedRequest> prepared;
  };
  /// The next in order, if it is there. Never waits. What making it threw is thrown.
  std::optional<Entry> next();
  /// What was given out is through: goes on beyond a stop, if it stands at one.
  void pass();
  /// CPU seconds that making questions took so far, and how many were made.
  struct Times {
    double cpu_s = 0;
    std::int64_t made = 0;
  };
  [[nodiscard]] Times times();
  /// Closed, and all have been given out.
  [[nodiscard]] bool exhausted();

 private:
  void work(const std::stop_token& stop);
  [[nodiscard]] bool may_start() const;

  std::deque<std::size_t> stops_;  ///< that are still ahead
  Make make_;
  std::size_t ahead_;
  std::mutex mutex_;
  std::condition_variable_any wake_;
  std::deque<std::size_t> items_;  ///< not started
  bool closed_ = false;
  std::size_t started_ = 0, given_ = 0;  ///< how many
  std::map<std::size_t, Entry> made_;    ///< by their number among the started
  Times times_;
  std::exception_ptr failure_;
  std::vector<std::jthread> threads_;  // last: they use all of the above
};

}  // namespace retinue::runtime
