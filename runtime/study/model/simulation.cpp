#include "runtime/study/model/simulation.h"

#include "parallel/base/check.h"
#include "runtime/jobs/work_queue.h"

#include <algorithm>
#include <deque>
#include <functional>
#include <numeric>
#include <queue>
#include <set>
#include <utility>

namespace retinue::study {
namespace {

/// A replica with nothing to do looks again after so long.
constexpr double kNap_s = 200e-6;

class Replica {
 public:
  Replica(const SimulatedJob& job, double slowness)
      : job_(job),
        slowness_(slowness),
        threads_(static_cast<std::size_t>(std::max(1, job.feed.threads)), 0.0) {}

  [[nodiscard]] std::int64_t at_hand() const {
    return static_cast<std::int64_t>(waiting_.size() + encoded_.size() + prompts_.size()) +
           decoding_;
  }

  void take(std::int64_t item, double now) {
    double ready = now;
    if (job_.feed.seconds > 0) {
      const auto thread = std::ranges::min_element(threads_);
      ready = *thread = std::max(now, *thread) + job_.feed.seconds;
    }
    waiting_.push_back({item, ready});
  }

  /// Makes one step at `now` and adds its completions to `run`. Returns when the step ends.
  double step(double now, SimulatedRun& run) {
    StepWork work;
    encode(now, work);
    admit();
    fill(work);
    if (work.rows == 0 && work.patches == 0) {
      double next = now + kNap_s;
      if (!waiting_.empty()) {
        double ready = waiting_.front().ready_s;
        for (const Waiting& w : waiting_) ready = std::min(ready, w.ready_s);
        next = std::max(next, ready);
      }
      run.starved_s += next - now;
      return next;
    }
    const double seconds = slowness_ * job_.times.seconds(work);
    busy_s += seconds;
    run.communication_s += job_.times.communication_s(work);
    run.mean_rows += work.rows;
    ++run.steps, ++step_;
    const double end = now + seconds;
    while (!ends_.empty() && ends_.top().step <= step_) {
      const Ending ending = ends_.top();
      ends_.pop();
      --decoding_, decoding_keys_ -= static_cast<double>(ending.tokens);
      kv_held_ -= ending.kv_tokens;
      prompt_tokens_ -= ending.to_compute, new_tokens_ -= ending.new_tokens;
      run.done_s.push_back(end);
    }
    return end;
  }

  double busy_s = 0;

 private:
  struct Waiting {
    std::int64_t item;
    double ready_s;
  };
  struct Prompt {
    std::int64_t item, cached, kv_tokens, to_compute;
  };
  /// A decoding sequence: it takes one token per step, so its last step is known at once.
  struct Ending {
    std::int64_t step, tokens, kv_tokens, to_compute, new_tokens;
    friend bool operator>(const Ending& a, const Ending& b) { return a.step > b.step; }
  };

  [[nodiscard]] const SimulatedItem& of(std::int64_t item) const {
    return job_.items[static_cast<std::size_t>(item)];
  }

  void encode(double now, StepWork& work) {
    std::vector<std::int64_t> load(static_cast<std::size_t>(job_.tensor), 0);
    for (std::size_t at = 0; at < waiting_.size();) {
      const Waiting next = waiting_[at];
      if (next.ready_s > now) {
        ++at;
        continue;
      }
      const SimulatedItem& item = of(next.item);
      if (item.patches > 0) {
        const std::int64_t limit = job_.limits.feature_rows;
        if (limit > 0 && features_ > 0 && features_ + item.visual_tokens > limit) break;
        const auto owner = std::ranges::min_element(load);
        if (*owner > 0 && *owner + item.patches > job_.limits.encode_patches) break;
        *owner += item.patches;
        features_ += item.visual_tokens;
      }
      encoded_.push_back(next.item);
      waiting_.erase(waiting_.begin() + static_cast<std::ptrdiff_t>(at));
    }
    work.patches = static_cast<double>(*std::ranges::max_element(load));
  }

  void admit() {
    while (!encoded_.empty() &&
           static_cast<std::int64_t>(prompts_.size()) + decoding_ < job_.limits.max_sequences) {
      const SimulatedItem& item = of(encoded_.front());
      const std::int64_t kv = item.prompt_tokens + item.new_tokens;
      const bool alone = prompts_.empty() && decoding_ == 0;
      if (job_.limits.kv_tokens > 0 && !alone && kv_held_ + kv > job_.limits.kv_tokens) return;
      kv_held_ += kv, new_tokens_ += item.new_tokens;
      const auto reused = any_ ? static_cast<std::int64_t>(job_.reused_tokens) : 0;
      any_ = true;
      const auto cached = std::clamp<std::int64_t>(reused, 0, item.prompt_tokens - 1);
      prompts_.push_back({encoded_.front(), cached, kv, item.prompt_tokens - cached});
      prompt_tokens_ += prompts_.back().to_compute;
      encoded_.pop_front();
    }
  }

  void fill(StepWork& work) {
    std::int64_t budget =
        job_.limits.even.rows(decoding_, decoding_ + static_cast<std::int64_t>(prompts_.size()),
                              prompt_tokens_, new_tokens_, job_.limits.max_batch_tokens) -
        decoding_;
    work.rows = work.logit_rows = static_cast<double>(decoding_);
    decoding_keys_ += static_cast<double>(decoding_);
    work.keys = work.kv_tokens = decoding_keys_;
    while (!prompts_.empty() && budget > 0) {
      Prompt& prompt = prompts_.front();
      const SimulatedItem& item = of(prompt.item);
      const std::int64_t count = std::min(budget, item.prompt_tokens - prompt.cached);
      budget -= count;
      prompt.cached += count;
      work.rows += static_cast<double>(count);
      work.keys += static_cast<double>(prompt.cached) * static_cast<double>(count);
      work.kv_tokens += static_cast<double>(prompt.cached);
      if (prompt.cached < item.prompt_tokens) return;
      work.logit_rows += 1;
      if (item.patches > 0) features_ -= item.visual_tokens;
      // The first token comes with this step, each other one with a step more.
      const std::int64_t steps = std::max<std::int64_t>(1, item.new_tokens) - 1;
      ends_.push({step_ + 1 + steps, item.prompt_tokens + steps, prompt.kv_tokens,
                  prompt.to_compute, item.new_tokens});
      ++decoding_;
      decoding_keys_ += static_cast<double>(item.prompt_tokens);
      prompts_.pop_front();
    }
  }

  const SimulatedJob& job_;
  double slowness_;
  std::vector<double> threads_;  ///< when each thread is free
  std::deque<Waiting> waiting_;
  std::deque<std::int64_t> encoded_;
  std::deque<Prompt> prompts_;  ///< admitted, in order; the first is being prefilled
  std::priority_queue<Ending, std::vector<Ending>, std::greater<>> ends_;
  std::int64_t decoding_ = 0, features_ = 0, kv_held_ = 0, step_ = 0;
  std::int64_t prompt_tokens_ = 0, new_tokens_ = 0;  ///< to compute for the admitted ones
  double decoding_keys_ = 0;                         ///< cached tokens of decoding sequences
  bool any_ = false;
};

}  // namespace

SimulatedRun simulate(const SimulatedJob& job) {
  check(job.data >= 1 && job.tensor >= 1, "a layout has ranks");
  check(job.limits.max_batch_tokens >= job.limits.max_sequences,
        "max_batch_tokens has a row for every sequence");
  SimulatedRun run;
  run.done_s.reserve(job.items.size());
  const std::vector<std::uint8_t> open(job.items.size(), 1);
  const std::set<std::int64_t> taken;
  runtime::WorkQueue work_queue(
      open, taken,
      [&](std::size_t i) { return static_cast<std::uint32_t>(job.items[i].prompt_tokens); },
      job.data);
  std::vector<Replica> replicas;
  using Turn = std::pair<double, int>;
  std::priority_queue<Turn, std::vector<Turn>, std::greater<>> turns;
  for (int i = 0; i < job.data; ++i) {
    const auto at = static_cast<std::size_t>(i);
    replicas.emplace_back(job, at < job.slowness.size() ? job.slowness[at] : 1.0);
    turns.push({0, i});
  }
  while (!turns.empty()) {
    const auto [now, index] = turns.top();
    turns.pop();
    Replica& replica = replicas[static_cast<std::size_t>(index)];
    const std::int64_t wanted =
        runtime::items_at_hand(work_queue.left(), job.data, job.limits.max_sequences) -
        replica.at_hand();
    if (wanted > 0 && work_queue.left() > 0) {
      const runtime::ItemBatch batch = work_queue.next(wanted);
      for (std::int64_t i = 0; i < batch.count; ++i)
        replica.take(batch.items[static_cast<std::size_t>(i)], now);
    }
    if (replica.at_hand() == 0) continue;
    ++run.events;
    turns.push({replica.step(now, run), index});
  }
  for (const double done : run.done_s) run.makespan_s = std::max(run.makespan_s, done);
  std::ranges::sort(run.done_s);
  for (const Replica& replica : replicas) run.busy_s.push_back(replica.busy_s);
  run.communication_s /= job.data;
  run.starved_s /= job.data;
  if (run.steps > 0) run.mean_rows /= static_cast<double>(run.steps);
  return run;
}

}  // namespace retinue::study
