#pragma once

#include "runtime/jobs/question.h"

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
class QuestionQueue {
 public:
  using Make = std::function<Result<Question>(std::size_t item)>;

  /// `items` outlives it; at most `ahead` of them wait.
  ///   stops  ascending places in `items` that nothing passes, nor is made beyond, before pass()
  QuestionQueue(std::span<const std::size_t> items, std::vector<std::size_t> stops, Make make,
                std::size_t ahead, int threads);

  struct Entry {
    std::size_t item;
    Result<Question> question;
  };
  /// The next in order, if it is there. Never waits. What making it threw is thrown.
  std::optional<Entry> next();
  /// What was given out is through: goes on beyond a stop, if it stands at one.
  void pass();
  /// All have been given out.
  [[nodiscard]] bool exhausted() const { return given_ == items_.size(); }

 private:
  void work(const std::stop_token& stop);
  void set_limit();

  std::span<const std::size_t> items_;
  std::deque<std::size_t> stops_;  ///< that are still ahead
  Make make_;
  std::size_t ahead_;
  std::size_t given_ = 0;
  std::mutex mutex_;
  std::condition_variable_any wake_;
  std::size_t started_ = 0, limit_ = 0;
  std::map<std::size_t, Result<Question>> made_;
  std::exception_ptr failure_;
  std::vector<std::jthread> threads_;  // last: they use all of the above
};

}  // namespace retinue::runtime
