#include "launcher/commands.h"
#include "launcher/environment.h"
#include "parallel/base/exit_code.h"

#include <cstdio>
#include <exception>

namespace {

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

}  // namespace

int main(int argc, char** argv) {
  try {
    return retinue::launcher::run({argv + 1, argv + argc});
  } catch (const std::exception&) {
    return fail(retinue::exit_reason(std::current_exception()));
  }
}
