#include "runtime/failure/crash_report.h"

#include "tests/support/job_ranks.h"

#include <gtest/gtest.h>

#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <functional>
#include <sys/wait.h>
#include <thread>
#include <unistd.h>

namespace retinue::runtime {
namespace {

/// The report of a process that ends as `end` does; "none" without one.
std::string report_of(const std::function<void(CrashReporter&)>& end, int& status) {
  const test::TemporaryFolder folder;
  const std::string path = folder.path("report");
  const pid_t child = ::fork();
  if (child == 0) {
    CrashReporter reporter(path, 2);
    end(reporter);
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
  EXPECT_EQ(report_of(
                [](CrashReporter&) {
                  std::thread([] {
                    const WorkOn work_on(17);
                    std::abort();
                  }).join();
                },
                status),
            "SIGABRT 17 2\n");
  EXPECT_EQ(WTERMSIG(status), SIGABRT);
  EXPECT_EQ(report_of([](CrashReporter&) { ::raise(SIGFPE); }, status), "SIGFPE -1 2\n");
  EXPECT_NE(status, 0);  // a sanitizer ends it in its own way
}

TEST(CrashReporter, ReportsAThreadWhoseStackOverflowed) {
  int status = 0;
  EXPECT_EQ(report_of(
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

TEST(CrashReporter, ReportsNeitherAnOrderlyEndNorAKill) {
  int status = 0;
  EXPECT_EQ(report_of([](CrashReporter&) {}, status), "none");
  EXPECT_EQ(report_of([](CrashReporter&) { ::raise(SIGKILL); }, status), "none");
  EXPECT_EQ(
      report_of(
          [](CrashReporter& reporter) { reporter.leave("out_of_memory"), reporter.leave("bug"); },
          status),
      "out_of_memory -1 2\n");
}

}  // namespace
}  // namespace retinue::runtime
