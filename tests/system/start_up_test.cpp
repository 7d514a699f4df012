// Whole jobs under mpirun: weights are read once for all ranks, and the start is broken down.
#include "layers/weights/checkpoint.h"
#include "tests/support/shell.h"
#include "tests/support/temporary_folder.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <chrono>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <stdexcept>
#include <string>

namespace retinue {
namespace {

using nlohmann::json;
using testing::HasSubstr;

const std::string kRetinue = RETINUE_EXECUTABLE;
const std::string kModel = std::string(RETINUE_SOURCE_DIR) + "/configs/models/emoji-captioner";
const std::string kImages = std::string(RETINUE_SOURCE_DIR) + "/configs/examples";

std::string text_of(const std::string& path) {
  std::ifstream file(path);
  std::stringstream text;
  text << file.rdbuf();
  return text.str();
}

struct Job {
  json start_up;
  std::string captions, log;
};

class StartUp : public testing::Test {
 protected:
  [[nodiscard]] std::string command(int ranks, int tensor, const std::string& more,
                                    const std::string& output) const {
    return kRetinue + " caption --device cpu --model " + kModel + " --input " + kImages +
           " --limit 6 --threads 1 --max-new-tokens 24 --no-progress --output " + output +
           " --ranks " + std::to_string(ranks) + " --tensor-parallel " + std::to_string(tensor) +
           " " + more + " 2>&1";
  }
  Job run(int ranks, int tensor, const std::string& more) {
    const std::string output = folder_.path() + "/job" + std::to_string(jobs_++);
    const test::ShellOutcome outcome = test::shell(command(ranks, tensor, more, output));
    if (outcome.exit_code != 0) throw std::runtime_error(outcome.text);
    return {json::parse(text_of(output + "/report.json")).at("startup"),
            text_of(output + "/captions.jsonl"), outcome.text};
  }
  /// Bytes of all tensors. Nothing in this checkpoint is left unused.
  static std::int64_t stored_bytes() {
    const layers::Checkpoint checkpoint(kModel);
    std::int64_t bytes = 0;
    for (const std::string& name : checkpoint.names())
      bytes += static_cast<std::int64_t>(checkpoint.find(name)->bytes.size());
    return bytes;
  }

  test::TemporaryFolder folder_;
  int jobs_ = 0;
};

TEST_F(StartUp, EachByteOfTheCheckpointIsReadOnceInEveryLayout) {
  std::string captions;
  struct Layout {
    int ranks, tensor;
  };
  for (const Layout layout :
       {Layout{1, 1}, {2, 1}, {2, 2}, {3, 1}, {4, 1}, {4, 2}, {4, 4}, {8, 1}, {8, 4}}) {
    const Job job = run(layout.ranks, layout.tensor, "--weights-read once");
    EXPECT_EQ(job.start_up["weights_read_bytes"], stored_bytes())
        << layout.ranks << " ranks, tensor " << layout.tensor;
    EXPECT_EQ(job.start_up["weights_exchanged_bytes"] > 0, layout.ranks > 1);
    if (captions.empty()) captions = job.captions;
    EXPECT_EQ(job.captions, captions) << layout.ranks << " ranks, tensor " << layout.tensor;
  }
}

TEST_F(StartUp, EachRankReadsForItselfOnRequest) {
  const Job once = run(2, 1, "--weights-read once"), each = run(2, 1, "--weights-read each");
  EXPECT_EQ(each.captions, once.captions);
  EXPECT_EQ(run(2, 1, "").start_up["weights_exchanged_bytes"], 0);  // on one host
  // This model's words are tied: each rank reads them for both of their uses.
  EXPECT_GE(each.start_up["weights_read_bytes"], 2 * stored_bytes());
  EXPECT_EQ(each.start_up["weights_exchanged_bytes"], 0);
}

TEST_F(StartUp, IsBrokenDownInTheReportAndInALine) {
  const Job job = run(2, 2, "");
  for (const char* key : {"launch_s", "communicators_s", "weights_s", "weights_gb_per_s"})
    EXPECT_GT(job.start_up[key], 0) << key;
  const double before = job.start_up["launch_s"].get<double>() +
                        job.start_up["communicators_s"].get<double>() +
                        job.start_up["weights_s"].get<double>();
  EXPECT_GT(job.start_up["first_caption_s"], before - 0.05);  // clocks of /proc tick at 10 ms
  EXPECT_THAT(job.log, HasSubstr("start-up: launch "));
  EXPECT_THAT(job.log, HasSubstr(" exchanged), first caption after "));
}

TEST_F(StartUp, IsBrokenDownOfAMonitoredJobToo) {
  const Job job = run(2, 1, "--monitor 127.0.0.1:0");
  EXPECT_THAT(job.log, HasSubstr("[monitor] "));
  for (const char* key : {"launch_s", "communicators_s"}) EXPECT_GT(job.start_up[key], 0) << key;
}

TEST_F(StartUp, RandomWeightsReadNothing) {
  const Job job = run(2, 1, "--weights random:1");
  EXPECT_EQ(job.start_up["weights_read_bytes"], 0);
  EXPECT_EQ(job.start_up["weights_exchanged_bytes"], 0);
}

}  // namespace
}  // namespace retinue
