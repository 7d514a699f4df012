#include "launcher/commands.h"
#include "launcher/environment.h"
#include "parallel/base/check.h"

#include <cstdio>
#include <exception>
#include <new>
#include <string>
#include <vector>

namespace {

/// Once per launch: what stops every rank alike is said by the first.
int fail(int exit_code, const char* message) {
  int rank = 0;
  try {
    rank = retinue::launcher::read_environment().rank;
  } catch (const std::exception&) {
    // The environment itself is what is wrong.
  }
  if (rank == 0 || exit_code != 2) std::fprintf(stderr, "retinue: %s\n", message);
  return exit_code;
}

}  // namespace

int main(int argc, char** argv) {
  try {
    return retinue::launcher::run({argv + 1, argv + argc});
  } catch (const retinue::UsageError& error) {
    return fail(2, error.what());
  } catch (const retinue::SystemError& error) {
    return fail(75, error.what());
  } catch (const std::bad_alloc&) {
    return fail(75, "[memory] the host has no memory left. Use fewer ranks or a smaller batch.");
  } catch (const std::exception& error) {
    return fail(1, error.what());
  }
}
