// Whole jobs under mpirun that lose a file or a rank while ranks read a checkpoint together: all
// end within seconds, with the exit code of the kind of error and a message that names it.
#include "tests/support/processes.h"
#include "tests/support/temporary_folder.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <regex>
#include <string>

namespace retinue {
namespace {

namespace fs = std::filesystem;
using testing::AllOf;
using testing::HasSubstr;
using testing::MatchesRegex;

const std::string kConfigs = std::string(RETINUE_SOURCE_DIR) + "/configs/";
const std::string kModel = kConfigs + "models/emoji-captioner";
/// Two shards, 207,760 and 139,320 bytes.
const std::string kSharded =
    std::string(RETINUE_SOURCE_DIR) + "/tests/golden/model/configs/sharded";
/// Far below the 300 s that ranks wait for each other.
constexpr double kSoon_s = 20;

struct Outcome {
  int code = -1;
  std::string text;
};

class LoadingFails : public testing::Test {
 protected:
  [[nodiscard]] std::string copy_of(const std::string& model, const std::string& name) const {
    fs::copy(model, folder_.path(name));
    return folder_.path(name);
  }
  [[nodiscard]] std::string flags(const std::string& model) const {
    return fmt::format(
        " caption --device cpu --model {} --input {}examples --limit 6 --threads 1 "
        "--max-new-tokens 8 --no-progress --weights-read once --output {}",
        model, kConfigs, folder_.path("job"));
  }
  [[nodiscard]] Outcome launched(int ranks, const std::string& model,
                                 const std::string& fault = "") const {
    const std::string faulty =
        fault.empty() ? "" : "env LD_PRELOAD=" RETINUE_FAULTS " FAULTS_WEIGHTS=" + fault + " ";
    return ended(faulty + RETINUE_EXECUTABLE + flags(model) + fmt::format(" --ranks {}", ranks));
  }
  /// Rank 0 reads `first`; the others, as on other machines, what lies at the same place there.
  [[nodiscard]] Outcome launched_separately(int ranks, const std::string& first,
                                            const std::string& others) const {
    return ended(fmt::format("{} -np 1 {}{} : -np {} {}{}", RETINUE_MPIRUN, RETINUE_EXECUTABLE,
                             flags(first), ranks - 1, RETINUE_EXECUTABLE, flags(others)));
  }

  test::TemporaryFolder folder_;

 private:
  [[nodiscard]] Outcome ended(const std::string& command) const {
    const std::string log = folder_.path("log");
    test::Launch job(command + " >" + log + " 2>&1");
    EXPECT_TRUE(job.wait(kSoon_s)) << job.all().size() << " processes are left";
    std::ifstream file(log);
    return {job.code(), {std::istreambuf_iterator<char>(file), {}}};
  }
};

class LoadingFailsOn : public LoadingFails, public testing::WithParamInterface<int> {};
INSTANTIATE_TEST_SUITE_P(, LoadingFailsOn, testing::Values(2, 4),
                         [](const auto& ranks) { return "ranks" + std::to_string(ranks.param); });

TEST_P(LoadingFailsOn, AFileThatLacksItsEndIsAUsageErrorOfAllRanks) {
  const std::string model = copy_of(kModel, "cut");
  fs::resize_file(model + "/model.safetensors", 5'000'000);
  const Outcome outcome = launched(GetParam(), model);
  EXPECT_EQ(outcome.code, 2) << outcome.text;
  EXPECT_THAT(outcome.text,
              MatchesRegex("(W [^\n]*noted: [^\n]*\n)?retinue: \\[safetensors\\] " + model +
                           "/model.safetensors: tensor [a-z0-9.]+ lies at bytes "
                           "[0-9]+ to [0-9]+ of 4983736 bytes of data.*\n"));
}

TEST_P(LoadingFailsOn, OfSeveralShardsTheOneThatLacksItsEndIsNamed) {
  const std::string model = copy_of(kSharded, "shards");
  fs::resize_file(model + "/model-00002-of-00002.safetensors", 139'318);
  const Outcome outcome = launched(GetParam(), model);
  EXPECT_EQ(outcome.code, 2) << outcome.text;
  EXPECT_THAT(outcome.text, AllOf(HasSubstr(model + "/model-00002-of-00002.safetensors: tensor "),
                                  HasSubstr("copy it again")));
}

TEST_P(LoadingFailsOn, AFileThatOneRankAloneSeesCutEndsAllRanks) {
  const std::string model = copy_of(kModel, "cut");
  fs::resize_file(model + "/model.safetensors", 5'000'000);
  const Outcome outcome = launched_separately(GetParam(), kModel, model);
  EXPECT_EQ(outcome.code, 2) << outcome.text;
  EXPECT_THAT(outcome.text, AllOf(HasSubstr(model + "/model.safetensors: tensor "),
                                  HasSubstr(" lies at bytes ")));
}

TEST_P(LoadingFailsOn, AFileThatIsCutWhileItIsReadEndsAllRanks) {
  const std::string model = copy_of(kModel, "cut");
  const Outcome outcome = launched(GetParam(), model, "1:150:cut");
  EXPECT_EQ(outcome.code, 75) << outcome.text;
  EXPECT_LT(fs::file_size(model + "/model.safetensors"),
            fs::file_size(kModel + "/model.safetensors"));
  EXPECT_THAT(outcome.text, HasSubstr(" failed: [safetensors] " + model + "/model.safetensors"));
  EXPECT_THAT(outcome.text, testing::ContainsRegex("ends at byte [0-9]+ of 9416200: the file"));
}

TEST_P(LoadingFailsOn, AKilledRankEndsAllRanksAndIsNamed) {
  const Outcome outcome = launched(GetParam(), kModel, "1:150:kill");
  EXPECT_EQ(outcome.code, 75) << outcome.text;
  EXPECT_THAT(outcome.text, HasSubstr("a rank was killed"));
  EXPECT_THAT(outcome.text, HasSubstr("the first to end was rank 1 (process "));
  EXPECT_THAT(outcome.text, HasSubstr("The same command goes on"));
  EXPECT_FALSE(fs::exists(folder_.path("job/captions.jsonl")));
  // It does.
  const Outcome again = launched(GetParam(), kModel);
  EXPECT_EQ(again.code, 0) << again.text;
}

TEST_P(LoadingFailsOn, WeightsOfAnotherTrainingAreAUsageErrorOfAllRanks) {
  // The header of the original, as fine-tuned weights have it.
  const std::string model = copy_of(kModel, "other");
  std::fstream file(model + "/model.safetensors", std::ios::in | std::ios::out | std::ios::binary);
  constexpr std::streamoff kFrom = 5'000'000;
  constexpr std::size_t kBytes = 400'000;
  std::string bytes(kBytes, '\0');
  file.seekg(kFrom).read(bytes.data(), kBytes);
  for (std::size_t i = 0; i < kBytes; i += 2) bytes[i] = static_cast<char>(bytes[i] ^ 1);
  file.seekp(kFrom).write(bytes.data(), kBytes);
  file.close();
  const Outcome outcome = launched_separately(GetParam(), kModel, model);
  EXPECT_EQ(outcome.code, 2) << outcome.text;
  std::smatch found;
  ASSERT_TRUE(std::regex_search(
      outcome.text, found,
      std::regex(
          "retinue: \\[checkpoint\\] rank 1 sees other weights than rank 0 under --model: "
          "(model\\.safetensors: \\S+ BF16 \\[[0-9, ]+\\], sample )([0-9a-f]{16}), where rank 0 "
          "has (.*)([0-9a-f]{16})\\. Copy one checkpoint to all hosts\\.\n")))
      << outcome.text;
  EXPECT_EQ(found[1], found[3]);
  EXPECT_NE(found[2], found[4]);
}

TEST_F(LoadingFails, ShardsThatAreDividedElsewhereAreAUsageErrorOfAllRanks) {
  // One name less in a file: the same tensors from other places.
  const std::string model = copy_of(kSharded, "renamed");
  fs::rename(model + "/model-00002-of-00002.safetensors", model + "/model-b.safetensors");
  std::ifstream in(model + "/model.safetensors.index.json");
  std::string index{std::istreambuf_iterator<char>(in), {}};
  for (std::size_t at; (at = index.find("model-00002-of-00002.safetensors")) != index.npos;)
    index.replace(at, 32, "model-b.safetensors");
  std::ofstream(model + "/model.safetensors.index.json") << index;
  const Outcome outcome = launched_separately(2, kSharded, model);
  EXPECT_EQ(outcome.code, 2) << outcome.text;
  EXPECT_THAT(outcome.text, HasSubstr("model-b.safetensors: "));
  EXPECT_THAT(outcome.text, HasSubstr(", where rank 0 has model-00002-of-00002.safetensors: "));
}

}  // namespace
}  // namespace retinue
