#include "parallel/base/build_config.h"
#include "tests/support/shell.h"
#include "tests/support/source_folder.h"
#include "tests/support/temporary_folder.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <filesystem>
#include <fstream>
#include <string>

namespace {

using testing::HasSubstr;
using testing::StartsWith;

using retinue::test::ShellOutcome;

/// `retinue ARGUMENTS` through the shell; `stream` is ">..." text that chooses what is read.
ShellOutcome retinue(const std::string& arguments, const std::string& stream = "2>/dev/null") {
  return retinue::test::shell(std::string(RETINUE_PROGRAM) + " " + arguments + " " + stream);
}

constexpr const char* kErrors = "2>&1 >/dev/null";

TEST(Program, HelpGoesToStdout) {
  for (const char* arguments : {"--help", "help", "caption --help", "info --help"}) {
    const ShellOutcome outcome = retinue(arguments);
    EXPECT_EQ(outcome.exit_code, 0);
    EXPECT_THAT(outcome.text, HasSubstr("usage: retinue"));
  }
  EXPECT_THAT(retinue("--version").text, StartsWith("retinue "));
}

TEST(Program, UsageErrorsAreTwoAndSaidOnce) {
  for (const char* arguments :
       {"", "capton", "caption", "caption --no-such 1", "caption photo.jpg", "study",
        "study --model m --input i --output o --layouts 2", "study --compare a", "check --model m",
        "study --simulate no-such.json", "study --gpus 8", "doctor --model m --tensor-parallel 3",
        "caption --model m --input i --output o --monitor node0",
        "caption --model m --input i --output o --device cuda",
        "study --model m --input i --output o --device cuda",
        "caption --model m --input i --output o --reduce nccl",
        "caption --model m --input i --output o --hosts a --hostfile b"}) {
    const ShellOutcome outcome = retinue(arguments, kErrors);
    EXPECT_EQ(outcome.exit_code, 2) << arguments;
    EXPECT_THAT(outcome.text, StartsWith("retinue: [")) << arguments;
    EXPECT_EQ(outcome.text.find('\n'), outcome.text.size() - 1) << outcome.text;
  }
  EXPECT_THAT(retinue("study", kErrors).text, HasSubstr("--model is required"));
}

TEST(Program, PrintsTheLaunchInsteadOfRunningIt) {
  const ShellOutcome outcome =
      retinue("ask --model no-such --ranks 3 --prompt 'a b' --print-launch");
  EXPECT_EQ(outcome.exit_code, 0);
  EXPECT_THAT(outcome.text, StartsWith("mpirun "));
  EXPECT_THAT(outcome.text, HasSubstr(" -np 3 "));
  EXPECT_THAT(outcome.text, HasSubstr(" ask --model no-such --ranks 3 --prompt 'a b'\n"));
}

TEST(Program, AnAnswerThatCannotBeWrittenIsAnError) {
  for (const char* stream : {">&-", ">/dev/full"}) {
    EXPECT_NE(retinue("info", std::string(stream) + " 2>/dev/null").exit_code, 0) << stream;
    EXPECT_NE(retinue("help", std::string(stream) + " 2>/dev/null").exit_code, 0) << stream;
    EXPECT_NE(retinue("doctor", std::string(stream) + " 2>/dev/null").exit_code, 0) << stream;
  }
}

// The messages are a pipe, and opening its other end waits until the verb reads it.
TEST(Program, AnInterruptedAnswerEndsWith75) {
  const retinue::test::TemporaryFolder folder;
  const std::string model = retinue::test::source_folder() + "/tests/golden/model/configs/sharded";
  const std::string pipe = folder.path("messages");
  for (const std::string& verb :
       {std::string("ask"), "trace --output " + folder.path("trace.safetensors")})
    for (const char* name : {"TERM", "INT"}) {
      const ShellOutcome outcome = retinue::test::shell(
          "rm -f " + pipe + "; mkfifo " + pipe + "; env " RETINUE_PROGRAM " " + verb + " --model " +
          model + " --messages " + pipe + " 2>/dev/null & exec 3>" + pipe + "; kill -" + name +
          " $!; exec 3>&-; wait $!");
      EXPECT_EQ(outcome.exit_code, 75) << verb << " " << name;
    }
}

// 512 bytes are a unit of ulimit -f; the copy takes 5 MB.
TEST(Program, ALimitOfFileSizesEndsAConversionWith75) {
  const retinue::test::TemporaryFolder folder;
  const std::string model = retinue::test::source_folder() + "/configs/models/emoji-captioner";
  const ShellOutcome outcome =
      retinue::test::shell("ulimit -f 1000; " RETINUE_PROGRAM " quantize --model " + model +
                           " --output " + folder.path("fp8") + " 2>&1");
  EXPECT_EQ(outcome.exit_code, 75);
  EXPECT_THAT(outcome.text, HasSubstr("File too large"));
  EXPECT_TRUE(std::filesystem::is_empty(folder.path()));
}

TEST(Program, ADoctorOfOneRankPrintsItsVerdict) {
  const ShellOutcome outcome = retinue("doctor");
  EXPECT_EQ(outcome.exit_code, 0) << outcome.text;
  EXPECT_THAT(outcome.text, HasSubstr("\nverdict: "));
  EXPECT_THAT(outcome.text, HasSubstr("not looked at: links: one rank has none"));
}

TEST(Program, AStudyChecksAllLayoutsBeforeItsFirstRun) {
  const retinue::test::TemporaryFolder folder;
  const std::string source = retinue::test::source_folder();
  const ShellOutcome outcome = retinue(
      "study --model " + source + "/configs/models/emoji-captioner --input " + source +
          "/configs/examples/scene-000.jpg --layouts 1x1,3x1 --output " + folder.path("study"),
      kErrors);
  EXPECT_EQ(outcome.exit_code, 2);
  EXPECT_THAT(outcome.text, StartsWith("retinue: [study] layout 3x1: [mesh] "));
  EXPECT_FALSE(std::filesystem::exists(folder.path("study")));
  if constexpr (!retinue::build::kCuda) {
    EXPECT_THAT(retinue("study --model m --input i --output o --device cuda", kErrors).text,
                StartsWith("retinue: [--device] cuda: "));
  }
}

// Its mpirun ends at once, when the plan of the study is written.
TEST(Program, AStudyCountsBytesOfTheTypeThatItsRunsTake) {
  const retinue::test::TemporaryFolder folder;
  const std::string source = retinue::test::source_folder(), model = folder.path("model");
  std::filesystem::copy(source + "/configs/models/emoji-captioner", model);
  std::ifstream file(model + "/config.json");
  auto config = nlohmann::json::parse(file);
  config["dtype"] = "float32";
  folder.write("model/config.json", config.dump());
  std::filesystem::permissions(folder.write("mpirun", "#!/bin/sh\nexit 75\n"),
                               std::filesystem::perms::owner_all);
  const auto weight_bytes = [&](const std::string& dtype) -> double {
    const std::string output = folder.path(dtype);
    const ShellOutcome outcome = retinue::test::shell(
        "RETINUE_MPIRUN=" + folder.path("mpirun") + " " RETINUE_PROGRAM " study --model " + model +
        " --input " + source + "/configs/examples/scene-000.jpg --layouts 1x2 --dtype " + dtype +
        " --output " + output + " 2>/dev/null");
    EXPECT_EQ(outcome.exit_code, 75);
    std::ifstream plan(output + "/plan.json");
    return nlohmann::json::parse(plan)["provenance"]["work"]["weight_bytes"].get<double>();
  };
  EXPECT_EQ(weight_bytes("auto"), weight_bytes("float32"));
  EXPECT_EQ(weight_bytes("auto"), 2 * weight_bytes("bfloat16"));
}

TEST(Program, InfoIsJsonOnRequest) {
  const ShellOutcome outcome = retinue("info --json");
  EXPECT_EQ(outcome.exit_code, 0);
  EXPECT_TRUE(nlohmann::json::parse(outcome.text).contains("revision"));
}

}  // namespace
