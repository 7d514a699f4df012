#pragma once
// Tested through tests/launcher/program_test.cpp.

#include "launcher/commands.h"

#include <string>
#include <vector>

namespace retinue::launcher {

/// `--compare A B` as options are read: the flag before each of the two.
std::vector<std::string> study_arguments(std::vector<std::string> arguments);

/// The verb: starts `retinue caption` run by run, prints the table. Returns its exit code.
/// Throws: UsageError on a rank of mpirun or srun, and for options that do not fit.
int run_study(const Command& command, bool gpus);

}  // namespace retinue::launcher
