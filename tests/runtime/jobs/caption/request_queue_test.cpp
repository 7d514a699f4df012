#include "runtime/jobs/caption/request_queue.h"

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <numeric>
#include <thread>
#include <utility>
#include <vector>

namespace retinue::runtime {
namespace {

std::vector<std::int64_t> counting(std::int64_t first, std::int64_t last) {
  std::vector<std::int64_t> items(static_cast<std::size_t>(last - first));
  std::iota(items.begin(), items.end(), first);
  return items;
}

TEST(RequestQueue, GivesAllInOrderAndPreparesNoMoreThanItsWindow) {
  std::atomic<std::size_t> made = 0;
  RequestQueue queue(
      [&](std::size_t item) -> Result<PreparedRequest> {
        ++made;
        if (item % 3 == 0) std::this_thread::sleep_for(std::chrono::microseconds(200));
        return DataError{"test", std::to_string(item)};
      },
      4, 3);
  queue.add(counting(0, 30));
  bool closed = false;
  const auto until = std::chrono::steady_clock::now() + std::chrono::minutes(1);
  for (std::size_t i = 0; i < 100;) {
    ASSERT_LT(std::chrono::steady_clock::now(), until) << "item " << i << " never came";
    if (i == 29 && !std::exchange(closed, true)) queue.add(counting(30, 100)), queue.close();
    const auto entry = queue.next();
    EXPECT_LE(made, i + 5);
    if (!entry) continue;
    EXPECT_FALSE(queue.exhausted() && i < 99);
    EXPECT_EQ(entry->item, i);
    EXPECT_EQ(entry->prepared.error().message, std::to_string(i));
    ++i;
  }
  EXPECT_TRUE(queue.exhausted());
  EXPECT_EQ(queue.waiting(), 0);
  EXPECT_FALSE(queue.next());
}

TEST(RequestQueue, IsNotExhaustedBeforeItIsClosed) {
  RequestQueue queue(nullptr, 4, 2);
  EXPECT_FALSE(queue.exhausted());
  queue.close();
  EXPECT_TRUE(queue.exhausted());
}

TEST(RequestQueue, RethrowsWhatPreparingThrew) {
  RequestQueue queue([](std::size_t) -> Result<PreparedRequest> { throw SystemError("disk"); }, 4,
                     1);
  queue.add(counting(0, 1));
  const auto until = std::chrono::steady_clock::now() + std::chrono::minutes(1);
  EXPECT_THROW(while (std::chrono::steady_clock::now() < until) static_cast<void>(queue.next()),
               SystemError);
}

TEST(RequestQueue, PreparesNothingBeyondAStopBeforeItIsPassed) {
  std::atomic<int> made = 0;
  RequestQueue queue(
      [&](std::size_t) -> Result<PreparedRequest> { return ++made, PreparedRequest(); }, 4, 2,
      {1, 3});
  queue.add(std::vector<std::int64_t>{0, 1, 2, 3});
  queue.close();
  // A value comes within a minute; an absence shows within 50 ms or not at all.
  const auto wait = [&](int attempts) {
    auto entry = queue.next();
    for (int i = 0; !entry && i < attempts; ++i, entry = queue.next())
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    return entry ? static_cast<int>(entry->item) : -1;
  };
  const auto next = [&] { return wait(60'000); };
  const auto nothing = [&] { return wait(50); };
  EXPECT_EQ(next(), 0);
  EXPECT_EQ(nothing(), -1);
  EXPECT_EQ(made, 1);
  queue.pass();
  EXPECT_EQ(next(), 1);
  queue.pass();  // one more must be through first
  EXPECT_EQ(next(), 2);
  EXPECT_EQ(nothing(), -1);
  EXPECT_EQ(made, 3);
  queue.pass();
  EXPECT_EQ(next(), 3);
  EXPECT_TRUE(queue.exhausted());
}

}  // namespace
}  // namespace retinue::runtime
