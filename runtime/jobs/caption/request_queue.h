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

/// Prepares requests ahead of the engine on threads of its own and gives them out in order, so that
/// no step waits for a file or the tokenizer.
class RequestQueue {
 public:
  using Make = std::function<Result<PreparedRequest>(std::size_t item)>;

  /// At most `ahead` prepared requests wait.
  ///   stops  numbers of items, ascending: after so many, nothing is prepared before pass()
  RequestQueue(Make make, std::size_t ahead, int threads, std::vector<std::size_t> stops = {});

  /// Appends items.
  void add(std::span<const std::int64_t> items);
  /// No more will be added.
  void close();
  /// Items that were added and have not been given out.
  [[nodiscard]] std::int64_t waiting();

  struct Entry {
    std::size_t item;
    Result<PreparedRequest> prepared;
  };
  /// The next in order, if it is ready. Never waits. Rethrows what preparing it threw.
  std::optional<Entry> next();
  /// All that was given out has ended: a stop that has been reached is lifted.
  void pass();
  /// Time spent on preparing so far, summed over the threads.
  struct Times {
    double seconds = 0;
    double cpu_s = 0;
    std::int64_t made = 0;
  };
  [[nodiscard]] Times times();
  /// Closed, and all have been given out.
  [[nodiscard]] bool exhausted();

 private:
  void work(const std::stop_token& stop);
  [[nodiscard]] bool may_start() const;

  std::deque<std::size_t> stops_;  ///< not lifted yet
  Make make_;
  std::size_t ahead_;
  std::mutex mutex_;
  std::condition_variable_any wake_;
  std::deque<std::size_t> items_;  ///< not started
  bool closed_ = false;
  std::size_t started_ = 0, given_ = 0;  ///< how many
  std::map<std::size_t, Entry> made_;    ///< by their number, in the order of starting
  Times times_;
  std::exception_ptr failure_;
  std::vector<std::jthread> threads_;  // last: they use all of the above
};

}  // namespace retinue::runtime
