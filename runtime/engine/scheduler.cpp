#include "runtime/engine/scheduler.h"

#include "parallel/base/check.h"
#include "runtime/engine/sampler.h"

#include <fmt/format.h>

#include <algorithm>

namespace retinue::runtime {

namespace {

/// Where a block's matrices and its attention cost a patch the same: (4 d² + 2 d f) · 2 FLOPs over
/// 4 d per key.
double attention_balance(const layers::VisionConfig& v) {
  const auto d = static_cast<double>(v.hidden_size), f = static_cast<double>(v.intermediate_size);
  return (4 * d * d + 2 * d * f) / (2 * d);
}

}  // namespace

bool Sequence::needs_whole_logits() const {
  return request.logprobs || !needs_only_argmax(request.sampling);
}

Scheduler::Scheduler(const layers::ModelConfig& config, const EngineLimits& limits, int ranks)
    : config_(config),
      limits_(limits),
      kv_(limits.kv_blocks, limits.kv_block_tokens),
      features_(limits.feature_rows),
      queue_(ranks, attention_balance(config.vision)),
      ranks_(ranks) {}

std::optional<DataError> Scheduler::reason_to_refuse(const Request& request) const {
  const auto prompt = static_cast<std::int64_t>(request.ids.size());
  if (prompt == 0) return DataError{"prompt", "the prompt is empty"};
  if (request.max_new_tokens < 0 || prompt + request.max_new_tokens > limits_.max_sequence_tokens)
    return DataError{
        "prompt",
        fmt::format(
            "the prompt has {} tokens and max_new_tokens is {}; together at most {} fit. Lower "
            "--max-pixels or --max-new-tokens, or raise --kv-memory-gib.",
            prompt, request.max_new_tokens, limits_.max_sequence_tokens)};
  std::int64_t rows = 0;
  for (const VisualItem& item : request.items) {
    rows += item.grid.patches() / config_.vision.merge_unit();
    if (item.grid.patches() > limits_.max_item_patches)
      return DataError{
          "prompt",
          fmt::format(
              "an image or video has {} patches, at most {} are planned for. Lower --max-pixels.",
              item.grid.patches(), limits_.max_item_patches)};
  }
  if (rows > limits_.feature_rows)
    return DataError{
        "prompt",
        fmt::format("the prompt has {} visual tokens, at most {} are planned for. Use fewer images "
                    "or lower --max-pixels.",
                    rows, limits_.feature_rows)};
  if (request.prompt_logits && prompt > limits_.max_logit_rows)
    return DataError{"prompt", fmt::format("logits of {} tokens were asked for, {} are planned for",
                                           prompt, limits_.max_logit_rows)};
  return std::nullopt;
}

Sequence* Scheduler::find(std::uint64_t key) {
  for (const auto& sequence : waiting_)
    for (const Sequence::Item& item : sequence->items)
      if (item.visual.key == key) return sequence.get();
  return nullptr;
}

Sequence* Scheduler::mark_ready(std::uint64_t key) {
  Sequence* sequence = find(key);
  if (sequence == nullptr) {
    dropped_.push_back(key);
    return nullptr;
  }
  for (Sequence::Item& item : sequence->items)
    if (item.visual.key == key && item.pixels == Sequence::Pixels::kAwaited)
      item.pixels = Sequence::Pixels::kReady;
  return sequence;
}

void Scheduler::plan(StepPlan& plan, std::vector<LogitRow>& argmax, std::vector<LogitRow>& whole) {
  plan.clear();
  argmax.clear(), whole.clear(), whole_rows_.clear();
  std::swap(plan.drop, dropped_);
  deal_items(plan);
  encode_items(plan);
  admit();

  plan.cu_seqlens.push_back(0);
  std::int64_t budget = limits_.max_batch_tokens, logit_budget = limits_.max_logit_rows;
  std::vector<std::pair<Sequence*, std::int64_t>> batch;
  for (const auto& sequence : running_)
    if (sequence->prefilled() && budget > 0)
      batch.emplace_back(sequence.get(), 1), --budget, --logit_budget;
  for (const auto& sequence : running_) {
    if (sequence->prefilled() || budget == 0) continue;
    const std::int64_t count = std::min(budget, sequence->prompt_tokens() - sequence->cached);
    // A traced prompt keeps a row of logits per token: it runs in one piece or waits.
    const std::int64_t rows = sequence->request.prompt_logits ? count : 1;
    if (rows > logit_budget) continue;
    batch.emplace_back(sequence.get(), count);
    budget -= count, logit_budget -= rows;
  }
  for (const auto& [sequence, count] : batch)
    plan.max_blocks = std::max(plan.max_blocks,
                               static_cast<std::int32_t>(kv_.blocks_for(sequence->cached + count)));
  std::int64_t tokens = 0;
  for (const auto& [sequence, count] : batch) tokens += count;
  plan.positions.resize(static_cast<std::size_t>(3 * tokens));
  for (const auto& [sequence, count] : batch) add_tokens(plan, *sequence, count, argmax, whole);
  plan.argmax_rows = static_cast<std::int32_t>(argmax.size());
  plan.whole_rows = static_cast<std::int32_t>(whole.size());
  plan.logit_rows.insert(plan.logit_rows.end(), whole_rows_.begin(), whole_rows_.end());
}

void Scheduler::deal_items(StepPlan& plan) {
  std::vector<EncodeQueue::Item> items;
  for (const auto& sequence : waiting_) {
    if (sequence->dealt) continue;
    sequence->dealt = true;
    for (const Sequence::Item& item : sequence->items)
      items.push_back({item.visual.key, item.visual.grid});
  }
  plan.prefetch = queue_.deal(items);
}

void Scheduler::encode_items(StepPlan& plan) {
  std::vector<std::int64_t> patches(static_cast<std::size_t>(ranks_));
  for (const auto& sequence : waiting_) {
    const bool ready = std::all_of(
        sequence->items.begin(), sequence->items.end(),
        [](const Sequence::Item& item) { return item.pixels != Sequence::Pixels::kAwaited; });
    if (!ready) continue;
    for (Sequence::Item& item : sequence->items) {
      if (item.pixels != Sequence::Pixels::kReady) continue;
      const int owner = queue_.owner(item.visual.key);
      std::int64_t& load = patches[static_cast<std::size_t>(owner)];
      // The buffer fills in order of arrival; what does not fit now waits, and so does all behind
      // it.
      if (load > 0 && load + item.visual.grid.patches() > limits_.encode_patches) return;
      item.first_row = features_.allocate(item.visual_tokens);
      if (item.first_row < 0) return;
      load += item.visual.grid.patches();
      item.pixels = Sequence::Pixels::kEncoded;
      plan.encode.push_back(
          {item.visual.key, owner, static_cast<std::int32_t>(item.first_row), item.visual.grid});
      queue_.done(item.visual.key);
    }
  }
}

void Scheduler::admit() {
  for (auto at = waiting_.begin();
       at != waiting_.end() &&
       static_cast<std::int64_t>(running_.size()) < limits_.max_sequences;) {
    Sequence& sequence = **at;
    const bool encoded = std::all_of(
        sequence.items.begin(), sequence.items.end(),
        [](const Sequence::Item& item) { return item.pixels == Sequence::Pixels::kEncoded; });
    if (!encoded) {
      ++at;  // others need not wait for its pixels
      continue;
    }
    if (!kv_.can_hold(sequence.most_tokens()))
      return;  // but for pages all wait in order, or long ones would starve
    sequence.blocks = kv_.allocate(sequence.most_tokens());
    running_.splice(running_.end(), waiting_, at++);
  }
}

void Scheduler::add_tokens(StepPlan& plan, Sequence& s, std::int64_t count,
                           std::vector<LogitRow>& argmax, std::vector<LogitRow>& whole) {
  const std::size_t tokens = plan.positions.size() / 3;
  const std::int64_t prompt = s.prompt_tokens();
  for (std::int64_t i = 0; i < count; ++i) {
    const std::int64_t at = s.cached + i;
    const auto row = plan.ids.size();
    if (at < prompt) {
      const auto token = static_cast<std::size_t>(at), length = static_cast<std::size_t>(prompt);
      plan.ids.push_back(s.request.ids[token]);
      for (std::size_t axis = 0; axis < 3; ++axis)
        plan.positions[axis * tokens + row] = s.positions.values[axis * length + token];
      if (std::int32_t index = s.feature_of[token]; index >= 0) {
        std::size_t item = 0;
        while (index >= s.items[item].visual_tokens)
          index -= static_cast<std::int32_t>(s.items[item++].visual_tokens);
        plan.visual_sources.push_back(static_cast<std::int32_t>(s.items[item].first_row) + index);
        plan.visual_rows.push_back(static_cast<std::int32_t>(row));
      }
    } else {
      const std::int64_t generated = at - prompt;
      plan.ids.push_back(s.completion.ids[static_cast<std::size_t>(generated)]);
      for (std::size_t axis = 0; axis < 3; ++axis)
        plan.positions[axis * tokens + row] =
            s.positions.next + static_cast<std::int32_t>(generated);
    }
    plan.slot_mapping.push_back(kv_.slot(s.blocks, at));
    const bool last = at + 1 >= prompt;
    if (s.request.prompt_logits && at < prompt) {
      whole.push_back({&s, last});
      whole_rows_.push_back(static_cast<std::int32_t>(row));
    } else if (last && s.needs_whole_logits()) {
      whole.push_back({&s, true});
      whole_rows_.push_back(static_cast<std::int32_t>(row));
    } else if (last) {
      argmax.push_back({&s, true});
      plan.logit_rows.push_back(static_cast<std::int32_t>(row));
    }
  }
  s.cached += count;
  plan.cu_seqlens.push_back(static_cast<std::int32_t>(plan.ids.size()));
  plan.seq_lens.push_back(static_cast<std::int32_t>(s.cached));
  for (std::int32_t page = 0; page < plan.max_blocks; ++page)
    plan.block_table.push_back(static_cast<std::size_t>(page) < s.blocks.size()
                                   ? s.blocks[static_cast<std::size_t>(page)]
                                   : 0);
  // Its features have been read in this step's plan: later steps may overwrite them.
  if (s.prefilled()) release_features(s);
}

void Scheduler::release_features(Sequence& sequence) {
  for (Sequence::Item& item : sequence.items)
    if (item.first_row >= 0)
      features_.release(item.first_row, item.visual_tokens), item.first_row = -1;
}

std::unique_ptr<Sequence> Scheduler::remove(Sequence* sequence) {
  release_features(*sequence);
  kv_.release(sequence->blocks);
  for (const Sequence::Item& item : sequence->items) {
    if (item.pixels == Sequence::Pixels::kReady) dropped_.push_back(item.visual.key);
    if (item.pixels != Sequence::Pixels::kEncoded) queue_.done(item.visual.key);
  }
  for (auto* list : {&waiting_, &running_})
    for (auto at = list->begin(); at != list->end(); ++at)
      if (at->get() == sequence) {
        std::unique_ptr<Sequence> taken = std::move(*at);
        list->erase(at);
        return taken;
      }
  check(false, "a sequence that is removed was there");
  return nullptr;
}

}  // namespace retinue::runtime
