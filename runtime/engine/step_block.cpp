#include "runtime/engine/step_block.h"

#include "parallel/base/check.h"

#include <algorithm>
#include <bit>
#include <span>

namespace retinue::runtime {

namespace {

constexpr std::int64_t round_up(std::int64_t n, std::int64_t to) { return (n + to - 1) / to * to; }

}  // namespace

StepSizes StepSizes::of(const StepPlan& plan) {
  return {.tokens = static_cast<std::int64_t>(plan.ids.size()),
          .seqs = static_cast<std::int64_t>(plan.seq_lens.size()),
          .max_blocks = plan.max_blocks,
          .visual_rows = static_cast<std::int64_t>(plan.visual_rows.size()),
          .logit_rows = static_cast<std::int64_t>(plan.logit_rows.size())};
}

StepSizes StepSizes::largest(const EngineLimits& limits) {
  const std::int64_t tokens = limits.max_batch_tokens;
  return {.tokens = tokens,
          .seqs = std::min(limits.max_sequences, tokens),
          .max_blocks =
              (limits.max_sequence_tokens + limits.kv_block_tokens - 1) / limits.kv_block_tokens,
          // More than the feature rows: several sequences of a step may show the same image.
          .visual_rows = tokens,
          .logit_rows = limits.max_logit_rows};
}

bool is_decode_only(const StepPlan& plan) {
  const std::size_t tokens = plan.ids.size();
  return tokens > 0 && plan.seq_lens.size() == tokens && plan.logit_rows.size() == tokens &&
         plan.visual_rows.empty();
}

StepSizes padded_decode(const StepSizes& sizes, const EngineLimits& limits) {
  const StepSizes largest = StepSizes::largest(limits);
  const std::int64_t rows = sizes.tokens;
  const std::int64_t padded =
      rows <= 4    ? static_cast<std::int64_t>(std::bit_ceil(static_cast<std::uint64_t>(rows)))
      : rows <= 64 ? round_up(rows, 8)
                   : round_up(rows, 32);
  const auto spans =
      static_cast<std::uint64_t>((sizes.max_blocks * limits.kv_block_tokens + 511) / 512);
  const auto blocks =
      static_cast<std::int64_t>(std::bit_ceil(spans)) * 512 / limits.kv_block_tokens;
  const std::int64_t most = std::min({largest.seqs, largest.logit_rows, largest.tokens});
  StepSizes out;
  out.tokens = out.seqs = out.logit_rows = std::max(rows, std::min(padded, most));
  out.max_blocks = std::max(sizes.max_blocks, std::min(blocks, largest.max_blocks));
  return out;
}

StepBlock::StepBlock(const StepSizes& sizes)
    : sizes_(sizes), shapes_{Shape{sizes.tokens},      Shape{3, sizes.tokens},
                             Shape{sizes.tokens},      Shape{sizes.seqs, sizes.max_blocks},
                             Shape{sizes.seqs + 1},    Shape{sizes.seqs},
                             Shape{sizes.visual_rows}, Shape{sizes.visual_rows},
                             Shape{sizes.logit_rows}} {
  for (std::size_t list = 0; list < kLists; ++list) {
    offsets_[list] = size_bytes_;
    size_bytes_ += static_cast<std::size_t>(
        round_up(shapes_[list].numel() * static_cast<std::int64_t>(sizeof(std::int32_t)), 64));
  }
}

void StepBlock::fill(const StepPlan& plan, std::byte* block) const {
  const StepSizes own = StepSizes::of(plan);
  const std::int64_t padding = sizes_.tokens - own.tokens;
  check(padding == 0 || is_decode_only(plan), "only decode-only steps are padded");
  const auto at = [&](List list) {
    return reinterpret_cast<std::int32_t*>(block + offsets_[list]);
  };
  const auto repeat_last = [&](std::span<const std::int32_t> values, std::int32_t* to) {
    to = std::copy(values.begin(), values.end(), to);
    if (padding > 0) std::fill_n(to, padding, values.back());
  };
  repeat_last(plan.ids, at(kIds));
  const std::span<const std::int32_t> positions = plan.positions;
  for (std::int64_t axis = 0; axis < 3; ++axis)
    repeat_last(positions.subspan(static_cast<std::size_t>(axis * own.tokens),
                                  static_cast<std::size_t>(own.tokens)),
                at(kPositions) + axis * sizes_.tokens);
  repeat_last(plan.slot_mapping, at(kSlotMapping));
  repeat_last(plan.seq_lens, at(kSeqLens));
  repeat_last(plan.logit_rows, at(kLogitRows));
  std::int32_t* table = at(kBlockTable);
  for (std::int64_t seq = 0; seq < sizes_.seqs; ++seq) {
    const auto row = plan.block_table.begin() + std::min(seq, own.seqs - 1) * own.max_blocks;
    table = std::copy_n(row, own.max_blocks, table);
    table = std::fill_n(table, sizes_.max_blocks - own.max_blocks, 0);
  }
  std::int32_t* cu_seqlens = std::ranges::copy(plan.cu_seqlens, at(kCuSeqlens)).out;
  for (std::int64_t row = 1; row <= padding; ++row)
    *cu_seqlens++ = static_cast<std::int32_t>(own.tokens + row);
  std::ranges::copy(plan.visual_sources, at(kVisualSources));
  std::ranges::copy(plan.visual_rows, at(kVisualRows));
}

layers::StepInputs StepBlock::views(const std::byte* block) const {
  const auto view = [&](List list) {
    return ConstTensorView(block == nullptr ? nullptr : block + offsets_[list], DType::kI32,
                           shapes_[list]);
  };
  return {.ids = view(kIds),
          .positions = view(kPositions),
          .slot_mapping = view(kSlotMapping),
          .block_table = view(kBlockTable),
          .cu_seqlens = view(kCuSeqlens),
          .seq_lens = view(kSeqLens),
          .visual_sources = view(kVisualSources),
          .visual_rows = view(kVisualRows),
          .logit_rows = view(kLogitRows)};
}

}  // namespace retinue::runtime
