#include "runtime/engine/scheduler.h"

#include "parallel/base/check.h"
#include "runtime/engine/block_keys.h"
#include "runtime/engine/sampler.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

namespace retinue::runtime {

namespace {

/// A sequence that so many have overtaken keeps its place from then on.
constexpr std::int64_t kMostPassedOver = 64;

/// Patches at which a layer's attention costs as much as its matrices: per patch (4 d² + 2 d f) · 2
/// FLOPs for these, 4 d per key for that.
double attention_balance(const layers::VisionConfig& v) {
  const auto d = static_cast<double>(v.hidden_size), f = static_cast<double>(v.intermediate_size);
  return (4 * d * d + 2 * d * f) / (2 * d);
}

void add_prompt_token(StepPlan& plan, const Sequence& s, std::size_t token) {
  const std::size_t row = plan.ids.size(), tokens = plan.positions.size() / 3;
  plan.ids.push_back(s.request.ids[token]);
  for (std::size_t axis = 0; axis < 3; ++axis)
    plan.positions[axis * tokens + row] = s.positions.values[axis * s.request.ids.size() + token];
  std::int32_t index = s.feature_of[token];
  if (index < 0) return;
  std::size_t image = 0;
  while (index >= s.images[image].visual_tokens)
    index -= static_cast<std::int32_t>(s.images[image++].visual_tokens);
  plan.visual_sources.push_back(static_cast<std::int32_t>(s.images[image].feature->first_row) +
                                index);
  plan.visual_rows.push_back(static_cast<std::int32_t>(row));
}

void add_output_token(StepPlan& plan, Sequence& s, std::size_t token, PlanRows& rows) {
  const std::size_t row = plan.ids.size(), tokens = plan.positions.size() / 3;
  if (token < s.completion.ids.size()) {
    plan.ids.push_back(s.completion.ids[token]);
  } else {
    rows.awaited.push_back({&s, row});
    plan.ids.push_back(0);
  }
  for (std::size_t axis = 0; axis < 3; ++axis)
    plan.positions[axis * tokens + row] = s.positions.next + static_cast<std::int32_t>(token);
}

}  // namespace

Sequence::Choice Sequence::choice() const {
  if (request.top_logprobs > 0 || request.hash_logits || !needs_no_penalty(request.sampling))
    return Choice::kWhole;
  return request.logprobs || request.sampling.temperature > 0 ? Choice::kDrawn : Choice::kLargest;
}

void PlanRows::forget(const Sequence* ended) {
  for (auto* rows : {&argmax, &drawn, &whole})
    for (LogitRow& row : *rows)
      if (row.sequence == ended) row.sequence = nullptr;
  for (Awaited& row : awaited)
    if (row.sequence == ended) row.sequence = nullptr, row.id = ended->request.ids.back();
}

void PlanRows::fill(StepPlan& plan) const {
  for (const Awaited& row : awaited)
    plan.ids[row.row] = row.sequence != nullptr ? row.sequence->completion.ids.back() : row.id;
}

Scheduler::Scheduler(const layers::ModelConfig& config, const EngineLimits& limits,
                     const EngineOptions& options, int ranks)
    : config_(config),
      limits_(limits),
      options_(options),
      kv_(limits.kv_blocks, limits.kv_block_tokens),
      features_(limits.feature_rows, options.share),
      queue_(ranks, attention_balance(config.vision)),
      ranks_(ranks) {}

std::optional<DataError> reason_to_refuse(const layers::ModelConfig& config,
                                          const EngineLimits& limits, const Request& request) {
  const auto prompt = static_cast<std::int64_t>(request.ids.size());
  if (prompt == 0) return DataError{"prompt", "the prompt is empty"};
  const std::int64_t most = config.text.max_position_embeddings;
  if (most > 0 && request.max_new_tokens >= 0 && request.max_new_tokens <= most &&
      prompt + request.max_new_tokens > most)
    return DataError{
        "prompt",
        fmt::format("the prompt has {} tokens and max_new_tokens is {}; together at most {} fit, "
                    "the model's max_position_embeddings. Lower --max-pixels or --max-new-tokens.",
                    prompt, request.max_new_tokens, most)};
  if (request.max_new_tokens < 0 || prompt + request.max_new_tokens > limits.max_sequence_tokens)
    return DataError{
        "prompt",
        fmt::format(
            "the prompt has {} tokens and max_new_tokens is {}; together at most {} fit. Lower "
            "--max-pixels or --max-new-tokens, or raise --kv-memory-gib.",
            prompt, request.max_new_tokens, limits.max_sequence_tokens)};
  std::int64_t rows = 0;
  for (const RequestImage& image : request.images) {
    rows += image.grid.patches() / config.vision.merge_unit();
    if (image.grid.patches() > limits.max_item_patches)
      return DataError{
          "prompt",
          fmt::format(
              "an image or video has {} patches, at most {} are planned for. Lower --max-pixels.",
              image.grid.patches(), limits.max_item_patches)};
  }
  if (rows > limits.feature_rows)
    return DataError{
        "prompt",
        fmt::format("the prompt has {} visual tokens, at most {} are planned for. Use fewer images "
                    "or lower --max-pixels.",
                    rows, limits.feature_rows)};
  if (request.prompt_logits && prompt > limits.max_logit_rows)
    return DataError{"prompt", fmt::format("logits of {} tokens were asked for, {} are planned for",
                                           prompt, limits.max_logit_rows)};
  return std::nullopt;
}

void Scheduler::add(Request request, double now_s) {
  auto sequence = std::make_unique<Sequence>();
  std::vector<layers::GridThw> grids;
  std::vector<std::int64_t> visual_tokens;
  for (const RequestImage& image : request.images) {
    grids.push_back(image.grid);
    visual_tokens.push_back(image.grid.patches() / config_.vision.merge_unit());
    sequence->images.push_back(
        {.input = image, .visual_tokens = visual_tokens.back(), .end = 0, .feature = nullptr});
  }
  sequence->positions = layers::prompt_positions(config_, request.ids, grids);
  std::int32_t visual = 0;
  std::int64_t before = 0;
  std::size_t image = 0;
  for (std::size_t at = 0; at < request.ids.size(); ++at) {
    const std::int32_t id = request.ids[at];
    const bool pad = id == config_.image_token_id || id == config_.video_token_id;
    sequence->feature_of.push_back(pad ? visual++ : -1);
    if (!pad) continue;
    while (visual - before > visual_tokens[image]) before += visual_tokens[image++];
    sequence->images[image].end = static_cast<std::int64_t>(at) + 1;
  }
  if (options_.share && !request.prompt_logits)
    sequence->block_keys = block_keys(request, sequence->positions, sequence->feature_of,
                                      visual_tokens, limits_.kv_block_tokens);
  sequence->completion.id = request.id;
  sequence->completion.prompt_tokens = static_cast<std::int64_t>(request.ids.size());
  sequence->submitted_s = now_s;
  // Reserved here, since steps allocate nothing.
  sequence->completion.ids.reserve(static_cast<std::size_t>(request.max_new_tokens));
  sequence->blocks.reserve(static_cast<std::size_t>(
      kv_.blocks_for(static_cast<std::int64_t>(request.ids.size()) + request.max_new_tokens)));
  sequence->request = std::move(request);
  use_features(*sequence);
  enqueue(std::move(sequence));
}

void Scheduler::enqueue(std::unique_ptr<Sequence> sequence) {
  auto at = waiting_.end();
  if (options_.longest_first) {
    const auto expected = [](const Sequence& s) {
      return s.request.expected_new_tokens > 0 ? s.request.expected_new_tokens
                                               : s.request.max_new_tokens;
    };
    while (at != waiting_.begin()) {
      Sequence& other = **std::prev(at);
      if (expected(other) >= expected(*sequence) || other.passed_over >= kMostPassedOver) break;
      ++other.passed_over;
      --at;
    }
  }
  waiting_.insert(at, std::move(sequence));
}

void Scheduler::use_features(Sequence& sequence) {
  for (Sequence::Image& image : sequence.images)
    if (image.feature == nullptr) image.feature = &features_.use(image.input, image.visual_tokens);
}

void Scheduler::release_features(Sequence& sequence, std::int64_t up_to) {
  for (Sequence::Image& image : sequence.images)
    if (image.feature != nullptr && !is_read(image, up_to)) {
      unpin(image);
      features_.release(*std::exchange(image.feature, nullptr), [&](Feature& f) { gone(f); });
    }
}

void Scheduler::unpin(Sequence::Image& image) {
  if (std::exchange(image.pinned, false)) --image.feature->pins;
}

bool Scheduler::reserve_features(Sequence& sequence, std::int64_t cached) {
  for (Sequence::Image& image : sequence.images) {
    if (!is_read(image, cached) || image.pinned) continue;
    ++image.feature->pins;
    image.pinned = true;
    if (image.feature->first_row >= 0 || features_.place(*image.feature)) continue;
    for (Sequence::Image& other : sequence.images) unpin(other);
    features_.tidy();
    return false;
  }
  return true;
}

void Scheduler::gone(Feature& feature) {
  if (feature.state == Feature::State::kReady) dropped_.push_back(feature.key);
  if (feature.state < Feature::State::kEncoding) queue_.done(feature.key);
}

Sequence* Scheduler::pixels_arrived(std::uint64_t key, const layers::GridThw& grid) {
  Feature* feature = features_.find(key);
  check(feature != nullptr, "pixels that arrive are awaited");
  if (feature->grid != grid && feature->users > 0) {
    dropped_.push_back(key);
    return pixels_failed(key);
  }
  feature->state = Feature::State::kReady;
  if (feature->users == 0) {
    ++feature->users;
    features_.release(*feature, [&](Feature& f) { gone(f); });
  }
  return nullptr;
}

Sequence* Scheduler::pixels_failed(std::uint64_t key) {
  Feature* feature = features_.find(key);
  check(feature != nullptr, "pixels that fail are awaited");
  queue_.done(key);
  feature->assigned = false;
  Sequence* asked = nullptr;
  bool passed_on = false;
  for (const auto& sequence : waiting_)
    for (const Sequence::Image& image : sequence->images) {
      if (image.feature != feature) continue;
      if (image.input.key == key) {
        asked = sequence.get();
      } else if (!passed_on) {
        // Another sequence shows the same content from another file, which may be readable.
        feature->key = image.input.key;
        passed_on = true;
      }
    }
  if (feature->users == 0) {
    ++feature->users;
    features_.release(*feature, [&](Feature& f) { gone(f); });
  }
  return asked;
}

std::span<const ContentKey> Scheduler::shared_blocks(const Sequence& sequence) const {
  const std::span<const ContentKey> keys = sequence.block_keys;
  // The last token is always computed: it gives the next one.
  const auto most = std::min(
      keys.size(), static_cast<std::size_t>((sequence.tokens() - 1) / limits_.kv_block_tokens));
  return keys.first(static_cast<std::size_t>(kv_.match(keys.first(most))));
}

bool Scheduler::ends_with_awaited(const Sequence& s) {
  return s.awaited > 0 &&
         static_cast<std::int64_t>(s.completion.ids.size()) + s.awaited >= s.request.max_new_tokens;
}

std::int64_t Scheduler::expected_blocks(const Sequence& s) const {
  const auto generated = static_cast<std::int64_t>(s.completion.ids.size());
  return kv_.blocks_for(
      std::min(s.most_tokens(), s.prompt_tokens() + std::max(expected_tokens(s), generated + 1)));
}

std::int64_t Scheduler::expected_tokens(const Sequence& s) const {
  return s.request.expected_new_tokens > 0 ? s.request.expected_new_tokens
                                           : lengths_.tokens(s.request.max_new_tokens);
}

std::int64_t Scheduler::even_rows(std::int64_t decodes) const {
  std::int64_t prompt_tokens = 0, new_tokens = 0;
  for (const auto& s : running_) {
    prompt_tokens += s->prompt_tokens() - s->reused;
    new_tokens += std::min(expected_tokens(*s), s->request.max_new_tokens);
  }
  return limits_.even.rows(decodes, static_cast<std::int64_t>(running_.size()), prompt_tokens,
                           new_tokens, limits_.max_batch_tokens);
}

void Scheduler::plan(StepPlan& plan, PlanRows& rows) {
  plan.clear();
  rows.clear(), drawn_rows_.clear(), whole_rows_.clear();
  ++plans_;
  if (options_.preempt_every > 0 && plans_ % options_.preempt_every == 0 && running_.size() > 1)
    preempt_last();  // never a lone one, which would not come to an end
  assign_images(plan);
  join_encodes(plan);
  encode_images(plan);
  admit();
  choose_chunks();
  std::swap(plan.drop, dropped_);
  std::swap(plan.zero_blocks, zero_blocks_);

  plan.cu_seqlens.push_back(0);
  std::int64_t tokens = 0;
  for (const auto& [sequence, count] : chunks_) {
    tokens += count;
    plan.max_blocks = std::max(plan.max_blocks,
                               static_cast<std::int32_t>(kv_.blocks_for(sequence->cached + count)));
  }
  plan.positions.resize(static_cast<std::size_t>(3 * tokens));
  for (const auto& [sequence, count] : chunks_) add_tokens(plan, *sequence, count, rows);
  plan.argmax_rows = static_cast<std::int32_t>(rows.argmax.size());
  plan.drawn_rows = static_cast<std::int32_t>(rows.drawn.size());
  plan.whole_rows = static_cast<std::int32_t>(rows.whole.size());
  for (const auto* logit_rows : {&drawn_rows_, &whole_rows_})
    plan.logit_rows.insert(plan.logit_rows.end(), logit_rows->begin(), logit_rows->end());
  stats_.waiting = static_cast<std::int64_t>(waiting_.size());
  stats_.running = static_cast<std::int64_t>(running_.size());
  stats_.kv_blocks = kv_.blocks();
  stats_.kv_blocks_held = kv_.blocks() - kv_.available();
  if (options_.check_accounts) check_accounts();
}

void Scheduler::assign_images(StepPlan& plan) {
  std::vector<EncodeQueue::Image> images;
  for (const auto& sequence : waiting_) {
    const bool all_assigned =
        std::ranges::all_of(sequence->images, [](const Sequence::Image& image) {
          return image.feature == nullptr || image.feature->assigned;
        });
    if (all_assigned) continue;
    // Cached blocks that cover an image make its pixels needless.
    const std::int64_t cached = shared_tokens(*sequence);
    for (Sequence::Image& image : sequence->images) {
      if (!is_read(image, cached) || image.feature->assigned) continue;
      image.feature->assigned = true;
      images.push_back({image.feature->key, image.feature->grid});
    }
  }
  if (!images.empty()) plan.prefetch = queue_.assign(images);
}

void Scheduler::join_encodes(StepPlan& plan) {
  // With nothing else to run the decoder waits for the encoder, on the device and not on the host.
  const bool waits = running_.empty();
  const std::int64_t batches = waits ? encodes_ : encodes_passed_;
  if (batches <= encodes_joined_) return;
  if (waits && encodes_passed_ < encodes_) ++stats_.awaited_encodes;
  features_.encoded(batches);
  encodes_joined_ = batches;
  plan.joined_encodes = static_cast<std::int32_t>(batches);
}

void Scheduler::encode_images(StepPlan& plan) {
  const bool beside = options_.encode_beside.value_or(false);
  if (beside && encodes_ - encodes_joined_ >= kEncodesBeside) return;
  encode_load_.assign(static_cast<std::size_t>(ranks_), 0);
  bool full = false;
  for (const auto& sequence : waiting_) {
    if (sequence->images.empty()) continue;
    const std::int64_t cached = shared_tokens(*sequence);
    const bool ready = std::ranges::all_of(sequence->images, [&](const Sequence::Image& image) {
      return !is_read(image, cached) || image.feature->state != Feature::State::kAwaited;
    });
    if (!ready) continue;
    // The buffer fills in the order of the queue: after the first sequence that does not fit, only
    // those that have reserved their rows go on.
    const bool reserved = std::ranges::all_of(sequence->images, [&](const Sequence::Image& image) {
      return !is_read(image, cached) || image.pinned;
    });
    if (!reserved && (full || !reserve_features(*sequence, cached))) {
      full = true;
      continue;
    }
    for (Sequence::Image& image : sequence->images) {
      if (!image.pinned || image.feature->state != Feature::State::kReady) continue;
      Feature& feature = *image.feature;
      const int owner = queue_.owner(feature.key);
      std::int64_t& load = encode_load_[static_cast<std::size_t>(owner)];
      if (load > 0 && load + feature.grid.patches() > limits_.encode_patches) return;
      if (plan.encode.empty()) ++encodes_, ++stats_.encodes;
      feature.batch = encodes_;
      load += feature.grid.patches();
      feature.state = beside ? Feature::State::kEncoding : Feature::State::kEncoded;
      plan.encode.push_back(
          {feature.key, owner, static_cast<std::int32_t>(feature.first_row), feature.grid});
      queue_.done(feature.key);
      ++stats_.encoded_images;
    }
  }
}

void Scheduler::admit() {
  // Blocks that the running sequences are still expected to take.
  std::int64_t promised = 0;
  for (const auto& s : running_)
    promised += std::max<std::int64_t>(
        0, expected_blocks(*s) - static_cast<std::int64_t>(s->blocks.size()));
  for (auto at = waiting_.begin();
       at != waiting_.end() &&
       static_cast<std::int64_t>(running_.size()) < limits_.max_sequences;) {
    Sequence& sequence = **at;
    const std::span<const ContentKey> shared = shared_blocks(sequence);
    const std::int64_t cached = static_cast<std::int64_t>(shared.size()) * limits_.kv_block_tokens;
    const bool encoded = std::ranges::all_of(sequence.images, [&](const Sequence::Image& image) {
      return !is_read(image, cached) ||
             (image.pinned && image.feature->state == Feature::State::kEncoded);
    });
    if (!encoded) {
      ++at;  // later sequences do not wait for its pixels
      continue;
    }
    const std::int64_t expected = expected_blocks(sequence);
    if (expected - kv_.held(shared) > kv_.available() - promised)
      return;  // blocks are given in order, or long sequences would starve
    kv_.share(shared, sequence.blocks);
    promised += expected - static_cast<std::int64_t>(shared.size());
    sequence.cached = sequence.reused = cached;
    stats_.reused_tokens += cached;
    sequence.admission = ++stats_.admitted;
    release_features(sequence, cached);
    running_.splice(running_.end(), waiting_, at++);
  }
}

void Scheduler::preempt_last() {
  Sequence& sequence = *running_.back();
  release_blocks(sequence, false);
  sequence.cached = 0;
  sequence.admission = 0;
  sequence.published = false;
  release_features(sequence, sequence.prompt_tokens());
  if (sequence.completion.ids.empty()) sequence.completion.prompt_logits.clear();
  use_features(sequence);
  waiting_.splice(waiting_.begin(), running_, std::prev(running_.end()));
  ++stats_.preempted;
}

void Scheduler::release_blocks(Sequence& sequence, bool poisoned) {
  // Before its logits are seen, in the middle of a prefill or of a step, a sequence may have left
  // numbers that are not finite.
  if (poisoned || sequence.pending() > 1 || sequence.awaited > 0)
    kv_.discard(sequence.blocks, zero_blocks_);
  else
    kv_.release(sequence.blocks);
}

bool Scheduler::grow(Sequence& sequence, std::int64_t tokens) {
  while (static_cast<std::int64_t>(sequence.blocks.size()) < kv_.blocks_for(tokens))
    if (!kv_.grow(sequence.blocks)) return false;
  return true;
}

void Scheduler::add_decodes(Budget& budget) {
  // In order of admission: where blocks run out, the sequences admitted last give theirs back.
  for (auto at = running_.begin(); at != running_.end() && budget.tokens > 0;) {
    Sequence& sequence = **at;
    if (sequence.pending() != 1 || ends_with_awaited(sequence)) {
      ++at;
      continue;
    }
    bool fits = grow(sequence, sequence.tokens());
    while (!fits && running_.back().get() != &sequence) {
      preempt_last();
      fits = grow(sequence, sequence.tokens());
    }
    ++at;
    if (!fits) {
      preempt_last();
      break;
    }
    chunks_.push_back({&sequence, 1}), --budget.tokens, --budget.logit_rows;
  }
}

void Scheduler::add_prompts(Budget& budget) {
  for (const auto& sequence : running_) {
    if (sequence->pending() <= 1 || budget.tokens == 0 || ends_with_awaited(*sequence)) continue;
    // As many tokens as there are blocks for; sequences that decode keep theirs.
    std::int64_t count = std::min(budget.tokens, sequence->pending());
    if (!grow(*sequence, sequence->cached + count))
      count = std::min(
          count, static_cast<std::int64_t>(sequence->blocks.size()) * limits_.kv_block_tokens -
                     sequence->cached);
    // A traced prompt keeps a row of logits per token: it runs in one piece or waits.
    const bool whole = sequence->request.prompt_logits && sequence->completion.ids.empty();
    const std::int64_t rows = whole ? count : 1;
    if (count == 0 || rows > budget.logit_rows) continue;
    chunks_.push_back({sequence.get(), count});
    budget.tokens -= count, budget.logit_rows -= rows;
  }
}

void Scheduler::choose_chunks() {
  chunks_.clear();
  Budget budget{limits_.max_batch_tokens, limits_.max_logit_rows};
  const bool prompts_alone =
      options_.separate_phases &&
      std::ranges::any_of(running_, [](const auto& s) { return s->pending() > 1; });
  if (!prompts_alone) add_decodes(budget);
  const std::int64_t decodes = limits_.max_batch_tokens - budget.tokens;
  budget.tokens = even_rows(decodes) - decodes;
  add_prompts(budget);
  if (prompts_alone && chunks_.empty()) add_decodes(budget);
  // All blocks are held by prompts that wait for each other: the one admitted first goes on.
  while (chunks_.empty() && running_.size() > 1 &&
         !std::ranges::all_of(running_, [](const auto& s) { return ends_with_awaited(*s); })) {
    preempt_last();
    add_prompts(budget);
  }
}

void Scheduler::add_tokens(StepPlan& plan, Sequence& s, std::int64_t count, PlanRows& rows) {
  const std::int64_t prompt = s.prompt_tokens(), all = s.tokens();
  const bool traced = s.request.prompt_logits && s.completion.ids.empty();
  for (std::int64_t i = 0; i < count; ++i) {
    const std::int64_t at = s.cached + i;
    const auto row = plan.ids.size();
    if (at < prompt)
      add_prompt_token(plan, s, static_cast<std::size_t>(at));
    else
      add_output_token(plan, s, static_cast<std::size_t>(at - prompt), rows);
    plan.slot_mapping.push_back(kv_.slot(s.blocks, at));
    const bool last = at + 1 == all, traced_row = traced && at < prompt;
    if (!last && !traced_row) continue;
    const LogitRow owner{&s, last, s.admission};
    const auto logit_row = static_cast<std::int32_t>(row);
    const Sequence::Choice choice = s.choice();
    if (traced_row || choice == Sequence::Choice::kWhole) {
      rows.whole.push_back(owner), whole_rows_.push_back(logit_row);
    } else if (choice == Sequence::Choice::kDrawn) {
      rows.drawn.push_back(owner), drawn_rows_.push_back(logit_row);
      plan.draws.push_back(
          sample_row_of(s.request.sampling, s.request.sampling_stream, all - prompt));
    } else {
      rows.argmax.push_back(owner), plan.logit_rows.push_back(logit_row);
    }
  }
  s.cached += count;
  if (s.cached == all) ++s.awaited;
  plan.cu_seqlens.push_back(static_cast<std::int32_t>(plan.ids.size()));
  plan.seq_lens.push_back(static_cast<std::int32_t>(s.cached));
  for (std::int32_t block = 0; block < plan.max_blocks; ++block)
    plan.block_table.push_back(static_cast<std::size_t>(block) < s.blocks.size()
                                   ? s.blocks[static_cast<std::size_t>(block)]
                                   : 0);
  // Features that this step reads may be overwritten by later steps.
  release_features(s, s.cached);
}

void Scheduler::publish(const LogitRow& row) {
  Sequence& sequence = *row.sequence;
  if (sequence.published || sequence.admission != row.admission) return;
  sequence.published = true;
  for (std::size_t block = 0; block < sequence.block_keys.size(); ++block)
    kv_.publish(sequence.blocks[block], sequence.block_keys[block]);
}

std::unique_ptr<Sequence> Scheduler::remove(Sequence* sequence, bool poisoned) {
  for (Sequence::Image& image : sequence->images) {
    if (image.feature != nullptr) {
      unpin(image);
      features_.release(*std::exchange(image.feature, nullptr), [&](Feature& f) { gone(f); });
    }
    if (poisoned) features_.discard(image.input.content);
  }
  release_blocks(*sequence, poisoned);
  if (!sequence->completion.error)
    lengths_.add(static_cast<std::int64_t>(sequence->completion.ids.size()));
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

std::vector<Sequence*> Scheduler::all() const {
  std::vector<Sequence*> sequences;
  for (const auto* list : {&waiting_, &running_})
    for (const auto& sequence : *list) sequences.push_back(sequence.get());
  return sequences;
}

void Scheduler::check_accounts() const {
  std::vector<const std::vector<std::int32_t>*> tables;
  for (const auto& sequence : running_) tables.push_back(&sequence->blocks);
  for (const auto& sequence : waiting_)
    check(sequence->blocks.empty(), "a waiting sequence holds no blocks");
  kv_.check_accounts(tables);
  std::vector<const Feature*> used, pinned;
  for (const Sequence* sequence : all())
    for (const Sequence::Image& image : sequence->images) {
      if (image.feature != nullptr) used.push_back(image.feature);
      if (image.pinned) pinned.push_back(image.feature);
    }
  features_.check_accounts(used, pinned);
}

}  // namespace retinue::runtime
