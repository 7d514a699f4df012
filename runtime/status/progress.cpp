#include "runtime/status/progress.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdio>

namespace retinue::runtime {
namespace {

/// 118,287
std::string grouped(std::int64_t number) {
  const std::string digits = std::to_string(number);
  std::string text;
  for (std::size_t i = 0; i < digits.size(); ++i) {
    if (i > 0 && (digits.size() - i) % 3 == 0) text += ',';
    text += digits[i];
  }
  return text;
}

std::string duration(double seconds) {
  const auto whole = static_cast<std::int64_t>(seconds);
  return fmt::format("{:02}:{:02}:{:02}", whole / 3600, whole / 60 % 60, whole % 60);
}

}  // namespace

Counts& Counts::operator+=(const Counts& other) {
  start_up += other.start_up;
  done += other.done, failed += other.failed, media += other.media;
  prompt_tokens += other.prompt_tokens, completion_tokens += other.completion_tokens;
  engine.replayed_steps += other.engine.replayed_steps;
  engine.steps += other.engine.steps, engine.idle_steps += other.engine.idle_steps;
  engine.tokens += other.engine.tokens;
  engine.patches += other.engine.patches, engine.images += other.engine.images;
  engine.plan_s += other.engine.plan_s, engine.encode_s += other.engine.encode_s;
  engine.prefill_s += other.engine.prefill_s;
  engine.forward_s += other.engine.forward_s, engine.sample_s += other.engine.sample_s;
  engine.wait_s += other.engine.wait_s, engine.starved_s += other.engine.starved_s;
  engine.pixels_waited_s += other.engine.pixels_waited_s;
  SchedulerStats& scheduler = engine.scheduler;
  scheduler.admitted += other.engine.scheduler.admitted;
  scheduler.preempted += other.engine.scheduler.preempted;
  scheduler.reused_tokens += other.engine.scheduler.reused_tokens;
  scheduler.encoded_images += other.engine.scheduler.encoded_images;
  scheduler.waiting += other.engine.scheduler.waiting;
  scheduler.running += other.engine.scheduler.running;
  scheduler.kv_blocks += other.engine.scheduler.kv_blocks;
  scheduler.kv_blocks_held += other.engine.scheduler.kv_blocks_held;
  interrupted = interrupted || other.interrupted;
  hurried = hurried || other.hurried;
  finished = finished && other.finished;
  return *this;
}

Progress::Progress(const Options& options, Log& log, const Clock& clock)
    : options_(options),
      log_(log),
      clock_(clock),
      started_s_(clock.now_s()),
      shown_s_(started_s_),
      half_{started_s_, 0},
      next_half_(half_) {}

double Progress::elapsed_s() const { return clock_.now_s() - started_s_; }

std::string Progress::line(const Counts& counts) const {
  const double seconds = std::max(elapsed_s(), 1e-9);
  const std::int64_t done = options_.done_before + counts.done;
  const std::int64_t failed = options_.failed_before + counts.failed;
  std::string text = fmt::format("{} / {} done, {} failed, {:.1f} images/s, {:.0f} tokens/s",
                                 grouped(done), grouped(options_.items), grouped(failed),
                                 static_cast<double>(counts.media) / seconds,
                                 static_cast<double>(counts.completion_tokens) / seconds);
  const double waited = counts.engine.starved_s / seconds / options_.replicas;
  if (waited >= 0.005) text += fmt::format(", waited {:.0f} % for pixels", 100 * waited);
  if (const auto left = left_s(counts)) {
    const std::string low = duration(left->first), high = duration(left->second);
    text += low == high ? fmt::format(", {} left", low) : fmt::format(", {} to {} left", low, high);
  }
  return text;
}

std::optional<std::pair<double, double>> Progress::left_s(const Counts& counts) const {
  const std::int64_t ended = counts.done + counts.failed;
  const std::int64_t left = options_.items - options_.done_before - options_.failed_before - ended;
  if (ended <= 0 || left <= 0) return std::nullopt;
  const auto at_pace = [&](double in_s, std::int64_t did) {
    return in_s * static_cast<double>(left) / static_cast<double>(did);
  };
  const double whole_s = at_pace(std::max(elapsed_s(), 1e-9), ended);
  const double late_s =
      ended > half_.ended ? at_pace(clock_.now_s() - half_.time_s, ended - half_.ended) : whole_s;
  return std::minmax({whole_s, late_s});
}

void Progress::update(const Counts& counts) {
  const double now = clock_.now_s();
  if (now - shown_s_ < (options_.terminal ? 0.2 : 10.0)) return;
  shown_s_ = now;
  // A mark at each doubling of the run's length. The older of the last two is in the first half of
  // the run, so the pace since then covers the last half or more.
  if (now - started_s_ >= 2 * (next_half_.time_s - started_s_))
    half_ = next_half_, next_half_ = {now, counts.done + counts.failed};
  if (!options_.show) return;
  if (options_.terminal)
    std::fprintf(stderr, "\r\033[K%s", line(counts).c_str());
  else
    log_.info(line(counts));
}

void Progress::finish(const Counts& counts, std::string_view outcome) {
  const std::string text =
      fmt::format("{}: {} in {}", outcome, line(counts), duration(elapsed_s()));
  std::fprintf(stderr, "%s%s\n", options_.show && options_.terminal ? "\r\033[K" : "",
               text.c_str());
}

}  // namespace retinue::runtime
