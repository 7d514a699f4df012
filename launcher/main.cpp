#include "launcher/commands.h"
#include "launcher/environment.h"
#include "parallel/base/exit_code.h"

#include <array>
#include <csignal>
#include <cstdio>
#include <exception>
#include <fcntl.h>
#include <unistd.h>

namespace {

/// A standard stream that the caller has closed would be the next file that this process opens, and
/// log lines would go into it. Closed streams become ones that take nothing: reading from standard
/// input and writing to standard output fail as before, and what goes to standard error is dropped.
void occupy_closed_streams() {
  constexpr std::array<int, 3> kModes = {O_WRONLY, O_RDONLY, O_WRONLY};
  for (int stream = 0; stream < 3; ++stream)
    if (::fcntl(stream, F_GETFD) == -1)
      ::open("/dev/null", kModes[static_cast<std::size_t>(stream)]);
}

/// Prints why this process ends. What stops every rank alike is printed by the first one alone.
int fail(const retinue::ExitReason& reason) {
  int rank = 0;
  try {
    rank = retinue::launcher::read_environment().rank;
  } catch (const std::exception&) {
    // The environment itself is what is wrong.
  }
  if (rank == 0 || reason.code != retinue::kExitUsage)
    std::fprintf(stderr, "retinue: %s\n", reason.message.c_str());
  return reason.code;
}

/// An answer that could not be written is no success: a full disk, a closed pipe.
int with_all_written(int code) {
  if (std::fflush(stdout) == 0 && std::ferror(stdout) == 0) return code;
  std::fputs(
      "retinue: [stdout] the output could not be written as a whole. Make room where it goes, "
      "then run the same command again.\n",
      stderr);
  return code == retinue::kExitDone ? retinue::kExitResume : code;
}

}  // namespace

int main(int argc, char** argv) {
  occupy_closed_streams();
  // A limit of file sizes (ulimit -f) is then an error of the write, which says what to do.
  std::signal(SIGXFSZ, SIG_IGN);
  try {
    return with_all_written(retinue::launcher::run({argv + 1, argv + argc}));
  } catch (const std::exception&) {
    return fail(retinue::exit_reason(std::current_exception()));
  }
}
