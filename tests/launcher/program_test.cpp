#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <array>
#include <cstdio>
#include <string>
#include <sys/wait.h>

namespace {

using testing::HasSubstr;
using testing::StartsWith;

struct Outcome {
  int exit_code;
  std::string text;
};

/// `retinue ARGUMENTS` through the shell; `stream` is ">..." text that chooses what is read.
Outcome retinue(const std::string& arguments, const std::string& stream = "2>/dev/null") {
  const std::string command = std::string(RETINUE_PROGRAM) + " " + arguments + " " + stream;
  std::FILE* pipe = popen(command.c_str(), "r");
  Outcome outcome{};
  std::array<char, 4096> bytes;
  for (std::size_t n; (n = std::fread(bytes.data(), 1, bytes.size(), pipe)) > 0;)
    outcome.text.append(bytes.data(), n);
  const int status = pclose(pipe);
  outcome.exit_code = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  return outcome;
}

constexpr const char* kErrors = "2>&1 >/dev/null";

TEST(Program, HelpGoesToStdout) {
  for (const char* arguments : {"--help", "help", "caption --help", "info --help"}) {
    const Outcome outcome = retinue(arguments);
    EXPECT_EQ(outcome.exit_code, 0);
    EXPECT_THAT(outcome.text, HasSubstr("usage: retinue"));
  }
  EXPECT_THAT(retinue("--version").text, StartsWith("retinue "));
}

TEST(Program, UsageErrorsAreTwoAndSaidOnce) {
  for (const char* arguments :
       {"", "capton", "caption", "caption --no-such 1", "caption photo.jpg", "study", "doctor",
        "caption --model m --input i --output o --monitor :9090",
        "caption --model m --input i --output o --device cuda",
        "caption --model m --input i --output o --reduce nccl",
        "caption --model m --input i --output o --hosts a --hostfile b"}) {
    const Outcome outcome = retinue(arguments, kErrors);
    EXPECT_EQ(outcome.exit_code, 2) << arguments;
    EXPECT_THAT(outcome.text, StartsWith("retinue: [")) << arguments;
    EXPECT_EQ(outcome.text.find('\n'), outcome.text.size() - 1) << outcome.text;
  }
  EXPECT_THAT(retinue("doctor", kErrors).text, HasSubstr("not served yet"));
}

TEST(Program, PrintsTheLaunchInsteadOfRunningIt) {
  const Outcome outcome = retinue("ask --model no-such --ranks 3 --prompt 'a b' --print-launch");
  EXPECT_EQ(outcome.exit_code, 0);
  EXPECT_THAT(outcome.text, StartsWith("mpirun "));
  EXPECT_THAT(outcome.text, HasSubstr(" -np 3 "));
  EXPECT_THAT(outcome.text, HasSubstr(" ask --model no-such --ranks 3 --prompt 'a b'\n"));
}

TEST(Program, InfoIsJsonOnRequest) {
  const Outcome outcome = retinue("info --json");
  EXPECT_EQ(outcome.exit_code, 0);
  EXPECT_TRUE(nlohmann::json::parse(outcome.text).contains("revision"));
}

}  // namespace
