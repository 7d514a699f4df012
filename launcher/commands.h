#pragma once

#include "launcher/environment.h"
#include "launcher/options.h"

#include <string>
#include <vector>

namespace retinue::launcher {

/// A verb, its arguments as they were typed, and what they were read into.
struct Command {
  std::string verb;
  std::vector<std::string> arguments;
  CommandOptions options;
  Environment environment;
};

/// One function per verb: each returns the exit code of this process. Those that run are called on
/// every rank; from a plain call that asks for several ranks they start these and wait.
/// Throws: UsageError, SystemError, BugError, before ranks run or on a rank's way out.
int caption(const Command& command);
int ask(const Command& command);
int trace(const Command& command);
int check(const Command& command);
int info(const Command& command);
int doctor(const Command& command);
/// Starts ranks run by run; never a rank itself.
int study(const Command& command);

/// The whole command line after the program's name, from verb to exit code; what `retinue` prints
/// about itself goes to stdout. Throws as the verbs do.
int run(const std::vector<std::string>& arguments);

}  // namespace retinue::launcher
