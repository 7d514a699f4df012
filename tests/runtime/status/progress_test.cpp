#include "runtime/status/progress.h"

#include <gtest/gtest.h>

namespace retinue::runtime {
namespace {

TEST(Progress, ShowsHowFarAndHowFast) {
  FakeClock clock;
  Log log({.rank = 0, .place = "", .level = LogLevel::kError, .directory = "", .to_stderr = false});
  const Progress progress({.items = 118287, .done_before = 1000, .failed_before = 1}, log, clock);
  clock.advance(10);
  Counts counts;
  counts.done = 99, counts.failed = 1, counts.media = 99, counts.completion_tokens = 5000;
  EXPECT_EQ(progress.line(counts),
            "1,099 / 118,287 done, 2 failed, 9.9 images/s, 500 tokens/s, 03:15:18 left");
}

TEST(Progress, ShowsTheWaitForPixelsAndARangeWhereThePaceChanges) {
  FakeClock clock;
  Log log({.rank = 0, .place = "", .level = LogLevel::kError, .directory = "", .to_stderr = false});
  Progress progress({.items = 1000, .replicas = 2}, log, clock);
  Counts counts;
  counts.done = 100;
  clock.advance(100);
  progress.update(counts);
  clock.advance(100);
  counts.done = 300;
  progress.update(counts);
  counts.done = 400, counts.media = 400, counts.engine.starved_s = 50;
  clock.advance(50);
  EXPECT_EQ(progress.line(counts),
            "400 / 1,000 done, 0 failed, 1.6 images/s, 0 tokens/s, waited 10 % for pixels, "
            "00:05:00 to 00:06:15 left");
}

}  // namespace
}  // namespace retinue::runtime
