#pragma once

#include "launcher/environment.h"
#include "launcher/options.h"

#include <string>
#include <vector>

namespace retinue::launcher {

/// The ranks that a plain call starts, and where.
struct Launch {
  int ranks = 1;
  std::vector<Host> hosts = {};  ///< empty: this machine
  std::string hostfile = {};     ///< passed to mpirun; empty: `hosts`
  Cores cores;                   ///< of this machine; others are taken to be alike
  bool root = false;             ///< mpirun refuses root without a flag
  bool ranks_bind = false;       ///< ranks bind themselves (binding.h): mpirun must not
  std::string mpirun = "mpirun";
  int open_mpi = 4;                        ///< its major version: 4 or 5
  std::vector<std::string> exported = {};  ///< variables for other machines
};

/// The launch that the options ask for on this machine. Reads the host file.
/// Throws: UsageError when both ways to name hosts are used, or a file cannot be read.
Launch plan_launch(const LaunchOptions& options, const Getenv& getenv = process_getenv);

/// Ranks that fit on a host: hosts are filled one after another.
[[nodiscard]] int slots_per_host(const Launch& launch);

/// True when ranks have to be started; otherwise this process is the one rank.
[[nodiscard]] bool needs_spawn(const Launch& launch);

/// The command: mpirun and its flags, then `program`, then `arguments`. Every flag of Open MPI 4
/// and 5 that Retinue uses is in spawn.cpp.
std::vector<std::string> launch_command(const Launch& launch, const std::string& program,
                                        const std::vector<std::string>& arguments);

/// The major version in what `mpirun --version` prints. Throws: UsageError when it is no Open MPI.
int open_mpi_version(std::string_view printed, std::string_view mpirun);

/// One line that a shell reads as `arguments`.
std::string quoted(const std::vector<std::string>& arguments);

/// The exit code for a launcher's: 75 where ranks were killed (137, 9, any signal).
int exit_code_of(int launcher_code);

/// Runs the command and returns the exit code for this process. SIGTERM, SIGINT and SIGUSR1 reach
/// the ranks as SIGUSR1, which asks a job to end in order; a second one ends them. Reports killed
/// ranks on stderr, with the first one to end where all are on this machine.
/// Throws: SystemError when it cannot be started.
int run_command(const std::vector<std::string>& arguments);

/// How many requests to stop have come since run_command() began.
int stops_asked();

/// The path of this executable.
std::string own_path();

}  // namespace retinue::launcher
