#pragma once

#include <array>
#include <cstdio>
#include <string>
#include <sys/wait.h>

namespace retinue::test {

struct ShellOutcome {
  int exit_code = -1;  ///< -1: ended by a signal
  std::string text;    ///< the command's stdout
};

/// Runs a command line of sh and waits for it.
inline ShellOutcome shell(const std::string& command) {
  std::FILE* pipe = ::popen(command.c_str(), "r");
  ShellOutcome outcome;
  std::array<char, 4096> bytes;
  for (std::size_t n; (n = std::fread(bytes.data(), 1, bytes.size(), pipe)) > 0;)
    outcome.text.append(bytes.data(), n);
  const int status = ::pclose(pipe);
  outcome.exit_code = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  return outcome;
}

}  // namespace retinue::test
