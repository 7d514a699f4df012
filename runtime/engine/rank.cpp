#include "runtime/engine/rank.h"

#include "layers/ops/top_k.h"
#include "runtime/engine/draw.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <functional>
#include <span>
#include <utility>

namespace retinue::runtime {

namespace {

/// The results' host copy has a column of four bytes per row each for the largest values, their ids,
/// the drawn ids and their logprobs, then the whole rows.
constexpr std::int64_t kColumnBytes = 4, kColumns = 4;

/// Bytes of the results' host copy. None on CPU, which reads them in place.
std::int64_t result_bytes(const EngineLimits& limits, std::int64_t vocab_per_rank, DType dtype,
                          Device device) {
  if (device.type == DeviceType::kCpu) return 0;
  const std::int64_t row = vocab_per_rank * static_cast<std::int64_t>(size_bytes(dtype));
  return limits.max_logit_rows * (kColumns * kColumnBytes + row);
}
std::int64_t draws_bytes(const EngineLimits& limits) {
  return limits.max_logit_rows * static_cast<std::int64_t>(sizeof(ops::SampleRow));
}
std::int64_t block_bytes(const EngineLimits& limits) {
  return static_cast<std::int64_t>(StepBlock(StepSizes::largest(limits)).size_bytes());
}

template <std::size_t size>
void copy_text(const std::string& text, std::array<char, size>& to) {
  to.fill('\0');
  std::copy_n(text.begin(), std::min(text.size(), size - 1), to.begin());
}

}  // namespace

EngineRank::EngineRank(const EngineParts& parts)
    : ctx_(parts.ctx),
      vision_(parts.vision != nullptr ? *parts.vision : parts.ctx),
      model_(parts.model),
      limits_(parts.limits),
      control_(parts.control),
      pixels_(parts.pixels),
      clock_(parts.clock),
      inputs_(parts.ledger, ctx_.device(), static_cast<std::size_t>(block_bytes(limits_))),
      patch_rows_(
          parts.ledger, ctx_.device(),
          static_cast<std::size_t>(limits_.encode_patches * model_.config().vision.patch_width())),
      draws_(parts.ledger, ctx_.device(), static_cast<std::size_t>(draws_bytes(limits_))),
      results_(
          Buffer::staging(parts.ledger, ctx_.device(),
                          static_cast<std::size_t>(result_bytes(limits_, model_.vocab_per_rank(),
                                                                model_.dtype(), ctx_.device())))),
      encoded_{Event(ctx_.device()), Event(ctx_.device())} {}

std::int64_t EngineRank::staging_bytes(const EngineLimits& limits,
                                       const layers::ModelConfig& config, DType dtype,
                                       Device device, int tensor) {
  return StagingRing::bytes(block_bytes(limits)) +
         StagingRing::bytes(limits.encode_patches * config.vision.patch_width()) +
         StagingRing::bytes(draws_bytes(limits)) +
         result_bytes(limits, layers::vocab_slice(config.text.vocab_size, 0, tensor).count, dtype,
                      device);
}

void EngineRank::exchange_reports(std::vector<RankReport>& at_leader) {
  RankReport report{};
  for (std::size_t i = 0;
       i < awaited_.size() && report.count < static_cast<std::int32_t>(RankReport::kEntries);) {
    const std::uint64_t key = awaited_[i];
    auto taken = pixels_.take(key);
    if (!taken) {
      ++i;
      continue;
    }
    awaited_.erase(awaited_.begin() + static_cast<std::ptrdiff_t>(i));
    RankReport::Entry& entry = report.entries[static_cast<std::size_t>(report.count++)];
    entry.key = key;
    if (taken->ok()) {
      entry.grid = taken->value().grid_thw;
      patches_.emplace(key, std::move(*taken).value());
    } else {
      entry.failed = 1;
      copy_text(taken->error().stage, entry.stage);
      copy_text(taken->error().message, entry.message);
    }
  }
  const int ranks = model_.axis().size;
  at_leader.assign(is_leader() ? static_cast<std::size_t>(ranks) : 0, report);
  if (ranks == 1) return;
  constexpr auto kSize = static_cast<std::int64_t>(sizeof(RankReport));
  rows_per_rank_.assign(static_cast<std::size_t>(ranks), 1);
  const ConstTensorView mine(reinterpret_cast<const std::byte*>(&report), DType::kU8,
                             Shape{1, kSize});
  const TensorView all(reinterpret_cast<std::byte*>(at_leader.data()), DType::kU8,
                       Shape{is_leader() ? ranks : 0, kSize});
  control_.gather(Stream{Device{}}, mine, all, rows_per_rank_, 0);
}

void EngineRank::share(StepPlan& plan) {
  if (model_.axis().size > 1) {
    if (is_leader()) plan.serialize(words_);
    broadcast_container(control_, words_);
    if (!is_leader()) plan.parse(words_);
  }
  for (const OwnedImage& image : plan.prefetch)
    if (image.owner == model_.axis().rank) {
      pixels_.prefetch(image.key);
      awaited_.push_back(image.key);
    }
  for (const std::uint64_t key : plan.drop) patches_.erase(key);
}

void EngineRank::launch(const StepPlan& plan) {
  ++stats_.steps;
  if (plan.idle()) ++stats_.idle_steps;
  model_.zero_blocks(ctx_, plan.zero_blocks);
  // Before this plan's own batch reuses the event of a joined one.
  if (plan.joined_encodes > 0) {
    event_of(plan.joined_encodes).hold(ctx_.stream());
    encodes_passed_ = std::max<std::int64_t>(encodes_passed_, plan.joined_encodes);
  }
  // On a stream of its own, enqueuing the encoder's copies and kernels would hold up the decoder.
  const bool beside = &vision_ != &ctx_;
  if (!beside) encode(plan);
  decode(plan);
  if (beside) encode(plan);
  stats_.tokens += static_cast<std::int64_t>(plan.ids.size());
  stats_.logit_rows += static_cast<std::int64_t>(plan.logit_rows.size());
  for (std::size_t s = 0; s < plan.seq_lens.size(); ++s)
    stats_.attended_keys +=
        std::int64_t{plan.seq_lens[s]} * (plan.cu_seqlens[s + 1] - plan.cu_seqlens[s]);
}

void EngineRank::count_forward(const StepPlan& plan, double seconds) {
  stats_.forward_s += seconds;
  if (plan.ids.size() > plan.seq_lens.size()) stats_.prefill_s += seconds;
}

void EngineRank::finish(const StepPlan& plan, StepResult& result) {
  result.clear();
  const double begin = clock_.now_s();
  wait(ctx_.stream(), model_.axis().comm);
  const double waited = clock_.now_s();
  count_forward(plan, waited - begin);
  if (plan.argmax_rows + plan.drawn_rows > 0) {
    const auto rows = static_cast<std::size_t>(plan.argmax_rows + plan.drawn_rows);
    gather_largest({reinterpret_cast<const float*>(values_), rows},
                   {reinterpret_cast<const std::int32_t*>(ids_), rows}, result);
  }
  if (is_leader())
    for (std::int32_t row = 0; row < plan.drawn_rows; ++row)
      result.drawn.push_back({reinterpret_cast<const std::int32_t*>(drawn_ids_)[row],
                              reinterpret_cast<const float*>(drawn_logprobs_)[row]});
  if (plan.whole_rows > 0) gather_whole(whole_, plan.whole_rows, result);
  stats_.sample_s += clock_.now_s() - waited;
}

void EngineRank::encode(const StepPlan& plan) {
  if (plan.encode.empty()) return;
  const double begin = clock_.now_s();
  my_grids_.clear(), images_.clear();
  const std::int64_t merge_unit = model_.config().vision.merge_unit();
  std::byte* const staged = patch_rows_.next();
  std::byte* end = staged;
  for (const ImageToEncode& image : plan.encode) {
    images_.push_back({image.owner, image.grid.patches() / merge_unit, image.first_row});
    if (image.owner != model_.axis().rank) continue;
    const auto found = patches_.find(image.key);
    check(found != patches_.end(), "an image is encoded on the rank that has its pixels");
    check(found->second.grid_thw == image.grid,
          "the pixels have the grid that the prompt was built for");
    my_grids_.push_back(image.grid);
    const auto pixels = std::as_bytes(std::span(found->second.pixels));
    check(pixels.size() <= patch_rows_.piece_bytes() - static_cast<std::size_t>(end - staged),
          "the patches of a step are no more than planned");
    end = std::ranges::copy(pixels, end).out;
    stats_.patches += image.grid.patches();
    ++stats_.images;
    patches_.erase(found);
  }
  Frame frame(vision_);
  const std::int64_t width = model_.config().vision.patch_width();
  const std::byte* const patches = upload(vision_, staged, static_cast<std::size_t>(end - staged));
  patch_rows_.enqueued(vision_.stream());
  model_.encode(vision_, ConstTensorView(patches, DType::kU8, Shape{(end - staged) / width, width}),
                my_grids_, images_);
  event_of(++encodes_).record(vision_.stream());
  stats_.encode_s += clock_.now_s() - begin;
}

std::int64_t EngineRank::encodes_passed() {
  while (encodes_passed_ < encodes_ && event_of(encodes_passed_ + 1).passed()) ++encodes_passed_;
  return encodes_passed_;
}

void EngineRank::wait_for_encodes() {
  if (encodes_ > encodes_passed_) wait(vision_.stream(), model_.axis().exchange);
}

void EngineRank::forward(const StepPlan& plan, const StepBlock& block, TensorView logits) {
  check(block.size_bytes() <= inputs_.piece_bytes(), "a step's inputs are no more than planned");
  std::byte* const staged = inputs_.next();
  block.fill(plan, staged);
  const layers::StepInputs inputs = block.views(upload(ctx_, staged, block.size_bytes()));
  inputs_.enqueued(ctx_.stream());
  const auto work = [&] { model_.forward(ctx_, inputs, logits); };
  // A step that is observed on the way, or that waits after each op, cannot be replayed.
  if (!is_decode_only(plan) || ctx_.has_stage_sink() || ctx_.waits_after_ops()) return work();
  const StepSizes& sizes = block.sizes();
  const auto key =
      static_cast<std::uint64_t>(sizes.tokens) << 32 | static_cast<std::uint64_t>(sizes.max_blocks);
  graphs_.run(ctx_.stream(), key, std::cref(work));
  stats_.replayed_steps = static_cast<std::int64_t>(graphs_.replayed());
}

void EngineRank::decode(const StepPlan& plan) {
  if (plan.ids.empty()) return;
  const double begin = clock_.now_s();
  const StepSizes sizes = StepSizes::of(plan);
  // On CPU nothing is recorded, so padding would be wasted work.
  const bool padded = ctx_.device().type != DeviceType::kCpu && is_decode_only(plan);
  const StepBlock block(padded ? padded_decode(sizes, limits_) : sizes);
  Frame frame(ctx_);
  // Allocated first: a recorded step finds logits and inputs at addresses that its sizes fix.
  const TensorView logits =
      ctx_.alloc({block.sizes().logit_rows, model_.vocab_per_rank()}, model_.dtype());
  forward(plan, block, logits);

  // A drawn row's largest shows whether the row is finite.
  const std::int64_t largest_rows = plan.argmax_rows + plan.drawn_rows;
  if (largest_rows > 0) {
    const Shape column{largest_rows, 1};
    const TensorView largest = ctx_.alloc(column, DType::kF32);
    const TensorView largest_ids = ctx_.alloc(column, DType::kI32);
    ops::top_k(ctx_, logits.rows(0, largest_rows), model_.first_id(), largest, largest_ids);
    values_ = download(ctx_, largest, result_column(0));
    ids_ = download(ctx_, largest_ids, result_column(1));
  }
  if (plan.drawn_rows > 0) draw_rows(plan, logits.rows(plan.argmax_rows, plan.drawn_rows));
  if (plan.whole_rows > 0)
    whole_ = download(ctx_, logits.rows(largest_rows, plan.whole_rows), result_column(kColumns));
  count_forward(plan, clock_.now_s() - begin);
}

void EngineRank::draw_rows(const StepPlan& plan, ConstTensorView logits) {
  Drawing drawing;
  if (is_leader()) {
    const auto draws = std::as_bytes(std::span(plan.draws));
    check(draws.size() == static_cast<std::size_t>(plan.drawn_rows) * sizeof(ops::SampleRow),
          "a drawn row has its parameters");
    std::byte* const staged = draws_.next();
    std::ranges::copy(draws, staged);
    drawing = Drawing(ctx_, upload(ctx_, staged, draws.size()), plan.drawn_rows);
    draws_.enqueued(ctx_.stream());
  }
  draw(ctx_, model_.axis(), model_.config().text.vocab_size, logits, drawing);
  if (!is_leader()) return;
  drawn_ids_ = download(ctx_, drawing.ids, result_column(2));
  drawn_logprobs_ = download(ctx_, drawing.logprobs, result_column(3));
}

std::byte* EngineRank::result_column(std::int64_t column) {
  return results_.data() + column * limits_.max_logit_rows * kColumnBytes;
}

void EngineRank::wait(const Stream& stream, Communicator* comm) {
  if (comm != nullptr)
    comm->wait(stream);
  else
    stream.synchronize();
}

void EngineRank::gather_largest(std::span<const float> values, std::span<const std::int32_t> ids,
                                StepResult& result) {
  const std::size_t rows = values.size();
  mine_.clear();
  for (std::size_t row = 0; row < rows; ++row) mine_.push_back({values[row], ids[row]});
  const auto ranks = static_cast<std::size_t>(model_.axis().size);
  // [ranks, rows] at the leader.
  candidates_.resize(is_leader() ? ranks * rows : 0);
  rows_per_rank_.assign(ranks, static_cast<std::int64_t>(rows));
  constexpr auto kSize = static_cast<std::int64_t>(sizeof(Candidate));
  control_.gather(Stream{Device{}},
                  ConstTensorView(reinterpret_cast<const std::byte*>(mine_.data()), DType::kU8,
                                  Shape{static_cast<std::int64_t>(rows), kSize}),
                  TensorView(reinterpret_cast<std::byte*>(candidates_.data()), DType::kU8,
                             Shape{static_cast<std::int64_t>(candidates_.size()), kSize}),
                  rows_per_rank_, 0);
  if (!is_leader()) return;
  for (std::size_t row = 0; row < rows; ++row) {
    Candidate best = candidates_[row];
    // Ranks hold rising ids, so the first of equal values has the lowest id. A NaN wins, so that
    // the leader sees it and fails the sequence.
    for (std::size_t at = row + rows; at < candidates_.size(); at += rows)
      if (candidates_[at].value > best.value || std::isnan(candidates_[at].value))
        best = candidates_[at];
    result.largest.push_back(best.value);
    result.largest_ids.push_back(best.id);
  }
}

void EngineRank::gather_whole(const std::byte* logits, std::int64_t rows, StepResult& result) {
  const std::int64_t width_bytes =
      model_.vocab_per_rank() * static_cast<std::int64_t>(size_bytes(model_.dtype()));
  const auto ranks = static_cast<std::int64_t>(model_.axis().size);
  if (ranks == 1) {
    result.whole.assign(logits, logits + rows * width_bytes);
    return;
  }
  const std::int64_t vocab = model_.config().text.vocab_size;
  const auto element = static_cast<std::int64_t>(size_bytes(model_.dtype()));
  rows_per_rank_.clear();  // here: bytes of each
  for (int r = 0; r < static_cast<int>(ranks); ++r)
    rows_per_rank_.push_back(rows * layers::vocab_slice(vocab, r, static_cast<int>(ranks)).count *
                             element);
  const std::int64_t all_bytes = is_leader() ? rows * vocab * element : 0;
  by_rank_.resize(static_cast<std::size_t>(all_bytes));
  control_.gather(Stream{Device{}},
                  ConstTensorView(logits, DType::kU8, Shape{rows * width_bytes, 1}),
                  TensorView(by_rank_.data(), DType::kU8, Shape{all_bytes, 1}), rows_per_rank_, 0);
  if (!is_leader()) return;
  result.whole.resize(by_rank_.size());
  const std::byte* from = by_rank_.data();
  std::byte* to = result.whole.data();
  for (const std::int64_t rank_bytes : rows_per_rank_) {
    const std::int64_t bytes = rank_bytes / rows;
    for (std::int64_t row = 0; row < rows; ++row, from += bytes)
      std::memcpy(to + row * vocab * element, from, static_cast<std::size_t>(bytes));
    to += bytes;
  }
}

}  // namespace retinue::runtime
