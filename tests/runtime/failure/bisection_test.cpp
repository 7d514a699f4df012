// After deaths: the order of a replica's items, and that nothing passes a stop early.
#include "runtime/failure/bisection.h"

#include "runtime/failure/crash_attribution.h"
#include "runtime/failure/crash_report.h"
#include "runtime/jobs/caption/request_queue.h"
#include "tests/support/job_ranks.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <csignal>
#include <filesystem>
#include <functional>
#include <sys/wait.h>
#include <thread>
#include <unistd.h>
#include <vector>

namespace retinue::runtime {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

TEST(Bisection, WithoutDeathsIsEmpty) {
  const Bisection bisection = plan_bisection({}, {}, 0, 1);
  EXPECT_THAT(bisection.items, IsEmpty());
  EXPECT_THAT(bisection.stops, IsEmpty());
}

TEST(Bisection, TakesTheStruckAloneThenHalvesOfTheSuspects) {
  const Bisection bisection = plan_bisection({8, 3}, {0, 2, 4, 6, 9}, 0, 1);
  EXPECT_THAT(bisection.items, ElementsAre(3, 8, 0, 2, 4, 6, 9));
  EXPECT_THAT(bisection.stops, ElementsAre(1, 2, 4, 6, 7));
}

TEST(Bisection, IsDealtToAllReplicas) {
  const Bisection first = plan_bisection({5}, {1, 2, 3, 4}, 0, 2);
  EXPECT_THAT(first.items, ElementsAre(5, 1, 3));
  EXPECT_THAT(first.stops, ElementsAre(1, 3));
  const Bisection second = plan_bisection({5}, {1, 2, 3, 4}, 1, 2);
  EXPECT_THAT(second.items, ElementsAre(2, 4));
  EXPECT_THAT(second.stops, ElementsAre(2));
}

TEST(RequestQueue, MakesNothingBeyondAStopBeforeItIsPassed) {
  std::atomic<int> made = 0;
  RequestQueue queue(
      [&](std::size_t) -> Result<PreparedRequest> { return ++made, PreparedRequest(); }, 4, 2,
      {1, 3});
  queue.add(std::vector<std::int64_t>{0, 1, 2, 3});
  queue.close();
  const auto next = [&] {
    auto entry = queue.next();
    for (int i = 0; !entry && i < 50; ++i, entry = queue.next())
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    return entry ? static_cast<int>(entry->item) : -1;
  };
  EXPECT_EQ(next(), 0);
  EXPECT_EQ(next(), -1);
  EXPECT_EQ(made, 1);
  queue.pass();
  EXPECT_EQ(next(), 1);
  queue.pass();  // one more must be through first
  EXPECT_EQ(next(), 2);
  EXPECT_EQ(next(), -1);
  EXPECT_EQ(made, 3);
  queue.pass();
  EXPECT_EQ(next(), 3);
  EXPECT_TRUE(queue.exhausted());
}

/// What a process that dies as `die` does leaves behind.
std::string mark_of(const std::function<void(CrashReporter&)>& die, int& status) {
  const test::TemporaryFolder folder;
  const std::string path = folder.path("mark");
  const pid_t child = ::fork();
  if (child == 0) {
    CrashReporter mark(path, 2);
    die(mark);
    ::_exit(0);
  }
  ::waitpid(child, &status, 0);
  return std::filesystem::exists(path) ? test::read_text(path) : "none";
}

int endless(int depth) {
  volatile char room[256];
  room[depth & 255] = 1;
  return depth == -1 ? 0 : endless(depth + 1) + room[0];
}

TEST(CrashReporter, NamesTheSignalAndTheItemOfItsThread) {
  int status = 0;
  EXPECT_EQ(mark_of(
                [](CrashReporter&) {
                  std::thread([] {
                    const WorkOn work_on(17);
                    std::abort();
                  }).join();
                },
                status),
            "SIGABRT 17 2\n");
  EXPECT_EQ(WTERMSIG(status), SIGABRT);
  EXPECT_EQ(mark_of([](CrashReporter&) { ::raise(SIGFPE); }, status), "SIGFPE -1 2\n");
  EXPECT_NE(status, 0);  // a sanitizer ends it in its own way
}

TEST(CrashReporter, IsLeftByAThreadWhoseStackHasRunOut) {
  int status = 0;
  EXPECT_EQ(mark_of(
                [](CrashReporter&) {
                  std::thread([] {
                    const WorkOn work_on(5);
                    endless(0);
                  }).join();
                },
                status),
            "SIGSEGV 5 2\n");
  EXPECT_NE(status, 0);
}

TEST(CrashReporter, IsNotLeftByOrderNorByAKill) {
  int status = 0;
  EXPECT_EQ(mark_of([](CrashReporter&) {}, status), "none");
  EXPECT_EQ(mark_of([](CrashReporter&) { ::raise(SIGKILL); }, status), "none");
  EXPECT_EQ(
      mark_of([](CrashReporter& mark) { mark.leave("out_of_memory"), mark.leave("bug"); }, status),
      "out_of_memory -1 2\n");
}

}  // namespace
}  // namespace retinue::runtime
