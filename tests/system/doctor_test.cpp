// `retinue doctor` under mpirun: its report on good ranks, and which bad ranks it names.
#include "tests/support/shell.h"
#include "tests/support/temporary_folder.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <filesystem>
#include <fstream>
#include <stdexcept>
#include <string>
#include <sys/stat.h>

namespace retinue {
namespace {

using nlohmann::json;
using test::ShellOutcome;
using testing::ElementsAre;
using testing::HasSubstr;

namespace fs = std::filesystem;

const std::string kRetinue = RETINUE_EXECUTABLE;
const std::string kMpirun = RETINUE_MPIRUN;
const std::string kModel = std::string(RETINUE_SOURCE_DIR) + "/configs/models/emoji-captioner";
const std::string kFlags = " doctor --device cpu --sweep-s 0.2 --json ";

json parsed(const ShellOutcome& outcome) {
  json report = json::parse(outcome.text, nullptr, false);
  if (!report.is_object()) throw std::runtime_error("no JSON object: " + outcome.text);
  return report;
}

json finding(const json& report, const std::string& what) {
  for (const json& one : report.value("findings", json::array()))
    if (one["what"] == what) return one;
  ADD_FAILURE() << "no finding about " << what << " in " << report.dump(1);
  return json::object();
}

class Doctor : public testing::Test {
 protected:
  /// Three ranks, of which the last is called in another way.
  [[nodiscard]] ShellOutcome odd_one(const std::string& program, const std::string& model,
                                     const std::string& more = "") const {
    return test::shell(kMpirun + " -np 2 " + kRetinue + kFlags + more + " --model " + kModel +
                       " : -np 1 " + program + kFlags + more + " --model " + model + " 2>" +
                       folder_.path() + "/errors");
  }
  [[nodiscard]] std::string copied_model() const {
    const std::string copy = folder_.path() + "/model";
    fs::copy(kModel, copy);
    return copy;
  }
  [[nodiscard]] std::string errors() const {
    return test::shell("cat " + folder_.path() + "/errors").text;
  }

  test::TemporaryFolder folder_;
};

TEST_F(Doctor, ReportsEveryRankAndLinkOnOneToFourRanks) {
  struct Launch {
    int ranks, tensor;
  };
  for (const Launch launch : {Launch{1, 1}, {2, 2}, {3, 1}, {4, 2}}) {
    const ShellOutcome outcome = test::shell(kRetinue + kFlags + "--model " + kModel + " --ranks " +
                                             std::to_string(launch.ranks) + " --tensor-parallel " +
                                             std::to_string(launch.tensor) + " 2>&1");
    EXPECT_EQ(outcome.exit_code, 0) << outcome.text;  // ranks may share cores here: slow is 0, too
    const json report = parsed(outcome);
    EXPECT_EQ(report["schema_version"], 1);
    EXPECT_NE(report["verdict"], "broken");
    ASSERT_EQ(report["ranks"].size(), static_cast<std::size_t>(launch.ranks));
    std::int64_t read = 0;
    for (int rank = 0; rank < launch.ranks; ++rank) {
      const json& one = report["ranks"][static_cast<std::size_t>(rank)];
      EXPECT_EQ(one["rank"], rank);
      EXPECT_EQ(one["binary"]["sha256"], report["ranks"][0]["binary"]["sha256"]);
      EXPECT_EQ(one["model"]["identity"], report["ranks"][0]["model"]["identity"]);
      EXPECT_GT(one["memory"]["free_bytes"], 0);
      read += one["model"]["read"]["bytes"].get<std::int64_t>();
    }
    EXPECT_EQ(read, static_cast<std::int64_t>(fs::file_size(kModel + "/model.safetensors")));
    const int pairs = launch.ranks * (launch.ranks - 1) / 2;
    EXPECT_EQ(report["pairs"].size(), static_cast<std::size_t>(pairs));
    const int groups =
        (launch.ranks > 1 ? 1 : 0) + (launch.tensor > 1 ? launch.ranks / launch.tensor : 0);
    ASSERT_EQ(report["sweeps"].size(), static_cast<std::size_t>(3 * groups));
    for (const json& sweep : report["sweeps"]) {
      EXPECT_GT(sweep["alpha_s"], 0);
      EXPECT_GT(sweep["bytes_per_s"], 0);
      EXPECT_GE(sweep["points"].size(), 2U);
    }
    if (launch.ranks > 1) {
      EXPECT_EQ(report["clocks"].size(), static_cast<std::size_t>(launch.ranks));
      EXPECT_EQ(finding(report, "time of day")["verdict"], "ok");
    }
    for (const char* what : {"ranks", "binary", "model", "device", "cores", "open files", "memory",
                             "disk", "reading weights"})
      EXPECT_NE(finding(report, what)["verdict"], "broken") << what;
  }
}

TEST_F(Doctor, TheTableNamesItsVerdict) {
  const ShellOutcome outcome =
      test::shell(kRetinue + " doctor --device cpu --sweep-s 0.1 --ranks 2 2>&1");
  EXPECT_EQ(outcome.exit_code, 0) << outcome.text;
  EXPECT_THAT(outcome.text, HasSubstr("all_reduce of world"));
  EXPECT_THAT(outcome.text, HasSubstr("not looked at: model and file system: no --model"));
  EXPECT_THAT(outcome.text, HasSubstr("\nverdict: "));
}

TEST_F(Doctor, AnotherBinaryIsBroken) {
  const std::string other = folder_.path() + "/retinue";
  fs::copy_file(kRetinue, other);
  std::ofstream(other, std::ios::app) << "x";  // behind what is loaded
  const ShellOutcome outcome = odd_one(other, kModel);
  EXPECT_EQ(outcome.exit_code, 3) << outcome.text;
  const json report = parsed(outcome);
  EXPECT_EQ(report["verdict"], "broken");
  EXPECT_EQ(finding(report, "binary")["verdict"], "broken");
  EXPECT_THAT(finding(report, "binary")["ranks"], ElementsAre(2));
  EXPECT_EQ(finding(report, "model")["verdict"], "ok");
}

TEST_F(Doctor, AnotherModelIsBroken) {
  const std::string copy = copied_model();
  EXPECT_EQ(odd_one(kRetinue, copy).exit_code, 0);  // the same files elsewhere
  std::ofstream(copy + "/generation_config.json", std::ios::app) << "\n";
  const ShellOutcome outcome = odd_one(kRetinue, copy);
  EXPECT_EQ(outcome.exit_code, 3) << outcome.text;
  EXPECT_THAT(finding(parsed(outcome), "model")["ranks"], ElementsAre(2));
}

TEST_F(Doctor, WeightsThatAreCutOffAreBroken) {
  const std::string copy = copied_model();
  fs::resize_file(copy + "/model.safetensors", 1'000'000);
  const ShellOutcome outcome = odd_one(kRetinue, copy);
  EXPECT_EQ(outcome.exit_code, 3) << outcome.text;
  const json model = finding(parsed(outcome), "model");
  EXPECT_THAT(model["ranks"], ElementsAre(2));
  EXPECT_THAT(model["found"].get<std::string>(), HasSubstr(copy + "/model.safetensors"));
}

TEST_F(Doctor, WeightsThatDoNotFitTheirConfigurationAreBrokenAndNotTimed) {
  const std::string copy = copied_model();
  json config = json::parse(test::shell("cat " + copy + "/config.json").text);
  config["text_config"]["intermediate_size"] = 1024;
  std::ofstream(copy + "/config.json") << config;
  const ShellOutcome outcome = test::shell(kRetinue + kFlags + "--model " + copy);
  EXPECT_EQ(outcome.exit_code, 3) << outcome.text;
  const json report = parsed(outcome);
  EXPECT_THAT(finding(report, "model")["found"].get<std::string>(),
              HasSubstr("config.json asks for [1024, 192]"));
  for (const json& one : report["findings"]) EXPECT_NE(one["what"], "reading weights");
  EXPECT_EQ(report["ranks"][0]["model"]["read"]["seconds"], 0);
}

TEST_F(Doctor, ARankWhoseFilesHangIsNamedAndHoldsUpNoOther) {
  const std::string copy = copied_model();
  fs::remove(copy + "/config.json");
  ASSERT_EQ(::mkfifo((copy + "/config.json").c_str(), 0600),
            0);  // opening it blocks without a writer
  const ShellOutcome outcome = odd_one(kRetinue, copy, " --answer-deadline-s 2");
  EXPECT_EQ(outcome.exit_code, 75) << outcome.text << errors();
  const json report = parsed(outcome);
  EXPECT_EQ(report["verdict"], "broken");
  EXPECT_THAT(report["silent_ranks"], ElementsAre(2));
  EXPECT_THAT(finding(report, "ranks")["found"].get<std::string>(),
              HasSubstr("rank 2 did not answer within 2 s"));
  EXPECT_EQ(report["ranks"].size(), 2U);
  EXPECT_THAT(errors(), HasSubstr("1 of 3 ranks did not answer"));
}

TEST_F(Doctor, RankZeroMayBeTheOneWhoseFilesHang) {
  const std::string copy = copied_model();
  fs::remove(copy + "/tokenizer.json");
  ASSERT_EQ(::mkfifo((copy + "/tokenizer.json").c_str(), 0600), 0);
  const ShellOutcome outcome =
      test::shell(kMpirun + " -np 1 " + kRetinue + kFlags + " --answer-deadline-s 2 --model " +
                  copy + " : -np 1 " + kRetinue + kFlags + " --answer-deadline-s 2 --model " +
                  kModel + " 2>/dev/null");
  EXPECT_EQ(outcome.exit_code, 75) << outcome.text;
  EXPECT_THAT(parsed(outcome)["silent_ranks"], ElementsAre(0));
}

}  // namespace
}  // namespace retinue
