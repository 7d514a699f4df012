#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <chrono>
#include <cstdio>
#include <fstream>
#include <sstream>
#include <string>
#include <sys/wait.h>
#include <thread>
#include <unistd.h>
#include <vector>

namespace retinue {
namespace {

using testing::HasSubstr;

struct Outcome {
  int exit_code = -1;
  std::string first_line;         ///< of the ranks' output, without their process numbers
  std::string output;             ///< both streams
  std::vector<pid_t> still_here;  ///< ranks that outlive mpirun, after a grace of ten seconds
};

// An ended process keeps its number, in state Z, until its parent waits for it.
bool is_alive(pid_t pid) {
  std::ifstream file("/proc/" + std::to_string(pid) + "/stat");
  std::string number, name, state;
  return file >> number >> name >> state && state != "Z" && state != "X";
}

Outcome run_ranks_that(const std::string& how, int ranks) {
  Outcome outcome;
  // Far below the 300 s that ranks wait for each other, and far above what any of them computes.
  const std::string command = std::string("timeout -k 5 60 " RETINUE_MPIRUN " -np ") +
                              std::to_string(ranks) + " " RETINUE_ENDING_RANKS " " + how + " 2>&1";
  std::FILE* pipe = popen(command.c_str(), "r");
  std::array<char, 4096> chunk;
  while (std::fgets(chunk.data(), chunk.size(), pipe) != nullptr) outcome.output += chunk.data();
  const int status = pclose(pipe);
  outcome.exit_code = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  std::vector<pid_t> pids;
  std::istringstream lines(outcome.output);
  for (std::string line; std::getline(lines, line);) {
    if (line.starts_with("pid "))
      pids.push_back(std::stoi(line.substr(4)));
    else if (outcome.first_line.empty())
      outcome.first_line = line;
  }
  EXPECT_EQ(pids.size(), static_cast<std::size_t>(ranks)) << outcome.output;
  for (int tenths = 0; tenths < 100; ++tenths) {
    outcome.still_here.clear();
    for (const pid_t pid : pids)
      if (is_alive(pid)) outcome.still_here.push_back(pid);
    if (outcome.still_here.empty()) break;
    std::this_thread::sleep_for(std::chrono::milliseconds(100));
  }
  return outcome;
}

void expect_gone(const Outcome& outcome) {
  EXPECT_NE(outcome.exit_code, 124) << "still ran after 60 s: " << outcome.output;
  EXPECT_TRUE(outcome.still_here.empty()) << outcome.output;
}

TEST(RanksEnd, AnExceptionOnOneRankEndsAllWithItsCodeAndIsReportedFirst) {
  const Outcome outcome = run_ranks_that("throw", 4);
  expect_gone(outcome);
  EXPECT_EQ(outcome.exit_code, 75) << outcome.output;
  EXPECT_THAT(outcome.first_line, HasSubstr("rank 2 ("));
  EXPECT_THAT(outcome.first_line, HasSubstr("failed: [disk] no space left"));
  EXPECT_THAT(outcome.output, testing::Not(HasSubstr("given up")));
}

TEST(RanksEnd, ABugIsExitCodeOne) {
  const Outcome outcome = run_ranks_that("bug", 3);
  expect_gone(outcome);
  EXPECT_EQ(outcome.exit_code, 1) << outcome.output;
  EXPECT_THAT(outcome.first_line, HasSubstr("an invariant"));
}

TEST(RanksEnd, TheSameUsageErrorOnAllRanksIsExitCodeTwo) {
  const Outcome outcome = run_ranks_that("all-usage", 3);
  expect_gone(outcome);
  EXPECT_EQ(outcome.exit_code, 2) << outcome.output;
  EXPECT_THAT(outcome.first_line, HasSubstr("[mesh] does not fit"));
}

TEST(RanksEnd, RanksThatComputeWithoutEndAreEnded) {
  const Outcome outcome = run_ranks_that("busy", 3);
  expect_gone(outcome);
  EXPECT_EQ(outcome.exit_code, 75) << outcome.output;
  EXPECT_THAT(outcome.first_line, HasSubstr("[disk] no space left"));
}

TEST(RanksEnd, AnExceptionThatUnwindsTheWorldDoesNotWaitForTheOthers) {
  const Outcome outcome = run_ranks_that("before", 4);
  expect_gone(outcome);
  EXPECT_EQ(outcome.exit_code, 75) << outcome.output;
  EXPECT_THAT(outcome.first_line, HasSubstr("[host] too old"));
}

TEST(RanksEnd, AKilledRankTakesTheOthersAlong) {
  const Outcome outcome = run_ranks_that("kill", 4);
  expect_gone(outcome);
  EXPECT_EQ(outcome.exit_code, 137) << outcome.output;  // what mpirun makes of it; means 75
}

TEST(RanksEnd, AnOrderlyEndGivesAllRanksTheWorstCode) {
  const Outcome outcome = run_ranks_that("codes", 4);
  EXPECT_TRUE(outcome.still_here.empty()) << outcome.output;
  EXPECT_EQ(outcome.exit_code, 3) << outcome.output;
}

}  // namespace
}  // namespace retinue
