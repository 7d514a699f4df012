// Every file-system call of a small job fails, is cut short, or is the last one, in turn. Then the
// same command ends with the bytes of an undisturbed run.
//   RETINUE_FAULT_STEP=3   disturbs every third call; every one where it is not set
#include "tests/support/shell.h"
#include "tests/support/temporary_folder.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>

namespace retinue {
namespace {

namespace fs = std::filesystem;

constexpr int kDone = 0, kItemsFailed = 3, kResume = 75;
constexpr int kKilled = -1;        // as test::shell reports a signal
constexpr int kMostCalls = 2'000;  // a job that makes more than these does not end
constexpr std::array kKinds = {"fail", "cut", "last"};

int step() {
  const char* text = std::getenv("RETINUE_FAULT_STEP");
  return text != nullptr ? std::max(1, std::atoi(text)) : 1;
}

std::string read_text(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {(std::istreambuf_iterator<char>(file)), {}};
}

class FaultAtCall : public testing::Test {
 protected:
  FaultAtCall() {
    const fs::path golden = fs::path(RETINUE_SOURCE_DIR) / "tests/golden/model";
    fs::create_directories(folder_.path("inputs/images"));
    fs::copy_file(golden / "images/pond.png", folder_.path("inputs/images/pond.png"));
    fs::copy_file(golden / "images/fence.png", folder_.path("inputs/images/fence.png"));
    fs::copy(golden / "configs/gqa8-tied", folder_.path("inputs/model"));
    folder_.write("inputs/list.jsonl",
                  "{\"image\":\"images/pond.png\",\"prompt\":\"Colours?\"}\n"
                  "{\"prompt\":\"Only text\"}\n");
    test::shell("cd " + folder_.path("inputs/images") + " && tar -cf ../shard.tar fence.png");
    whole_ = run("whole", "").captions;
  }

  struct Ended {
    int code = -1;
    std::string captions, stderr_text;
  };

  /// Runs the job into `output`, with `faults` in its environment.
  [[nodiscard]] Ended run(const std::string& output, const std::string& faults) const {
    const std::string inputs = folder_.path("inputs");
    const int code =
        test::shell(
            fmt::format("exec timeout 120 env {} {} caption --model {}/model --weights random:1 "
                        "--threads 1 --quiet --max-new-tokens 3 --retry-failed --input {}/images "
                        "--input {}/shard.tar --input {}/list.jsonl --output {} "
                        "--output-format parquet >/dev/null 2>{}.stderr",
                        faults, RETINUE_EXECUTABLE, inputs, inputs, inputs, inputs,
                        folder_.path(output), folder_.path(output)))
            .exit_code;
    return {.code = code,
            .captions = read_text(folder_.path(output) + "/captions.jsonl"),
            .stderr_text = read_text(folder_.path(output) + ".stderr")};
  }

  /// What a run may end with whose call was disturbed so.
  static bool is_allowed(const std::string& kind, int code, bool inputs) {
    if (kind == "cut") return code == kDone;
    if (kind == "last") return code == kKilled;
    return code == kDone || code == kResume || (inputs && (code == kItemsFailed || code == 2));
  }

  /// Disturbs each call below `folder` in turn; `inputs`: what is read is disturbed there.
  void disturb_all(const std::string& folder, bool inputs) {
    ASSERT_EQ(std::ranges::count(whole_, '\n'), 5) << "of the undisturbed run";
    int disturbed = 0;
    for (const std::string kind : kKinds) {
      int call = 1;
      for (; call < kMostCalls; call += step()) {
        const std::string mark = folder_.path("mark"), output = "job";
        const Ended ended =
            run(output, fmt::format("LD_PRELOAD={} FAULT_FOLDER={} FAULT_CALL={} FAULT_KIND={} "
                                    "FAULT_MARK={}",
                                    RETINUE_FAULT_AT_CALL, folder_.path(folder), call, kind, mark));
        if (!fs::remove(mark)) break;
        ++disturbed;
        const std::string which =
            fmt::format("call {} of {}, {}: {}", call, folder, kind, ended.stderr_text);
        EXPECT_TRUE(is_allowed(kind, ended.code, inputs)) << ended.code << " at " << which;
        if (ended.code == kDone) {
          EXPECT_EQ(ended.captions, whole_) << which;
        } else if (kind == "fail") {
          const std::string reason = ended.code == kItemsFailed
                                         ? read_text(folder_.path(output) + "/failures.jsonl")
                                         : ended.stderr_text;
          EXPECT_NE(reason, "") << which;
        }
        const Ended again = run(output, "");
        EXPECT_EQ(again.code, kDone) << which << again.stderr_text;
        EXPECT_EQ(again.captions, whole_) << which;
        fs::remove_all(folder_.path(output));
      }
      EXPECT_GT(call, step()) << "no call was disturbed";
      EXPECT_LT(call, kMostCalls);
    }
    fmt::print("{} calls of {} disturbed\n", disturbed, folder);
  }

  test::TemporaryFolder folder_;
  std::string whole_;
};

TEST_F(FaultAtCall, OfTheOutputLosesNothing) { disturb_all("job", false); }
TEST_F(FaultAtCall, OfTheInputsLosesNothing) { disturb_all("inputs", true); }

}  // namespace
}  // namespace retinue
