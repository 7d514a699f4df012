// The executable under mpirun: one request gives one digest of its logits, and one set of captions,
// in every layout of ranks, on any number of threads, alone or in company.
#include "tests/support/shell.h"
#include "tests/support/temporary_folder.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <sstream>

namespace retinue {
namespace {

using test::ShellOutcome;

const std::string kRetinue = RETINUE_EXECUTABLE;
const std::string kGolden = std::string(RETINUE_SOURCE_DIR) + "/tests/golden";
const std::string kImages = std::string(RETINUE_SOURCE_DIR) + "/configs/examples";

/// Both streams.
ShellOutcome shell(const std::string& command) { return test::shell("(" + command + ") 2>&1"); }

struct Layout {
  int ranks, tensor, threads;
};
std::string flags(const Layout& layout) {
  return " --ranks " + std::to_string(layout.ranks) + " --tensor-parallel " +
         std::to_string(layout.tensor) + " --threads " + std::to_string(layout.threads) + " ";
}

/// `kind`: a dtype, fp8, or fp8_cache.
std::string model_flags(const std::string& kind) {
  const bool fp8 = kind == "fp8";
  return " --model " + kGolden + (fp8 ? "/fp8/configs/fp8-wide" : "/model/configs/gqa8-tied") +
         " --weights random:7 --dtype " + (kind == "float32" ? kind : "bfloat16") +
         (kind == "fp8_cache" ? " --kv-cache-dtype fp8" : "");
}

class Layouts : public testing::TestWithParam<std::string> {
 protected:
  /// The line that trace prints.
  std::string digest(const Layout& layout) {
    const ShellOutcome trace =
        shell(kRetinue + " trace" + model_flags(GetParam()) + flags(layout) + "--image " + kImages +
              "/" + first_image() + " --prompt 'What is it?' --output " + folder_.path() +
              "/trace.safetensors");
    EXPECT_EQ(trace.exit_code, 0) << trace.text;
    const std::size_t at = trace.text.find("logits_sha256");
    EXPECT_NE(at, std::string::npos) << trace.text;
    return at == std::string::npos ? trace.text
                                   : trace.text.substr(at, trace.text.find('\n', at) - at);
  }
  static std::string first_image() {
    std::string name = shell("ls " + kImages + " | grep -E '\\.(jpg|png|webp)$' | head -1").text;
    name.pop_back();
    return name;
  }
  /// captions.jsonl of a job over the example images.
  std::string captions(const Layout& layout, int max_sequences) {
    const std::string output = folder_.path() + "/job" + std::to_string(job_++);
    const ShellOutcome job =
        shell(kRetinue + " caption" + model_flags(GetParam()) + flags(layout) + "--input " +
              kImages + " --limit 7 --output " + output +
              " --max-new-tokens 12 --ignore-eos --max-sequences " + std::to_string(max_sequences));
    EXPECT_EQ(job.exit_code, 0) << job.text;
    std::ifstream file(output + "/captions.jsonl");
    std::stringstream content;
    content << file.rdbuf();
    EXPECT_NE(content.str(), "") << job.text;
    return content.str();
  }

  test::TemporaryFolder folder_;
  int job_ = 0;
};

TEST_P(Layouts, TraceGivesOneDigest) {
  const std::string alone = digest({1, 1, 1});
  for (const Layout& layout :
       {Layout{1, 1, 3}, {2, 2, 1}, {4, 4, 1}, {8, 8, 1}, {2, 1, 1}, {4, 2, 1}})
    EXPECT_EQ(digest(layout), alone) << layout.ranks << " ranks, tensor " << layout.tensor;
}

// A rank has at least one leaf. One leaf is another sum than two: in f32 it shows.
TEST(Leaves, GiveOneDigestOnAllRanksThatTheyAllow) {
  const test::TemporaryFolder folder;
  const auto trace = [&](int ranks, int leaves) {
    return shell(kRetinue + " trace" + model_flags("float32") + flags({ranks, ranks, 1}) +
                 "--leaves " + std::to_string(leaves) + " --prompt 'What is it?' --output " +
                 folder.path("trace.safetensors"))
        .text;
  };
  const std::string two = trace(1, 2);
  EXPECT_THAT(two, testing::HasSubstr("logits_sha256"));
  EXPECT_EQ(trace(2, 2), two);
  EXPECT_NE(trace(1, 1), two);
  EXPECT_THAT(trace(4, 2), testing::HasSubstr("Use more --leaves"));
}

TEST_P(Layouts, CaptionsAreTheSameBytes) {
  const std::string alone = captions({1, 1, 1}, 1);
  EXPECT_EQ(captions({1, 1, 2}, 16), alone);
  for (const Layout& layout : {Layout{2, 1, 1}, {2, 2, 1}, {3, 1, 1}, {4, 2, 1}, {4, 4, 1}})
    EXPECT_EQ(captions(layout, 16), alone) << layout.ranks << " ranks, tensor " << layout.tensor;
}

INSTANTIATE_TEST_SUITE_P(, Layouts, testing::Values("float32", "bfloat16", "fp8", "fp8_cache"),
                         [](const auto& instance) { return instance.param; });

}  // namespace
}  // namespace retinue
