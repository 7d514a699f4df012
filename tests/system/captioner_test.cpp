// The small captioner on its example scenes, whose truth is known: what the quick start prints is
// true, in every layout of ranks; and a checkpoint whose DeepStack features or image positions are
// broken scores clearly less, so a break in either would show here.
#include "tests/support/shell.h"
#include "tests/support/temporary_folder.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <cstdint>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <sstream>

namespace retinue {
namespace {

namespace fs = std::filesystem;
using test::ShellOutcome;

const std::string kSource = RETINUE_SOURCE_DIR;
const std::string kModel = kSource + "/configs/models/emoji-captioner";
const std::string kManifest = kSource + "/configs/examples/manifest.jsonl";

std::string content_of(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::stringstream content;
  content << file.rdbuf();
  return content.str();
}

struct Score {
  double objects = 0, exact = 0, answers = 0;  ///< percent
};

/// The number before '%' on the line that begins with `name`.
double percent(const std::string& text, const std::string& name) {
  const std::size_t line = text.find("\n" + name);
  if (line == std::string::npos) return -1;
  const std::size_t comma = text.find(", ", line);
  return std::stod(text.substr(comma + 2));
}

class Captioner : public testing::Test {
 protected:
  /// The folder of a finished job over the examples.
  std::string job(const std::string& model, const std::string& flags) {
    std::string output = folder_.path("job" + std::to_string(jobs_++));
    const ShellOutcome outcome = test::shell(
        "(" RETINUE_EXECUTABLE " caption --model " + model + " --input " + kManifest +
        " --output " + output + " --max-new-tokens 64 --device cpu " + flags + ") 2>&1");
    EXPECT_EQ(outcome.exit_code, 0) << outcome.text;
    return output;
  }
  static Score score(const std::string& output) {
    const std::string text = test::shell("awk -f " + kSource + "/scripts/score_captions.awk " +
                                         kManifest + " " + output + "/captions.jsonl")
                                 .text;
    const Score score{percent(text, "objects named"), percent(text, "exact captions"),
                      percent(text, "exact answers")};
    SCOPED_TRACE(text);
    EXPECT_GE(std::min({score.objects, score.exact, score.answers}), 0.0) << text;
    return score;
  }
  /// A copy of the checkpoint in which `change` has seen the bytes of every tensor.
  template <typename Change>
  std::string changed_model(const std::string& name, Change change) {
    std::string model = folder_.path(name);
    fs::copy(kModel, model);
    std::string bytes = content_of(kModel + "/model.safetensors");
    std::uint64_t header = 0;
    std::memcpy(&header, bytes.data(), sizeof header);
    const auto tensors = nlohmann::json::parse(bytes.substr(sizeof header, header));
    int touched = 0;
    for (const auto& [tensor, entry] : tensors.items()) {
      if (tensor == "__metadata__") continue;
      const std::size_t from = entry["data_offsets"][0], to = entry["data_offsets"][1];
      char* data = bytes.data() + sizeof header + header;
      touched += change(tensor, entry["shape"], data + from, data + to);
    }
    EXPECT_GT(touched, 0);
    std::ofstream(model + "/model.safetensors", std::ios::binary) << bytes;
    return model;
  }

  test::TemporaryFolder folder_;
  int jobs_ = 0;
};

TEST_F(Captioner, ItsCaptionsOfTheExamplesAreTrue) {
  const Score truth = score(job(kModel, ""));
  EXPECT_GE(truth.objects, 95.0);
  EXPECT_GE(truth.exact, 80.0);
  EXPECT_GE(truth.answers, 80.0);
}

TEST_F(Captioner, EveryLayoutGivesTheSameBytes) {
  const std::string alone = content_of(job(kModel, "--ranks 1 --threads 1") + "/captions.jsonl");
  ASSERT_NE(alone, "");
  for (const auto& [ranks, tensor] :
       {std::pair{1, 1}, {2, 1}, {2, 2}, {4, 2}, {4, 4}, {8, 2}, {8, 8}})
    EXPECT_EQ(content_of(job(kModel, "--threads " + std::to_string(ranks == 1 ? 2 : 1) +
                                         " --ranks " + std::to_string(ranks) +
                                         " --tensor-parallel " + std::to_string(tensor)) +
                         "/captions.jsonl"),
              alone)
        << ranks << " ranks, tensor " << tensor;
}

TEST_F(Captioner, AnFp8CopyIsTrueInEveryLayout) {
  const std::string fp8 = folder_.path("fp8");
  const ShellOutcome made = test::shell("(" RETINUE_EXECUTABLE " quantize --model " + kModel +
                                        " --output " + fp8 + ") 2>&1");
  ASSERT_EQ(made.exit_code, 0) << made.text;
  EXPECT_THAT(made.text, testing::HasSubstr("8 projections of the decoder are FP8"));
  const std::string output = job(fp8, "--ranks 1");
  const auto report = nlohmann::json::parse(content_of(output + "/report.json"));
  EXPECT_EQ(report["dtype"], "bf16");
  EXPECT_EQ(report["projections_dtype"], "f8_e4m3");
  const Score truth = score(output);
  EXPECT_GE(truth.objects, 95.0);
  EXPECT_GE(truth.exact, 80.0);
  EXPECT_GE(truth.answers, 80.0);
  for (const char* layout : {"--ranks 2 --tensor-parallel 2", "--ranks 4 --tensor-parallel 2"})
    EXPECT_EQ(content_of(job(fp8, std::string("--threads 1 ") + layout) + "/captions.jsonl"),
              content_of(output + "/captions.jsonl"))
        << layout;
}

TEST_F(Captioner, WithoutDeepStackTheScoreFalls) {
  const std::string model = changed_model(
      "no-deepstack", [](const std::string& tensor, const nlohmann::json&, char* begin, char* end) {
        if (tensor.find("deepstack_merger_list") == std::string::npos ||
            tensor.find("linear_fc2") == std::string::npos)
          return false;
        std::fill(begin, end, '\0');
        return true;
      });
  const Score blind = score(job(model, ""));
  EXPECT_LE(blind.objects, 80.0);
  EXPECT_LE(blind.exact, 50.0);
}

// The tower's rotary embedding turns the first quarter of a head's dimensions (and the third, its
// partners) by the row and the second (and fourth) by the column. Exchanged in queries and keys
// alike they give the same products, but for rows and columns taken for each other.
TEST_F(Captioner, WithScrambledImagePositionsTheScoreFalls) {
  const std::string model = changed_model(
      "scrambled", [](const std::string& tensor, const nlohmann::json& shape, char* begin, char*) {
        if (tensor.find("visual.blocks") == std::string::npos ||
            tensor.find("attn.qkv") == std::string::npos)
          return false;
        const std::size_t quarter = 8,
                          row = 2 * (shape.size() > 1 ? shape[1].get<std::size_t>() : 1);
        const std::size_t queries_and_keys = shape[0].get<std::size_t>() / 3 * 2;
        for (std::size_t at = 0; at < queries_and_keys; at += 2 * quarter) {
          char* first = begin + at * row;
          std::swap_ranges(first, first + quarter * row, first + quarter * row);
        }
        return true;
      });
  const Score turned = score(job(model, ""));
  EXPECT_LE(turned.exact, 50.0);
}

}  // namespace
}  // namespace retinue
