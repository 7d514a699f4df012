#include "runtime/status/status_board.h"

#include "parallel/base/utf8.h"

#include <algorithm>
#include <chrono>
#include <utility>

namespace retinue::runtime {
namespace {

/// Texts are only shown: longer ones are cut, between two characters.
constexpr std::size_t kTextBytes = 2000;

std::string cut(std::string text, std::size_t bytes) {
  if (text.size() <= bytes) return text;
  text.resize(bytes);
  text.resize(text.size() - incomplete_utf8_tail(text));
  return text + "…";
}

double unix_now_s() {
  return std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
}

JobStatus::Bucket between(const Counts& from, const Counts& to, double seconds) {
  return {.seconds = seconds,
          .done = to.done - from.done,
          .failed = to.failed - from.failed,
          .media = to.media - from.media,
          .prompt_tokens = to.prompt_tokens - from.prompt_tokens,
          .completion_tokens = to.completion_tokens - from.completion_tokens};
}

template <std::size_t N>
void copy_cut(std::string_view text, std::array<char, N>& to) {
  const std::string shown = cut(std::string(text), N - 4);  // "…" takes three bytes, the end one
  std::ranges::copy(shown, to.begin());
}

}  // namespace

StatusBoard::StatusBoard(JobStatus::Job job, const Clock& clock)
    : clock_(clock), bucket_begin_s_(clock.now_s()), started_s_(bucket_begin_s_) {
  status_.ranks.resize(static_cast<std::size_t>(job.mesh.size()));
  status_.job = std::move(job);
  status_.started_unix_s = unix_now_s();
}

StatusBoard::~StatusBoard() {
  if (status_.phase == JobPhase::kEnded) return;
  phase(JobPhase::kFailed);
}

void StatusBoard::add_sink(StatusSink& sink) {
  sinks_.push_back(&sink);
  if (status_.monitor_url.empty()) status_.monitor_url = sink.url();
  publish();
}

void StatusBoard::items_known(std::int64_t items, std::int64_t done_before,
                              std::int64_t failed_before, std::int64_t quarantined, int epoch) {
  status_.items = items, status_.done_before = done_before, status_.failed_before = failed_before;
  status_.quarantined = quarantined, status_.job.epoch = epoch;
  started_s_ = bucket_begin_s_ = clock_.now_s();
}

void StatusBoard::passed_over(std::vector<PassedOver> kinds) {
  status_.passed_over = std::move(kinds);
}

void StatusBoard::phase(JobPhase phase) {
  if (status_.phase == phase) return;
  status_.phase = phase;
  // No rank could make a step before.
  if (phase == JobPhase::kRunning)
    for (JobStatus::Rank& rank : status_.ranks) rank.stepped_s = clock_.now_s();
  publish();
}

void StatusBoard::ended(int exit_code, std::string outcome, const Counts& counts) {
  status_.counts = counts;
  status_.exit_code = exit_code;
  status_.outcome = std::move(outcome);
  status_.has_eta = false;
  for (JobStatus::Rank& rank : status_.ranks) rank.state.finished = true;
  phase(JobPhase::kEnded);
}

void StatusBoard::rank(int rank, const RankState& state) {
  JobStatus::Rank& known = status_.ranks[static_cast<std::size_t>(rank)];
  const auto worked = [](const RankState& s) { return s.engine.steps - s.engine.idle_steps; };
  if (worked(state) != worked(known.state)) known.stepped_s = clock_.now_s();
  known.state = state;
}

void StatusBoard::leader(int rank, std::int64_t done, std::int64_t failed) {
  JobStatus::Rank& known = status_.ranks[static_cast<std::size_t>(rank)];
  known.done = done, known.failed = failed;
}

void StatusBoard::caption(JobStatus::Recent recent) {
  const double now_s = clock_.now_s();
  if (recent.thumbnail == nullptr && now_s - caption_s_ < kCaptionEvery_s && !recent_.empty())
    return;
  caption_s_ = now_s;
  recent.serial = ++serial_;
  recent.id = cut(std::move(recent.id), kTextBytes);
  recent.caption = cut(std::move(recent.caption), kTextBytes);
  recent_.push_front(std::move(recent));
  if (recent_.size() > kRecent) recent_.pop_back();
}

void StatusBoard::failure(JobStatus::Failed failed) {
  failed.id = cut(std::move(failed.id), kTextBytes);
  failed.message = cut(std::move(failed.message), kTextBytes);
  failures_.push_front(std::move(failed));
  if (failures_.size() > kFailures) failures_.pop_back();
}

void StatusBoard::update(const Counts& counts, const Progress& progress) {
  const double now_s = clock_.now_s();
  if (now_s - published_s_ < kEvery_s) return;
  status_.counts = counts;
  const auto left = progress.left_s(counts);
  status_.has_eta = left.has_value();
  if (left) status_.left_low_s = left->first, status_.left_high_s = left->second;
  keep_history(now_s);
  publish();
}

bool StatusBoard::all_finished() const {
  return std::all_of(status_.ranks.begin() + 1, status_.ranks.end(),
                     [](const JobStatus::Rank& rank) { return rank.state.finished; });
}

void StatusBoard::keep_history(double now_s) {
  if (now_s - bucket_begin_s_ < bucket_s_) return;
  // After a long step there is one long bucket: when its items ended within it is unknown.
  history_.push_back(between(bucket_begin_, status_.counts, now_s - bucket_begin_s_));
  bucket_begin_ = status_.counts, bucket_begin_s_ = now_s;
  if (history_.size() < kBuckets) return;
  for (std::size_t i = 0; i < history_.size() / 2; ++i) {
    const JobStatus::Bucket &a = history_[2 * i], &b = history_[2 * i + 1];
    history_[i] = {.seconds = a.seconds + b.seconds,
                   .done = a.done + b.done,
                   .failed = a.failed + b.failed,
                   .media = a.media + b.media,
                   .prompt_tokens = a.prompt_tokens + b.prompt_tokens,
                   .completion_tokens = a.completion_tokens + b.completion_tokens};
  }
  history_.resize(history_.size() / 2);
  bucket_s_ *= 2;
}

void StatusBoard::publish() {
  published_s_ = clock_.now_s();
  if (sinks_.empty()) return;
  auto made = std::make_shared<JobStatus>(status_);
  made->made_s = published_s_;
  made->made_unix_s = unix_now_s();
  made->elapsed_s = published_s_ - started_s_;
  made->recent.assign(recent_.begin(), recent_.end());
  made->failures.assign(failures_.begin(), failures_.end());
  made->history = history_;
  if (published_s_ > bucket_begin_s_)
    made->history.push_back(between(bucket_begin_, status_.counts, published_s_ - bucket_begin_s_));
  for (StatusSink* sink : sinks_) sink->publish(made);
}

bool EventPace::caption(double now_s) {
  if (now_s - caption_s_ < kCaptionEvery_s) return false;
  caption_s_ = now_s;
  return true;
}

bool EventPace::failure(double now_s) {
  if (now_s - failures_since_s_ >= 1) failures_since_s_ = now_s, failures_ = 0;
  return failures_++ < kFailuresPerSecond;
}

JobEvent make_event(std::int64_t item, bool failed, double seconds, std::string_view stage,
                    std::string_view text) {
  JobEvent event{.item = item, .failed = failed, .seconds = seconds};
  copy_cut(stage, event.stage);
  copy_cut(text, event.text);
  return event;
}

}  // namespace retinue::runtime
