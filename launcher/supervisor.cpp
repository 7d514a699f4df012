#include "launcher/supervisor.h"

#include "launcher/spawn.h"
#include "parallel/base/exit_code.h"
#include "runtime/output/journal.h"

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <fcntl.h>
#include <sys/file.h>
#include <thread>
#include <unistd.h>

namespace retinue::launcher {
namespace {

constexpr double kFirstPause_s = 0.5;
constexpr double kLongestPause_s = 30;
constexpr double kRanksGone_s = 20;

struct JournalProgress {
  std::int64_t done = 0;
  std::size_t suspects = 0;
};

JournalProgress progress_of(const std::string& job) {
  const runtime::Journal journal(job, 0);
  return {journal.done_lines(), journal.crash_attribution().suspects().size()};
}

bool is_progress(const JournalProgress& before, const JournalProgress& now) {
  return now.done > before.done || (now.suspects < before.suspects);
}

/// Waits. False: a request to stop ended the wait.
bool pause(double seconds) {
  const auto until = std::chrono::steady_clock::now() + std::chrono::duration<double>(seconds);
  while (std::chrono::steady_clock::now() < until) {
    if (stops_asked() > 0) return false;
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
  }
  return true;
}

/// Waits until no rank holds the folder: ranks may outlive a killed mpirun by seconds.
void wait_for_ranks(const std::string& job) {
  const int fd = ::open((job + "/lock").c_str(), O_RDWR | O_CLOEXEC);
  if (fd < 0) return;
  const auto start = std::chrono::steady_clock::now();
  while (flock(fd, LOCK_EX | LOCK_NB) != 0 &&
         std::chrono::steady_clock::now() - start < std::chrono::duration<double>(kRanksGone_s))
    if (!pause(0.05)) break;
  ::close(fd);
}

}  // namespace

int supervise(const std::vector<std::string>& arguments, const std::string& job, int retries) {
  JournalProgress before = progress_of(job);
  double pause_s = kFirstPause_s;
  for (int in_a_row = 0;;) {
    const int code = run_command(arguments);
    if (code != kExitResume || stops_asked() > 0) return code;
    wait_for_ranks(job);
    const JournalProgress now = progress_of(job);
    if (is_progress(before, now)) in_a_row = 0, pause_s = kFirstPause_s;
    before = now;
    if (in_a_row == retries) {
      std::fprintf(
          stderr,
          "retinue: [--retries] %d in a row made no progress. The first failure above shows "
          "why; the same command goes on.\n",
          retries);
      return code;
    }
    ++in_a_row;
    std::fprintf(stderr,
                 "retinue: [--retries] starting again in %.1f s, %d of %d without progress\n",
                 pause_s, in_a_row, retries);
    if (!pause(pause_s)) return code;
    pause_s = std::min(2 * pause_s, kLongestPause_s);
  }
}

}  // namespace retinue::launcher
