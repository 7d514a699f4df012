#pragma once

#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace retinue::launcher {

/// A variable of the environment that Retinue reads. They are few, and for debugging.
struct Variable {
  std::string_view name;
  std::string_view type;
  std::string_view help;
};
std::span<const Variable> variables();

/// The value of a variable of the environment; none when it is not set. Tests pass their own.
using Getenv = std::function<std::optional<std::string>(const std::string& name)>;
std::optional<std::string> process_getenv(const std::string& name);

/// How this process was started, before MPI is.
struct Environment {
  bool launched = false;  ///< by mpirun or srun, as a rank
  int rank = 0;           ///< in the world, as the launcher numbers it; 0 in a plain call
};
/// Throws: UsageError under an srun without MPI support.
Environment read_environment(const Getenv& getenv = process_getenv);

/// Seconds since this process began or, when `launched`, since the process that started it did:
/// mpirun on its own host, a helper of mpirun or Slurm on others. 0 where /proc lacks it.
double seconds_since_launch(bool launched);

/// RETINUE_DEADLINE_S, or 300.
double deadline_s(const Getenv& getenv = process_getenv);

/// RETINUE_SYNC, which is 1 or not set.
bool waits_after_ops(const Getenv& getenv = process_getenv);

/// One machine of --hosts or --hostfile. 0 slots: none given.
struct Host {
  std::string name = {};
  int slots = 0;
};
/// "a,b" or "a:2,b:4". Throws: UsageError.
std::vector<Host> parse_hosts(std::string_view list);
/// Lines "NAME slots=N"; "#" begins a comment. Throws: UsageError.
std::vector<Host> parse_hostfile(std::string_view text, std::string_view file);

/// The CPUs that this process may use: logical ones, for threads, and physical cores, which mpirun
/// binds ranks to. Both are at most the control group's quota.
struct Cores {
  int logical = 1;
  int physical = 1;
};
Cores usable_cores();

}  // namespace retinue::launcher
