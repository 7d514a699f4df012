#include "runtime/engine/rank.h"

#include "layers/ops/top_k.h"

#include <algorithm>
#include <cstring>
#include <utility>

namespace retinue::runtime {

namespace {

template <class T>
ConstTensorView view_of(const std::vector<T>& values, Shape shape) {
  return {reinterpret_cast<const std::byte*>(values.data()), dtype_of<T>(), shape};
}
ConstTensorView list_of(const std::vector<std::int32_t>& values) {
  return view_of(values, Shape{static_cast<std::int64_t>(values.size())});
}

template <std::size_t size>
void copy_text(const std::string& text, std::array<char, size>& to) {
  to.fill('\0');
  std::copy_n(text.begin(), std::min(text.size(), size - 1), to.begin());
}

}  // namespace

void EngineRank::exchange_reports(std::vector<RankReport>& at_lead) {
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
  at_lead.assign(leads() ? static_cast<std::size_t>(ranks) : 0, report);
  if (ranks == 1) return;
  constexpr auto kSize = static_cast<std::int64_t>(sizeof(RankReport));
  const std::vector<std::int64_t> rows(static_cast<std::size_t>(ranks), 1);
  const ConstTensorView mine(reinterpret_cast<const std::byte*>(&report), DType::kU8,
                             Shape{1, kSize});
  const TensorView all(reinterpret_cast<std::byte*>(at_lead.data()), DType::kU8,
                       Shape{leads() ? ranks : 0, kSize});
  model_.axis().comm->gather(ctx_.stream(), mine, all, rows, 0);
}

void EngineRank::share(StepPlan& plan) {
  if (model_.axis().size > 1) {
    if (leads()) plan.serialize(words_);
    broadcast_container(*model_.axis().comm, words_);
    if (!leads()) plan.parse(words_);
  }
  for (const OwnedItem& item : plan.prefetch)
    if (item.owner == model_.axis().rank) {
      pixels_.prefetch(item.key);
      awaited_.push_back(item.key);
    }
  for (const std::uint64_t key : plan.drop) patches_.erase(key);
}

void EngineRank::execute(const StepPlan& plan, StepResult& result) {
  result = {};
  ++stats_.steps;
  if (plan.idle()) ++stats_.idle_steps;
  const double begin = clock_.now_s();
  if (!plan.encode.empty()) encode(plan);
  const double encoded = clock_.now_s();
  stats_.encode_s += encoded - begin;
  stats_.tokens += static_cast<std::int64_t>(plan.ids.size());
  if (!plan.ids.empty()) decode(plan, result);
}

void EngineRank::encode(const StepPlan& plan) {
  std::vector<layers::GridThw> mine;
  std::vector<layers::ExchangedImage> images;
  const std::int64_t merge_unit = model_.config().vision.merge_unit();
  staging_.clear();
  for (const EncodeItem& item : plan.encode) {
    images.push_back({item.owner, item.grid.patches() / merge_unit, item.first_row});
    if (item.owner != model_.axis().rank) continue;
    const auto found = patches_.find(item.key);
    check(found != patches_.end(), "an item is encoded where its pixels are");
    check(found->second.grid_thw == item.grid,
          "the pixels have the grid that the prompt was built for");
    mine.push_back(item.grid);
    staging_.insert(staging_.end(), found->second.pixels.begin(), found->second.pixels.end());
    stats_.patches += item.grid.patches();
    ++stats_.items;
    patches_.erase(found);
  }
  const std::int64_t width = model_.config().vision.patch_width();
  model_.encode(ctx_,
                view_of(staging_, Shape{static_cast<std::int64_t>(staging_.size()) / width, width}),
                mine, images);
}

void EngineRank::decode(const StepPlan& plan, StepResult& result) {
  const double begin = clock_.now_s();
  const auto tokens = static_cast<std::int64_t>(plan.ids.size());
  const auto seqs = static_cast<std::int64_t>(plan.seq_lens.size());
  layers::StepInputs inputs;
  inputs.ids = list_of(plan.ids);
  inputs.positions = view_of(plan.positions, Shape{3, tokens});
  inputs.slot_mapping = list_of(plan.slot_mapping);
  inputs.block_table = view_of(plan.block_table, Shape{seqs, plan.max_blocks});
  inputs.cu_seqlens = list_of(plan.cu_seqlens);
  inputs.seq_lens = list_of(plan.seq_lens);
  inputs.visual_sources = list_of(plan.visual_sources);
  inputs.visual_rows = list_of(plan.visual_rows);
  inputs.logit_rows = list_of(plan.logit_rows);

  Frame frame(ctx_);
  TensorView logits = ctx_.alloc(
      {static_cast<std::int64_t>(plan.logit_rows.size()), model_.vocab_per_rank()}, model_.dtype());
  model_.forward(ctx_, inputs, logits);
  const double forwarded = clock_.now_s();
  stats_.forward_s += forwarded - begin;
  if (plan.argmax_rows > 0) gather_largest(logits.rows(0, plan.argmax_rows), result);
  if (plan.whole_rows > 0) gather_whole(logits.rows(plan.argmax_rows, plan.whole_rows), result);
  stats_.sample_s += clock_.now_s() - forwarded;
}

void EngineRank::gather_largest(TensorView logits, StepResult& result) {
  const std::int64_t rows = logits.dim(0);
  const auto ranks = static_cast<std::size_t>(model_.axis().size);
  std::vector<float> values(static_cast<std::size_t>(rows) * (leads() ? ranks + 1 : 1));
  std::vector<std::int32_t> ids(values.size());
  const Shape own{rows, 1};
  const TensorView my_values(reinterpret_cast<std::byte*>(values.data()), DType::kF32, own);
  const TensorView my_ids(reinterpret_cast<std::byte*>(ids.data()), DType::kI32, own);
  ops::top_k(ctx_, logits, model_.first_id(), my_values, my_ids);
  if (ranks > 1) {
    const std::vector<std::int64_t> counts(ranks, rows);
    const Shape all{leads() ? static_cast<std::int64_t>(ranks) * rows : 0, 1};
    Communicator& comm = *model_.axis().comm;
    comm.gather(ctx_.stream(), my_values,
                TensorView(reinterpret_cast<std::byte*>(values.data() + rows), DType::kF32, all),
                counts, 0);
    comm.gather(ctx_.stream(), my_ids,
                TensorView(reinterpret_cast<std::byte*>(ids.data() + rows), DType::kI32, all),
                counts, 0);
  }
  if (!leads()) return;
  for (std::size_t row = 0; row < static_cast<std::size_t>(rows); ++row) {
    std::size_t best = row;
    // Ranks hold rising ids, so the first of equal values is the lowest id.
    for (std::size_t r = 1; ranks > 1 && r <= ranks; ++r)
      if (const std::size_t at = r * static_cast<std::size_t>(rows) + row;
          values[at] > values[best] || values[best] != values[best])
        best = at;
    result.largest.push_back(values[best]);
    result.largest_ids.push_back(ids[best]);
  }
}

void EngineRank::gather_whole(TensorView logits, StepResult& result) {
  const std::int64_t rows = logits.dim(0),
                     width_bytes = model_.vocab_per_rank() *
                                   static_cast<std::int64_t>(size_bytes(model_.dtype()));
  const auto ranks = static_cast<std::int64_t>(model_.axis().size);
  if (ranks == 1) {
    result.whole.assign(logits.bytes(), logits.bytes() + logits.size_bytes());
    return;
  }
  std::vector<std::byte> by_rank(leads() ? static_cast<std::size_t>(ranks * rows * width_bytes)
                                         : 0);
  const std::vector<std::int64_t> counts(static_cast<std::size_t>(ranks), rows);
  model_.axis().comm->gather(
      ctx_.stream(), ConstTensorView(logits.bytes(), DType::kU8, Shape{rows, width_bytes}),
      TensorView(by_rank.data(), DType::kU8, Shape{leads() ? ranks * rows : 0, width_bytes}),
      counts, 0);
  if (!leads()) return;
  result.whole.resize(by_rank.size());
  for (std::int64_t row = 0; row < rows; ++row)
    for (std::int64_t r = 0; r < ranks; ++r)
      std::memcpy(result.whole.data() + (row * ranks + r) * width_bytes,
                  by_rank.data() + (r * rows + row) * width_bytes,
                  static_cast<std::size_t>(width_bytes));
}

}  // namespace retinue::runtime
