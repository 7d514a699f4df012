#include "runtime/jobs/question_queue.h"

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>

namespace retinue::runtime {
namespace {

NextItem counting(std::size_t count) {
  return [at = std::size_t{0}, count]() mutable -> std::optional<std::size_t> {
    if (at == count) return std::nullopt;
    return at++;
  };
}

TEST(QuestionQueue, GivesAllInOrderAndMakesNoMoreThanItsWindow) {
  std::atomic<std::size_t> made = 0;
  QuestionQueue queue(
      counting(100),
      [&](std::size_t item) -> Result<Question> {
        ++made;
        if (item % 3 == 0) std::this_thread::sleep_for(std::chrono::microseconds(200));
        return DataError{"test", std::to_string(item)};
      },
      4, 3);
  for (std::size_t i = 0; i < 100;) {
    const auto entry = queue.next();
    EXPECT_LE(made, i + 5);
    if (!entry) continue;
    EXPECT_FALSE(queue.exhausted() && i < 99);
    EXPECT_EQ(entry->item, i);
    EXPECT_EQ(entry->question.error().message, std::to_string(i));
    ++i;
  }
  EXPECT_TRUE(queue.exhausted());
  EXPECT_FALSE(queue.next());
}

TEST(QuestionQueue, OfNothingIsExhaustedAtOnce) {
  QuestionQueue queue(counting(0), nullptr, 4, 2);
  EXPECT_TRUE(queue.exhausted());
}

TEST(QuestionQueue, ThrowsWhatMakingThrew) {
  QuestionQueue queue(
      counting(1), [](std::size_t) -> Result<Question> { throw SystemError("disk"); }, 4, 1);
  EXPECT_THROW(while (true) static_cast<void>(queue.next()), SystemError);
}

}  // namespace
}  // namespace retinue::runtime
