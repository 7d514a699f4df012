#pragma once
// Tested through tests/launcher/program_test.cpp.

#include "launcher/environment.h"
#include "launcher/options.h"

#include <string>
#include <vector>

namespace retinue::launcher {

/// A verb, its arguments as typed, and the options that they give.
struct Command {
  std::string verb;
  std::vector<std::string> arguments;
  CommandOptions options;
  Environment environment;
};

/// One function per verb; each returns the exit code of this process. Verbs that run a model are
/// called on every rank; a plain call for several ranks starts these and waits.
/// Throws: UsageError, SystemError, BugError.
int caption(const Command& command);
int ask(const Command& command);
int trace(const Command& command);
int check(const Command& command);
/// In one process; ranks beyond the first do nothing.
int quantize(const Command& command);
int info(const Command& command);
int doctor(const Command& command);
/// Starts the ranks of one run after another; is never a rank itself.
int study(const Command& command);

/// Runs the command line after the program's name and returns the exit code. Help and version go to
/// stdout. Throws as the verbs do.
int run(const std::vector<std::string>& arguments);

}  // namespace retinue::launcher
