#include "runtime/engine/engine.h"

#include "runtime/engine/rank.h"
#include "runtime/engine/sampler.h"
#include "runtime/engine/scheduler.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstring>
#include <thread>

namespace retinue::runtime {

/// Rank 0 of the tensor axis: requests in, plans out, tokens sampled, completions kept.
class Engine::Leader {
 public:
  Leader(const layers::Qwen3Vl& model, const EngineLimits& limits, const EngineOptions& options,
         const Clock& clock)
      : model_(model),
        scheduler_(model.config(), limits, options, model.axis().size),
        clock_(clock) {}

  std::optional<DataError> submit(Request request) {
    if (auto reason = scheduler_.reason_to_refuse(request)) return reason;
    scheduler_.add(std::move(request), clock_.now_s());
    return std::nullopt;
  }

  void take_reports(const std::vector<RankReport>& reports) {
    for (const RankReport& report : reports)
      for (std::int32_t i = 0; i < report.count; ++i) {
        const RankReport::Entry& entry = report.entries[static_cast<std::size_t>(i)];
        if (entry.failed == 0) {
          if (Sequence* sequence = scheduler_.pixels_arrived(entry.key, entry.grid))
            // The file changed between the reading of its header and of its pixels.
            fail(sequence, {"image", "the pixels have another size than the prompt was made for"});
        } else if (Sequence* sequence = scheduler_.pixels_failed(entry.key)) {
          fail(sequence, {entry.stage.data(), entry.message.data()});
        }
      }
  }

  void encodes_passed(std::int64_t batches) { scheduler_.encodes_passed(batches); }

  void plan(StepPlan& plan) {
    std::swap(rows_, rows_before_);
    if (draining_ && scheduler_.done()) {
      plan.clear();
      rows_.clear();
      plan.stop = true;
      return;
    }
    scheduler_.plan(plan, rows_);
  }

  /// Samples, and ends sequences that are complete. `result` belongs to the plan made last; with
  /// `ahead`, the plan made since, to the one before it.
  void take_result(const StepResult& result, StepPlan* ahead) {
    PlanRows& rows = ahead != nullptr ? rows_before_ : rows_;
    for (std::size_t i = 0; i < rows.argmax.size(); ++i) {
      Sequence* sequence = rows.argmax[i].sequence;
      if (sequence == nullptr) continue;
      --sequence->awaited;
      if (!std::isfinite(result.largest[i])) {
        poison(sequence);
        continue;
      }
      append(rows.argmax[i], {result.largest_ids[i], 0});
    }
    for (std::size_t i = 0; i < rows.drawn.size(); ++i) {
      Sequence* sequence = rows.drawn[i].sequence;
      if (sequence == nullptr) continue;
      --sequence->awaited;
      if (!std::isfinite(result.largest[rows.argmax.size() + i])) {
        poison(sequence);
        continue;
      }
      append(rows.drawn[i], result.drawn[i]);
    }
    const auto vocab = static_cast<std::size_t>(model_.config().text.vocab_size);
    const std::size_t row_bytes = vocab * size_bytes(model_.dtype());
    for (std::size_t i = 0; i < rows.whole.size(); ++i) {
      const std::byte* row = result.whole.data() + i * row_bytes;
      Sequence* sequence = rows.whole[i].sequence;
      if (sequence == nullptr) continue;
      if (sequence->request.prompt_logits && sequence->completion.ids.empty())
        sequence->completion.prompt_logits.insert(sequence->completion.prompt_logits.end(), row,
                                                  row + row_bytes);
      if (!rows.whole[i].samples) continue;
      --sequence->awaited;
      logits_.resize(vocab);
      if (model_.dtype() == DType::kF32)
        std::memcpy(logits_.data(), row, row_bytes);
      else
        for (std::size_t k = 0; k < vocab; ++k) {
          BFloat16 value;
          std::memcpy(&value, row + k * sizeof value, sizeof value);
          logits_[k] = to_float(value);
        }
      if (!std::all_of(logits_.begin(), logits_.end(), [](float x) { return std::isfinite(x); })) {
        poison(sequence);
        continue;
      }
      if (sequence->request.hash_logits) sequence->logits_hash.update({row, row_bytes});
      if (sequence->request.top_logprobs > 0)
        top_logprobs(logits_, sequence->request.top_logprobs, sequence->completion.top_logprobs);
      append(rows.whole[i],
             sample_token(logits_, sequence->request.sampling, sequence->request.ids,
                          sequence->completion.ids, sequence->request.sampling_stream));
    }
    if (ahead != nullptr) rows_.fill(*ahead);
  }

  void drain() { draining_ = true; }
  void cancel() {
    for (Sequence* sequence : scheduler_.all()) fail(sequence, {kCancelledStage, "the job stops"});
  }
  bool cancel(std::uint64_t id) {
    for (Sequence* sequence : scheduler_.all())
      if (sequence->request.id == id) {
        fail(sequence, {kCancelledStage, "the request was withdrawn"});
        return true;
      }
    return false;
  }
  std::vector<Completion> poll() { return std::exchange(finished_, {}); }
  [[nodiscard]] std::int64_t live() const { return scheduler_.live(); }
  [[nodiscard]] std::int64_t waiting_pixels() const { return scheduler_.ready_images(); }
  [[nodiscard]] const SchedulerStats& stats() const { return scheduler_.stats(); }

 private:
  void append(const LogitRow& row, const ops::DrawnToken& token) {
    Sequence* s = row.sequence;
    const Request& request = s->request;
    Completion& completion = s->completion;
    if (completion.first_token_s == 0) completion.first_token_s = clock_.now_s() - s->submitted_s;
    scheduler_.publish(row);
    if (request.max_new_tokens == 0) return finish(s, FinishReason::kLength);
    if (std::find(request.stop_ids.begin(), request.stop_ids.end(), token.id) !=
        request.stop_ids.end())
      return finish(s, FinishReason::kStop);
    completion.ids.push_back(token.id);
    if (request.logprobs) completion.logprobs.push_back(token.logprob);
    if (request.stop && request.stop(completion.ids)) return finish(s, FinishReason::kStop);
    if (static_cast<std::int64_t>(completion.ids.size()) >= request.max_new_tokens)
      return finish(s, FinishReason::kLength);
    if (request.max_repeats > 0 && repeats(completion.ids, request.max_repeats))
      finish(s, FinishReason::kRepetition);
  }

  void finish(Sequence* s, FinishReason reason, bool poisoned = false) {
    Completion& completion = s->completion;
    completion.finish_reason = reason;
    completion.finished_s = clock_.now_s() - s->submitted_s;
    if (s->request.hash_logits) completion.logits_sha256 = s->logits_hash.finish_hex();
    // The token that ended it leaves nothing behind.
    completion.top_logprobs.resize(completion.ids.size() *
                                   static_cast<std::size_t>(s->request.top_logprobs));
    rows_.forget(s), rows_before_.forget(s);
    finished_.push_back(std::move(scheduler_.remove(s, poisoned)->completion));
  }

  void fail(Sequence* s, DataError error, bool poisoned = false) {
    s->completion.error = std::move(error);
    finish(s, FinishReason::kStop, poisoned);
  }
  void poison(Sequence* s) {
    fail(s,
         {"decode",
          "the logits are not finite. Where all items fail so, weights or scales of the checkpoint "
          "are too large: download it or convert it again"},
         true);
  }

  const layers::Qwen3Vl& model_;
  Scheduler scheduler_;
  const Clock& clock_;
  PlanRows rows_, rows_before_;  ///< of the plan made last, and of the one before it
  std::vector<float> logits_;
  std::vector<Completion> finished_;
  bool draining_ = false;
};

/// EngineRank with the buffers that its steps reuse.
class Engine::Rank : public EngineRank {
 public:
  using EngineRank::EngineRank;
  std::vector<RankReport> reports;
  StepPlan plan, next;
  StepResult result;
};

Engine::Engine(const EngineParts& parts)
    : rank_(std::make_unique<Rank>(parts)),
      clock_(parts.clock),
      plans_ahead_(parts.options.plan_ahead.value_or(parts.ctx.device().type != DeviceType::kCpu)) {
  if (parts.model.axis().rank != 0) return;
  EngineOptions chosen = parts.options;
  chosen.encode_beside = chosen.encode_beside.value_or(parts.vision != nullptr);
  leader_ = std::make_unique<Leader>(parts.model, parts.limits, chosen, parts.clock);
}

Engine::~Engine() = default;

std::optional<DataError> Engine::submit(Request request) {
  check(leader_ != nullptr, "requests go to the leader");
  return leader_->submit(std::move(request));
}
void Engine::drain() {
  check(leader_ != nullptr, "the leader drains");
  leader_->drain();
}
void Engine::cancel() {
  check(leader_ != nullptr, "the leader cancels");
  leader_->cancel();
}
bool Engine::cancel(std::uint64_t id) {
  check(leader_ != nullptr, "the leader cancels");
  return leader_->cancel(id);
}
std::vector<Completion> Engine::poll() {
  check(leader_ != nullptr, "completions are at the leader");
  return leader_->poll();
}
std::int64_t Engine::live() const { return leader_ != nullptr ? leader_->live() : 0; }

void Engine::make_plan(StepPlan& plan) {
  EngineStats& stats = rank_->stats();
  const double begin = clock_.now_s();
  rank_->exchange_reports(rank_->reports);
  const double reported = clock_.now_s();
  stats.wait_s += reported - begin;
  if (leader_ == nullptr) return;
  leader_->take_reports(rank_->reports);
  // Images that no plan has taken up since the last one.
  stats.pixels_waited_s += static_cast<double>(waiting_pixels_) * (reported - planned_s_);
  leader_->encodes_passed(rank_->encodes_passed());
  leader_->plan(plan);
  waiting_pixels_ = leader_->waiting_pixels(), planned_s_ = reported;
  stats.plan_s += clock_.now_s() - reported;
}

bool Engine::step() {
  Rank& rank = *rank_;
  EngineStats& stats = rank.stats();
  const double entered = clock_.now_s();
  if (!planned_) make_plan(rank.plan);
  // Idle until pixels arrive: leave the cores to the threads that decode them.
  if (leader_ != nullptr && rank.plan.idle() && !rank.plan.stop)
    std::this_thread::sleep_for(std::chrono::microseconds(200));
  const double begin = clock_.now_s();
  rank.share(rank.plan);
  stats.wait_s += clock_.now_s() - begin;
  if (rank.plan.stop) {
    rank.wait_for_encodes();
    return false;
  }
  rank.launch(rank.plan);
  if (plans_ahead_) make_plan(rank.next);
  rank.finish(rank.plan, rank.result);
  const double executed = clock_.now_s();
  if (leader_ != nullptr) {
    leader_->take_result(rank.result, plans_ahead_ ? &rank.next : nullptr);
    stats.scheduler = leader_->stats();
    if (rank.plan.idle()) stats.starved_s += clock_.now_s() - entered;
  }
  if (plans_ahead_) std::swap(rank.plan, rank.next);
  planned_ = plans_ahead_;
  stats.sample_s += clock_.now_s() - executed;
  return true;
}

const EngineStats& Engine::stats() const { return rank_->stats(); }

}  // namespace retinue::runtime
