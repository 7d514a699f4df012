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
class Engine::Lead {
 public:
  Lead(const layers::Qwen3Vl& model, const EngineLimits& limits, const Clock& clock)
      : model_(model), scheduler_(model.config(), limits, model.axis().size), clock_(clock) {}

  std::optional<DataError> submit(Request request) {
    if (auto reason = scheduler_.reason_to_refuse(request)) return reason;
    auto sequence = std::make_unique<Sequence>();
    std::vector<layers::GridThw> grids;
    for (const VisualItem& item : request.items) {
      grids.push_back(item.grid);
      sequence->items.push_back({item, Sequence::Pixels::kAwaited, -1,
                                 item.grid.patches() / model_.config().vision.merge_unit()});
    }
    sequence->positions = layers::prompt_positions(model_.config(), request.ids, grids);
    std::int32_t visual = 0;
    for (const std::int32_t id : request.ids) {
      const bool pad = id == model_.config().image_token_id || id == model_.config().video_token_id;
      sequence->feature_of.push_back(pad ? visual++ : -1);
    }
    sequence->completion.id = request.id;
    sequence->completion.prompt_tokens = static_cast<std::int64_t>(request.ids.size());
    sequence->submitted_s = clock_.now_s();
    sequence->request = std::move(request);
    scheduler_.add(std::move(sequence));
    return std::nullopt;
  }

  void take_reports(const std::vector<RankReport>& reports) {
    for (const RankReport& report : reports)
      for (std::int32_t i = 0; i < report.count; ++i) {
        const RankReport::Entry& entry = report.entries[static_cast<std::size_t>(i)];
        if (entry.failed == 0) {
          Sequence* sequence = scheduler_.mark_ready(entry.key);
          if (sequence == nullptr) continue;
          for (const Sequence::Item& item : sequence->items)
            if (item.visual.key == entry.key && item.visual.grid != entry.grid) {
              // A file that changed between the prompt and its pixels: its own fault.
              fail(sequence,
                   {"image", "the pixels have another size than the prompt was made for"});
              break;
            }
        } else if (Sequence* sequence = scheduler_.find(entry.key)) {
          fail(sequence, {entry.stage.data(), entry.message.data()});
        }
      }
  }

  void plan(StepPlan& plan) {
    if (draining_ && scheduler_.live() == 0) {
      plan.clear();
      plan.stop = true;
      return;
    }
    scheduler_.plan(plan, argmax_, whole_);
  }

  /// Samples, ends what has ended.
  void take_result(const StepResult& result) {
    for (std::size_t i = 0; i < argmax_.size(); ++i) {
      Sequence* sequence = argmax_[i].sequence;
      if (!std::isfinite(result.largest[i]))
        fail(sequence, {"decode", "the logits are not finite"});
      else
        append(sequence, result.largest_ids[i], 0);
    }
    const auto vocab = static_cast<std::size_t>(model_.config().text.vocab_size);
    const std::size_t row_bytes = vocab * size_bytes(model_.dtype());
    for (std::size_t i = 0; i < whole_.size(); ++i) {
      const std::byte* row = result.whole.data() + i * row_bytes;
      Sequence* sequence = whole_[i].sequence;
      if (sequence->request.prompt_logits && sequence->completion.ids.empty())
        sequence->completion.prompt_logits.insert(sequence->completion.prompt_logits.end(), row,
                                                  row + row_bytes);
      if (!whole_[i].samples) continue;
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
        fail(sequence, {"decode", "the logits are not finite"});
        continue;
      }
      const Sampled sampled =
          sample_token(logits_, sequence->request.sampling, sequence->request.ids,
                       sequence->completion.ids, sequence->request.sampling_stream);
      append(sequence, sampled.id, sampled.logprob);
    }
  }

  void drain() { draining_ = true; }
  void cancel() {
    for (Sequence* sequence : scheduler_.all()) fail(sequence, {"cancelled", "the job stops"});
  }
  std::vector<Completion> poll() { return std::exchange(finished_, {}); }
  [[nodiscard]] std::int64_t live() const { return scheduler_.live(); }

 private:
  void append(Sequence* s, std::int32_t id, float logprob) {
    const Request& request = s->request;
    if (s->completion.first_token_s == 0)
      s->completion.first_token_s = clock_.now_s() - s->submitted_s;
    if (request.max_new_tokens == 0) return finish(s, FinishReason::kLength);
    if (std::find(request.stop_ids.begin(), request.stop_ids.end(), id) != request.stop_ids.end())
      return finish(s, FinishReason::kStop);
    s->completion.ids.push_back(id);
    if (request.logprobs) s->completion.logprobs.push_back(logprob);
    if (request.stop && request.stop(s->completion.ids)) return finish(s, FinishReason::kStop);
    if (static_cast<std::int64_t>(s->completion.ids.size()) >= request.max_new_tokens)
      finish(s, FinishReason::kLength);
  }

  void finish(Sequence* s, FinishReason reason) {
    s->completion.finish_reason = reason;
    s->completion.finished_s = clock_.now_s() - s->submitted_s;
    finished_.push_back(std::move(scheduler_.remove(s)->completion));
  }

  void fail(Sequence* s, DataError error) {
    s->completion.error = std::move(error);
    finish(s, FinishReason::kStop);
  }

  const layers::Qwen3Vl& model_;
  Scheduler scheduler_;
  const Clock& clock_;
  std::vector<LogitRow> argmax_, whole_;
  std::vector<float> logits_;
  std::vector<Completion> finished_;
  bool draining_ = false;
};

/// Gives EngineRank the name that the header promises.
class Engine::Rank : public EngineRank {
 public:
  using EngineRank::EngineRank;
  std::vector<RankReport> reports;
  StepPlan plan;
  StepResult result;
};

Engine::Engine(Context& ctx, MemoryLedger& ledger, layers::Qwen3Vl& model,
               const EngineLimits& limits, Communicator& control, PixelSource& pixels,
               const Clock& clock)
    : lead_(model.axis().rank == 0 ? std::make_unique<Lead>(model, limits, clock) : nullptr),
      rank_(std::make_unique<Rank>(ctx, ledger, model, limits, control, pixels, clock)),
      clock_(clock) {}

Engine::~Engine() = default;

std::optional<DataError> Engine::submit(Request request) {
  check(lead_ != nullptr, "requests go to the lead");
  return lead_->submit(std::move(request));
}
void Engine::drain() {
  check(lead_ != nullptr, "the lead drains");
  lead_->drain();
}
void Engine::cancel() {
  check(lead_ != nullptr, "the lead cancels");
  lead_->cancel();
}
std::vector<Completion> Engine::poll() {
  check(lead_ != nullptr, "completions are at the lead");
  return lead_->poll();
}
std::int64_t Engine::live() const { return lead_ != nullptr ? lead_->live() : 0; }

bool Engine::step() {
  Rank& rank = *rank_;
  EngineStats& stats = rank.stats();
  const double begin = clock_.now_s();
  rank.exchange_reports(rank.reports);
  const double reported = clock_.now_s();
  double planned = reported;
  if (lead_ != nullptr) {
    lead_->take_reports(rank.reports);
    lead_->plan(rank.plan);
    planned = clock_.now_s();
    // Nothing to do until pixels arrive: leave the cores to those who decode them.
    if (rank.plan.idle() && !rank.plan.stop)
      std::this_thread::sleep_for(std::chrono::microseconds(200));
  }
  rank.share(rank.plan);
  const double shared = clock_.now_s();
  stats.plan_s += planned - reported;
  stats.wait_s += (reported - begin) + (shared - planned);
  if (rank.plan.stop) return false;
  rank.execute(rank.plan, rank.result);
  const double executed = clock_.now_s();
  if (lead_ != nullptr) lead_->take_result(rank.result);
  stats.sample_s += clock_.now_s() - executed;
  return true;
}

const EngineStats& Engine::stats() const { return rank_->stats(); }

}  // namespace retinue::runtime
