// A job that is killed or asked to stop at any moment, and run again, ends with the bytes of an
// undisturbed one.
#include "parallel/base/rng.h"
#include "tests/support/processes.h"
#include "tests/support/shell.h"
#include "tests/support/temporary_folder.h"

#include <gtest/gtest.h>

#include <chrono>
#include <csignal>
#include <fcntl.h>
#include <filesystem>
#include <fstream>
#include <string>
#include <sys/stat.h>
#include <thread>
#include <unistd.h>
#include <vector>

namespace retinue {
namespace {

std::string read_text(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {(std::istreambuf_iterator<char>(file)), {}};
}

class Resume : public testing::Test {
 protected:
  Resume() {
    std::string list;
    const std::string images = std::string(RETINUE_SOURCE_DIR) + "/tests/golden/model/images/";
    const char* names[] = {"fence", "pond", "ridge", "stone", "tower"};
    for (std::size_t i = 0; i < 300; ++i)
      list += "{\"id\":\"" + std::to_string(i) + "\",\"image\":\"" + images + names[i % 5] +
              ".png\",\"prompt\":\"Item " + std::to_string(i) + "\"}\n";
    folder_.write("list.jsonl", list);
  }

  [[nodiscard]] std::string command(const std::string& output, int ranks, int tensor,
                                    const std::string& input = "") const {
    return std::string(RETINUE_EXECUTABLE) + " caption --model " + RETINUE_SOURCE_DIR +
           "/tests/golden/model/configs/gqa8-tied --weights random:1 --threads 1 --quiet "
           "--max-new-tokens 24 --input " +
           (input.empty() ? folder_.path("list.jsonl") : input) + " --output " +
           folder_.path(output) + " --ranks " + std::to_string(ranks) + " --tensor-parallel " +
           std::to_string(tensor);
  }
  [[nodiscard]] std::string captions(const std::string& output) const {
    return read_text(folder_.path(output) + "/captions.jsonl");
  }
  [[nodiscard]] bool started(const std::string& output) const {
    return !read_text(folder_.path(output) + "/journal/r00000.e0.seg").empty();
  }

  /// Starts the job, hits one of its ranks with `signal` after a while, and returns the exit code.
  int disturb(const std::string& output, int ranks, int tensor, int signal, std::uint64_t round,
              const std::string& more = "", std::uint64_t within_ms = 700) {
    test::Launch job(command(output, ranks, tensor) + more + " >/dev/null 2>&1");
    for (int i = 0; i < 6000 && !started(output) && !job.gone(); ++i)
      std::this_thread::sleep_for(std::chrono::milliseconds(5));
    EXPECT_TRUE(started(output)) << output << " has no journal after 30 s";
    const std::uint64_t bits = random_bits(7, round);
    std::this_thread::sleep_for(std::chrono::milliseconds(bits % within_ms));
    // mpirun comes first; the last ones are the ranks.
    const auto below = test::descendants(job.pid());
    if (below.size() > static_cast<std::size_t>(ranks == 1 ? 0 : ranks))
      ::kill(below[below.size() - 1 - (bits >> 20) % static_cast<std::uint64_t>(ranks)], signal);
    EXPECT_TRUE(job.wait(120)) << output << " still runs 120 s after signal " << signal;
    return job.code();
  }

  test::TemporaryFolder folder_;
};

TEST_F(Resume, EndsWithTheBytesOfAnUndisturbedRun) {
  ASSERT_EQ(test::shell(command("whole", 1, 1)).exit_code, 0);
  ASSERT_FALSE(captions("whole").empty());
  std::uint64_t round = 0;
  for (const int signal : {SIGKILL, SIGTERM})
    for (const auto& [ranks, tensor] : {std::pair{2, 1}, std::pair{2, 2}, std::pair{4, 2}}) {
      const std::string output = "job" + std::to_string(++round);
      const int code = disturb(output, ranks, tensor, signal, round);
      // 0: it had ended before the signal.
      EXPECT_TRUE(code == 75 || code == 0) << output << " ended with " << code;
      EXPECT_EQ(test::shell(command(output, tensor == 2 ? 2 : 3, 1)).exit_code, 0);
      EXPECT_EQ(captions(output), captions("whole")) << output;
    }
}

TEST_F(Resume, AFirstSignalEndsAJobThatStillReadsItsList) {
  ASSERT_EQ(test::shell(command("whole", 1, 1)).exit_code, 0);
  const std::string pipe = folder_.path("pipe");
  ASSERT_EQ(::mkfifo(pipe.c_str(), 0600), 0);
  const int writer = ::open(pipe.c_str(), O_RDWR | O_CLOEXEC);  // it writes nothing
  ASSERT_GE(writer, 0);
  for (const int ranks : {1, 2}) {
    const std::string output = "early" + std::to_string(ranks);
    test::Launch job(command(output, ranks, 1, "-") + " <" + pipe + " >/dev/null 2>&1");
    for (int i = 0; i < 6000 && !std::filesystem::exists(folder_.path(output)); ++i)
      std::this_thread::sleep_for(std::chrono::milliseconds(5));
    ::kill(job.pid(), SIGTERM);
    EXPECT_TRUE(job.wait(60)) << ranks << " ranks still run 60 s after SIGTERM";
    EXPECT_EQ(job.code(), 75) << ranks << " ranks";
    EXPECT_EQ(
        test::shell(command(output, ranks, 1, "-") + " <" + folder_.path("list.jsonl")).exit_code,
        0);
    EXPECT_EQ(captions(output), captions("whole")) << ranks << " ranks";
  }
  ::close(writer);
}

TEST_F(Resume, WithRetriesAKilledRankIsStartedAgain) {
  ASSERT_EQ(test::shell(command("whole", 1, 1)).exit_code, 0);
  EXPECT_EQ(disturb("killed", 2, 1, SIGKILL, 0, " --retries 3", 20), 0);
  EXPECT_EQ(captions("killed"), captions("whole"));
  EXPECT_EQ(disturb("single", 1, 1, SIGKILL, 0, " --retries 3", 20), 0);
  EXPECT_EQ(captions("single"), captions("whole"));
  for (const char* output : {"killed", "single"})
    EXPECT_FALSE(read_text(folder_.path(output) + "/journal/r00000.e1.seg").empty())
        << output << " had ended before it was killed";
}

}  // namespace
}  // namespace retinue
