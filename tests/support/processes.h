#pragma once

#include <cerrno>
#include <chrono>
#include <csignal>
#include <fstream>
#include <sstream>
#include <string>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <thread>
#include <unistd.h>
#include <vector>

namespace retinue::test {

/// The processes that `process` started, and those that they started, parents first.
inline std::vector<pid_t> descendants(pid_t process) {
  std::vector<pid_t> all;
  std::ifstream file("/proc/" + std::to_string(process) + "/task/" + std::to_string(process) +
                     "/children");
  for (pid_t child = 0; file >> child;) {
    all.push_back(child);
    for (const pid_t below : descendants(child)) all.push_back(below);
  }
  return all;
}

/// The command line of a process, words separated by spaces; empty once it has ended.
inline std::string command_of(pid_t process) {
  std::ifstream file("/proc/" + std::to_string(process) + "/cmdline", std::ios::binary);
  std::string words{std::istreambuf_iterator<char>(file), {}};
  for (char& c : words)
    if (c == '\0') c = ' ';
  return words;
}

/// A command of sh in a process group of its own, with all its descendants. This process adopts
/// those whose parents are killed, so that it sees them all.
class Launch {
 public:
  explicit Launch(const std::string& command) {
    ::prctl(PR_SET_CHILD_SUBREAPER, 1);
    pid_ = ::fork();
    if (pid_ != 0) return;
    ::setpgid(0, 0);
    ::execl("/bin/sh", "sh", "-c", ("exec " + command).c_str(), nullptr);
    ::_exit(127);
  }
  Launch(const Launch&) = delete;
  Launch& operator=(const Launch&) = delete;
  ~Launch() {
    for (const pid_t process : all()) ::kill(process, SIGKILL);
    wait(60);
  }

  [[nodiscard]] pid_t pid() const { return pid_; }
  /// All living processes, the first one first.
  [[nodiscard]] std::vector<pid_t> all() {
    reap();
    return descendants(::getpid());
  }
  /// No process lives.
  [[nodiscard]] bool gone() { return all().empty(); }
  /// Waits until no process lives, at most so long. False: one still does.
  bool wait(double seconds) {
    const auto until = std::chrono::steady_clock::now() + std::chrono::duration<double>(seconds);
    while (!gone()) {
      if (std::chrono::steady_clock::now() > until) return false;
      std::this_thread::sleep_for(std::chrono::milliseconds(2));
    }
    return true;
  }
  /// The first process's exit code, or 128 + the signal that ended it; -1: it lives.
  [[nodiscard]] int code() const { return code_; }

 private:
  void reap() {
    int status = 0;
    for (pid_t ended = 0; (ended = ::waitpid(-1, &status, WNOHANG)) > 0;)
      if (ended == pid_) code_ = WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
  }

  pid_t pid_ = -1;
  int code_ = -1;
};

}  // namespace retinue::test
