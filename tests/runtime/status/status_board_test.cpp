#include "runtime/status/status_board.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

namespace retinue::runtime {
namespace {

class Sink final : public StatusSink {
 public:
  void publish(std::shared_ptr<const JobStatus> status) override { all.push_back(status); }
  [[nodiscard]] const JobStatus& last() const { return *all.back(); }
  std::vector<std::shared_ptr<const JobStatus>> all;
};

class Board : public testing::Test {
 protected:
  void update(double seconds, std::int64_t done) {
    clock_.advance(seconds);
    counts_.done = done;
    board_->update(counts_, progress_);
  }

  FakeClock clock_;
  Log log_{{.rank = 0, .place = "", .directory = "", .to_stderr = false}};
  Progress progress_{{.items = 100000, .show = false}, log_, clock_};
  Counts counts_;
  Sink sink_;
  std::unique_ptr<StatusBoard> board_ =
      std::make_unique<StatusBoard>(JobStatus::Job{.mesh = {.data = 2, .tensor = 2}}, clock_);
};

TEST_F(Board, PublishesOnceASecondAndAtEveryChangeOfPhase) {
  board_->add_sink(sink_);
  EXPECT_EQ(sink_.all.size(), 1U);
  for (int i = 0; i < 40; ++i) update(0.25, i);
  EXPECT_EQ(sink_.all.size(), 11U);
  board_->phase(JobPhase::kRunning);
  board_->phase(JobPhase::kRunning);
  EXPECT_EQ(sink_.all.size(), 12U);
  EXPECT_EQ(sink_.last().phase, JobPhase::kRunning);
}

TEST_F(Board, APublishedStatusNeverChanges) {
  board_->add_sink(sink_);
  update(1, 5);
  const auto kept = sink_.all.back();
  update(1, 9);
  EXPECT_EQ(kept->counts.done, 5);
}

TEST_F(Board, HistoryHoldsTheWholeRunInBoundedMemory) {
  board_->add_sink(sink_);
  for (int second = 1; second <= 5000; ++second) update(1, 2 * second);
  const std::vector<JobStatus::Bucket>& history = sink_.last().history;
  EXPECT_LE(history.size(), StatusBoard::kBuckets + 1);
  double seconds = 0;
  std::int64_t done = 0;
  for (const JobStatus::Bucket& bucket : history) seconds += bucket.seconds, done += bucket.done;
  EXPECT_NEAR(seconds, 5000, 1e-6);
  EXPECT_EQ(done, 10000);
}

TEST_F(Board, PublishesFailedUnlessTheJobHasEnded) {
  board_->add_sink(sink_);
  board_->phase(JobPhase::kRunning);
  board_.reset();
  EXPECT_EQ(sink_.last().phase, JobPhase::kFailed);
  board_ = std::make_unique<StatusBoard>(JobStatus::Job{.mesh = {.data = 1, .tensor = 1}}, clock_);
  board_->add_sink(sink_);
  board_->ended(3, "finished", counts_);
  board_.reset();
  EXPECT_EQ(sink_.last().phase, JobPhase::kEnded);
  EXPECT_EQ(sink_.last().exit_code, 3);
}

TEST_F(Board, KeepsTheNewestCaptionsAndFailures) {
  board_->add_sink(sink_);
  for (int i = 0; i < 100; ++i) {
    clock_.advance(StatusBoard::kCaptionEvery_s);
    board_->caption({.id = std::to_string(i), .caption = "x"});
    board_->failure({.id = std::to_string(i), .stage = "read", .message = std::string(9999, 'x')});
  }
  board_->caption({.id = "too soon", .caption = "x"});
  board_->caption(
      {.id = "pictured", .caption = "x", .thumbnail = std::make_shared<std::string>("j")});
  update(1, 1);
  const JobStatus& status = sink_.last();
  ASSERT_EQ(status.recent.size(), StatusBoard::kRecent);
  EXPECT_EQ(status.recent[0].id, "pictured");
  EXPECT_EQ(status.recent[1].id, "99");
  EXPECT_EQ(status.recent[0].serial, 101);
  ASSERT_EQ(status.failures.size(), StatusBoard::kFailures);
  EXPECT_EQ(status.failures[0].id, "99");
  EXPECT_LT(status.failures[0].message.size(), 2100U);
}

TEST_F(Board, ARankIsQuietWhileItsStepsDoNothing) {
  board_->add_sink(sink_);
  board_->phase(JobPhase::kRunning);
  RankState state;
  for (int i = 1; i <= 3; ++i) {
    clock_.advance(10);
    state.engine.steps = i;
    board_->rank(1, state);
  }
  state.engine.idle_steps = 1, state.engine.steps = 4;  // only waited
  clock_.advance(10);
  board_->rank(1, state);
  state.finished = true;
  board_->rank(2, state);
  update(0, 0);
  EXPECT_EQ(sink_.last().longest_quiet_s(40), (std::pair{40.0, 0}));
  EXPECT_EQ(sink_.last().ranks[1].stepped_s, 30);
  EXPECT_FALSE(board_->all_finished());
  board_->rank(1, state), board_->rank(3, state);
  EXPECT_TRUE(board_->all_finished());
}

TEST(JobEvent, TextsThatDoNotFitAreCutAtACharacter) {
  std::string text;
  while (text.size() < 3000) text += "é";
  const JobEvent event = make_event(7, true, 0, std::string(100, 's'), text);
  const std::string cut = event.text.data();
  EXPECT_LT(cut.size(), event.text.size());
  EXPECT_TRUE(cut.ends_with("é…"));
  EXPECT_LT(std::string(event.stage.data()).size(), event.stage.size());
}

TEST(EventPace, LetsThroughOneCaptionAndEightFailuresASecond) {
  EventPace pace;
  int captions = 0, failures = 0;
  for (double s = 10; s < 12.95; s += 0.01)
    captions += pace.caption(s), failures += pace.failure(s);
  EXPECT_EQ(captions, 3);
  EXPECT_EQ(failures, 24);
}

}  // namespace
}  // namespace retinue::runtime
