#pragma once

#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace retinue::launcher {

/// A variable of the environment that Retinue reads. Few, for debugging; all else is an option.
struct Variable {
  std::string_view name;
  std::string_view type;
  std::string_view help;
};
std::span<const Variable> variables();

/// Value of a variable of the environment; none when it is not set. An argument, for tests.
using Getenv = std::function<std::optional<std::string>(const std::string& name)>;
std::optional<std::string> process_getenv(const std::string& name);

/// How this process came to be, before MPI is started.
struct Environment {
  bool launched = false;  ///< by mpirun or srun, as one rank of several or of one
  int rank = 0;           ///< in the world, as the launcher says; 0 when plain
};
/// Throws: UsageError under an srun that did not tell MPI.
Environment read_environment(const Getenv& getenv = process_getenv);

/// Since this process began or, when `launched`, what started it: mpirun on its own host, its or
/// Slurm's helper on others. 0 where /proc does not tell.
double seconds_since_launch(bool launched);

/// RETINUE_DEADLINE_S, or 300.
double deadline_s(const Getenv& getenv = process_getenv);

/// RETINUE_SYNC, which is 1 or not set.
bool waits_after_ops(const Getenv& getenv = process_getenv);

/// One machine of --hosts or --hostfile. 0 slots: not said.
struct Host {
  std::string name = {};
  int slots = 0;
};
/// "a,b" or "a:2,b:4". Throws: UsageError.
std::vector<Host> parse_hosts(std::string_view list);
/// Lines "NAME slots=N"; "#" begins a comment. Throws: UsageError.
std::vector<Host> parse_hostfile(std::string_view text, std::string_view file);

/// What this process may use: logical CPUs, for threads, and physical cores, which is what mpirun
/// binds to; both no more than the control group's quota.
struct Cores {
  int logical = 1;
  int physical = 1;
};
Cores usable_cores();

}  // namespace retinue::launcher
