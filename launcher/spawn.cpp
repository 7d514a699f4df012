#include "launcher/spawn.h"

#include "launcher/children.h"
#include "launcher/text_file.h"
#include "parallel/base/check.h"
#include "parallel/base/exit_code.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <charconv>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <iterator>
#include <numeric>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <thread>
#include <unistd.h>

extern char** environ;

namespace retinue::launcher {
namespace {

constexpr std::array kStops = {SIGTERM, SIGINT, SIGUSR1};

// Signal handlers can reach globals only.
std::atomic<pid_t> g_child{0};
std::atomic<int> g_stops{0};

void forward(int signal, siginfo_t* info, void*) {
  const pid_t child = g_child.load();
  if (child <= 0) {
    g_stops.fetch_add(1);
    return;
  }
  // The terminal sends SIGINT to the whole group: mpirun gets its own and ends the ranks.
  if (signal == SIGINT && info->si_code > 0) {
    g_stops.fetch_add(1);
    return;
  }
  // mpirun kills its ranks two seconds after a SIGTERM, and hands SIGUSR1 on: the first request to
  // stop leaves a job the time to finalize.
  const bool first = g_stops.fetch_add(1) == 0;
  kill(child, signal != SIGUSR1 && !first ? SIGTERM : SIGUSR1);
}

struct Ended {
  int status = 0;     ///< from waitpid
  std::string first;  ///< the rank that ended before all others, where it is known
};

/// Waits for `child` to end. Open MPI 4.1 can hang when a rank is killed while it joins: a launcher
/// whose ranks are all dead is killed after some seconds. A single rank, this executable itself,
/// has only decoding helpers below it, and waits for them itself.
Ended wait_for(pid_t child, const std::string& name) {
  constexpr auto kLook = std::chrono::milliseconds(5);
  constexpr int kLooksPerSecond = 200, kLooksPerGlance = 4, kHangs_s = 3;
  const bool has_ranks = name != own_path();
  FirstToEnd first;
  int dead_s = 0;
  for (int looks = 1;; ++looks) {
    int status = 0;
    const pid_t ended = waitpid(child, &status, WNOHANG);
    if (ended == child) return {status, first.text()};
    if (ended < 0 && errno != EINTR)
      throw SystemError(
          fmt::format("[launch] {} cannot be waited for: {}.", name, std::strerror(errno)));
    if (has_ranks && looks % kLooksPerGlance == 0) {
      const std::vector<Child> children = children_of(child);
      first.look(children);
      if (looks % kLooksPerSecond == 0) {
        dead_s = !children.empty() && std::ranges::all_of(children, &Child::dead) ? dead_s + 1 : 0;
        if (dead_s == kHangs_s) kill(child, SIGKILL);
      }
    }
    std::this_thread::sleep_for(kLook);
  }
}

/// The output of `program --version`; empty where it cannot run, which its start will report.
std::string version_text(const std::string& program) {
  std::string text;
  FILE* pipe = popen(fmt::format("{} --version 2>/dev/null", quoted({program})).c_str(), "r");
  if (pipe == nullptr) return text;
  std::array<char, 256> part{};
  while (std::fgets(part.data(), static_cast<int>(part.size()), pipe) != nullptr)
    text += part.data();
  pclose(pipe);
  return text;
}

std::vector<std::string> retinue_variables() {
  std::vector<std::string> names;
  for (char** entry = environ; *entry != nullptr; ++entry) {
    const std::string_view text(*entry);
    if (text.starts_with("RETINUE_") || text.starts_with("LD_LIBRARY_PATH="))
      names.emplace_back(text.substr(0, text.find('=')));
  }
  std::sort(names.begin(), names.end());
  return names;
}

}  // namespace

Launch plan_launch(const LaunchOptions& options, const Getenv& getenv) {
  Launch launch;
  if (!options.hostfile.empty() && !options.hosts.empty())
    throw UsageError("[launch] --hosts and --hostfile both name machines. Use one of them.");
  if (!options.hosts.empty()) launch.hosts = parse_hosts(options.hosts);
  if (!options.hostfile.empty()) {
    const std::string text = read_text_file(options.hostfile, "[launch]", "--hostfile");
    launch.hosts = parse_hostfile(text, options.hostfile);
    launch.hostfile = options.hostfile;
  }
  launch.ranks = options.ranks;
  if (launch.ranks == 0)
    launch.ranks = std::max(1, std::accumulate(launch.hosts.begin(), launch.hosts.end(), 0,
                                               [](int sum, const Host& host) {
                                                 return sum + std::max(1, host.slots);
                                               }));
  launch.cores = usable_cores();
  launch.root = geteuid() == 0;
  launch.mpirun = getenv("RETINUE_MPIRUN").value_or("mpirun");
  if (!launch.hosts.empty()) launch.exported = retinue_variables();
  if (needs_spawn(launch))
    if (const std::string text = version_text(launch.mpirun); !text.empty())
      launch.open_mpi = open_mpi_version(text, launch.mpirun);
  return launch;
}

int slots_per_host(const Launch& launch) {
  if (launch.hosts.empty()) return launch.ranks;
  const auto machines = static_cast<int>(launch.hosts.size());
  int most = (launch.ranks + machines - 1) / machines;
  for (const Host& host : launch.hosts) most = std::max(most, host.slots);
  return most;
}

bool needs_spawn(const Launch& launch) { return launch.ranks > 1 || !launch.hosts.empty(); }

std::vector<std::string> launch_command(const Launch& launch, const std::string& program,
                                        const std::vector<std::string>& arguments) {
  if (!needs_spawn(launch)) {
    std::vector<std::string> command = {program};
    command.insert(command.end(), arguments.begin(), arguments.end());
    return command;
  }
  std::vector<std::string> command = {launch.mpirun};
  const auto add = [&](std::initializer_list<std::string> more) {
    command.insert(command.end(), more);
  };
  const bool four = launch.open_mpi < 5;
  if (four)
    add({"--quiet"});  // else it explains at length that a rank left with 2 or 3; 5 has no such flag
  if (launch.root) add({"--allow-run-as-root"});
  add({"-np", std::to_string(launch.ranks)});
  const int slots = slots_per_host(launch);
  if (!launch.hostfile.empty()) {
    add({"--hostfile", launch.hostfile});
  } else if (!launch.hosts.empty()) {
    std::string list;
    for (const Host& host : launch.hosts)
      fmt::format_to(std::back_inserter(list), "{}{}:{}", list.empty() ? "" : ",", host.name,
                     host.slots > 0 ? host.slots : slots);
    add({"--host", list});
  }
  if (slots > launch.cores.physical) {
    if (four)
      add({"--oversubscribe"});
    else
      add({"--map-by", ":OVERSUBSCRIBE"});
    // Ranks that wait must leave their core to ranks that work.
    add({"--bind-to", "none", "--mca", "mpi_yield_when_idle", "1"});
  } else if (launch.ranks_bind) {
    add({"--bind-to", "none"});
  } else {
    add({"--map-by", fmt::format("slot:PE={}", launch.cores.physical / slots), "--bind-to",
         "core"});
  }
  // On one machine: shared memory, without a search of every network. Between machines Open MPI
  // chooses, and OMPI_MCA_* variables or its own files restrict it.
  if (launch.hosts.empty())
    add({"--mca", "pml", "ob1", "--mca", "btl", four ? "self,vader,tcp" : "self,sm,tcp", "--mca",
         "osc", four ? "^ucx,pt2pt" : "^ucx"});
  for (const std::string& name : launch.exported) add({"-x", name});
  command.push_back(program);
  command.insert(command.end(), arguments.begin(), arguments.end());
  return command;
}

int open_mpi_version(std::string_view printed, std::string_view mpirun) {
  constexpr std::string_view kName = "(Open MPI) ";
  int major = 0;
  if (const std::size_t at = printed.find(kName); at != printed.npos) {
    const std::string_view digits = printed.substr(at + kName.size());
    std::from_chars(digits.data(), digits.data() + digits.size(), major);
  }
  if (major < 4)
    throw UsageError(
        fmt::format("[launch] {} --version prints '{}', wanted Open MPI 4 or 5. Put its mpirun "
                    "first in PATH or "
                    "name it in RETINUE_MPIRUN.",
                    mpirun, printed.substr(0, printed.find('\n'))));
  return major;
}

std::string quoted(const std::vector<std::string>& arguments) {
  constexpr std::string_view kPlain =
      "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-./:,=+@%^";
  std::string line;
  for (const std::string& argument : arguments) {
    if (!line.empty()) line += ' ';
    if (!argument.empty() && argument.find_first_not_of(kPlain) == argument.npos) {
      line += argument;
      continue;
    }
    line += '\'';
    for (const char c : argument) line += c == '\'' ? std::string("'\\''") : std::string(1, c);
    line += '\'';
  }
  return line;
}

int exit_code_of(int launcher_code) {
  if (launcher_code == 9 || launcher_code >= 128) return kExitResume;
  return launcher_code;
}

int run_command(const std::vector<std::string>& command) {
  std::vector<char*> argv;
  for (const std::string& argument : command) argv.push_back(const_cast<char*>(argument.c_str()));
  argv.push_back(nullptr);

  g_stops = 0;
  struct sigaction action {};
  action.sa_sigaction = forward;
  action.sa_flags = SA_RESTART | SA_SIGINFO;
  sigset_t stops, before;
  sigemptyset(&stops);
  for (const int signal : kStops) sigaddset(&stops, signal);
  sigprocmask(SIG_BLOCK, &stops, &before);  // until the child is known

  const pid_t parent = getpid();
  const pid_t child = fork();
  if (child < 0)
    throw SystemError(fmt::format("[launch] no process can be started: {}.", std::strerror(errno)));
  if (child == 0) {
    sigprocmask(SIG_SETMASK, &before, nullptr);
    prctl(PR_SET_PDEATHSIG, SIGTERM);  // ranks must not outlive the call
    if (getppid() != parent) _exit(kExitResume);
    execvp(argv[0], argv.data());
    const int why = errno;
    const std::string line = fmt::format(
        "[launch] {} cannot be run: {}. Install Open MPI (scripts/setup.sh), or name it in "
        "RETINUE_MPIRUN.\n",
        command[0], std::strerror(why));
    [[maybe_unused]] const auto written = write(STDERR_FILENO, line.data(), line.size());
    _exit(why == ENOENT || why == EACCES ? kExitUsage : kExitResume);
  }
  g_child = child;
  for (const int signal : kStops) sigaction(signal, &action, nullptr);
  sigprocmask(SIG_SETMASK, &before, nullptr);

  const auto [status, first] = wait_for(child, command[0]);
  g_child = 0;
  const int launcher_code = WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
  const int code = exit_code_of(launcher_code);
  if (code != launcher_code && g_stops == 0) {
    const std::string line = fmt::format(
        "retinue: [launch] {} ended with {}: a rank was killed or a machine was lost{}. The same "
        "command goes on.\n",
        command[0], launcher_code, first.empty() ? "" : "; the first to end was " + first);
    std::fwrite(line.data(), 1, line.size(), stderr);
    std::fflush(stderr);
  }
  // A launcher that was asked to stop has an exit code of its own.
  if (g_stops > 0 && code == kExitBug) return kExitResume;
  return code;
}

int stops_asked() { return g_stops; }

std::string own_path() {
  std::array<char, 4096> path{};
  const ssize_t size = readlink("/proc/self/exe", path.data(), path.size() - 1);
  if (size <= 0) return "retinue";
  return {path.data(), static_cast<std::size_t>(size)};
}

}  // namespace retinue::launcher
