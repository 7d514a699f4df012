#include "runtime/engine/engine_plan.h"

#include "layers/spec/computation.h"
#include "parallel/device/staging.h"
#include "runtime/engine/draw.h"
#include "runtime/engine/rank.h"
#include "runtime/engine/step_block.h"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>

namespace retinue::runtime {

namespace {

/// Sequences that run at once on CPUs, where arithmetic bounds steps of a few rows already.
constexpr std::int64_t kCpuSequences = 32;
/// By their data sheets H100 and H200 multiply 170 to 270 rows in the time in which they read the
/// weights. Their products have tiles of 128 rows.
constexpr EvenSteps kGpuSteps{.ridge_rows = 256, .tile_rows = 128};
/// Rows of a step where the job says nothing: at least so many that a prompt passes in few steps, and
/// at most so many that what a step costs beside its rows (reading weights, waiting for other
/// ranks) is a few percent of it.
constexpr std::int64_t kFewestRows = 2048, kMostRows = 4096;
/// Features are held for one prompt's images, and beyond these for at most this many visual tokens.
constexpr std::int64_t kSharedFeatureRows = 16384;

constexpr std::int64_t ceil_div(std::int64_t n, std::int64_t by) { return (n + by - 1) / by; }

/// KV blocks of the longest sequence.
std::int64_t longest_blocks(const EngineLimits& limits) {
  return ceil_div(limits.max_sequence_tokens, limits.kv_block_tokens);
}

/// Runs the largest exchange of images that the limits allow.
void encode_most(Context& on, layers::Qwen3Vl& model, const EngineLimits& limits) {
  const layers::VisionConfig& config = model.config().vision;
  // One image of all the patches: attention's scratch grows with the longest slice.
  const std::int64_t patches = limits.encode_patches;
  const layers::GridThw grid{1, config.spatial_merge_size, patches / config.spatial_merge_size};
  // Every rank may encode as much in one exchange, and all of it is gathered.
  const std::int64_t mine = patches / config.merge_unit();
  std::vector<layers::ExchangedImage> images = {{0, mine, 0}};
  for (std::int64_t r = 1, left = limits.feature_rows - mine; r < model.axis().size && left > 0;
       ++r) {
    images.push_back({static_cast<int>(r), std::min(mine, left), 0});
    left -= images.back().visual_tokens;
  }
  const std::vector<layers::GridThw> grids = {grid};
  Frame frame(on);
  const Shape rows{patches, config.patch_width()};
  const std::byte* const at = upload(on, nullptr, static_cast<std::size_t>(rows.numel()));
  model.encode(on, ConstTensorView(at, DType::kU8, rows), grids, images);
}

/// Runs the largest steps that the limits allow through a planned model and returns its peaks.
EnginePlan measure(const layers::ModelConfig& config, const layers::Computation& computation,
                   Device device, int tensor, int threads, const EngineLimits& limits) {
  const bool beside = device.type != DeviceType::kCpu;
  Context ctx = Context::plan(device, threads), vision = Context::plan(device, threads);
  MemoryLedger ledger;
  layers::TensorAxis axis;
  axis.size = tensor;
  layers::ModelOptions options;
  options.computation = computation;
  options.kv_blocks = limits.kv_blocks, options.kv_block_size = limits.kv_block_tokens;
  options.feature_rows = limits.feature_rows;
  options.pixel_values.resize(static_cast<std::size_t>(config.vision.in_channels * 256));
  layers::Qwen3Vl model(ctx, ledger, config, axis, nullptr, options);

  if (limits.encode_patches > 0) encode_most(beside ? vision : ctx, model, limits);
  {
    Frame frame(ctx);
    const StepBlock block(StepSizes::largest(limits));
    const TensorView logits =
        ctx.alloc({block.sizes().logit_rows, model.vocab_per_rank()}, model.dtype());
    const std::byte* const at = upload(ctx, nullptr, block.size_bytes());
    model.forward(ctx, block.views(at), logits);
    const std::int64_t rows = logits.dim(0);
    const auto draws = static_cast<std::size_t>(rows) * sizeof(ops::SampleRow);
    draw(ctx, axis, config.text.vocab_size, logits,
         Drawing(ctx, upload(ctx, nullptr, draws), rows));
  }
  EnginePlan plan;
  plan.limits = limits;
  plan.weight_bytes = model.weight_bytes();
  plan.kv_bytes = model.kv_bytes();
  plan.feature_bytes = model.feature_bytes();
  plan.activation_bytes = static_cast<std::int64_t>(ctx.arena().peak_bytes());
  plan.scratch_bytes = static_cast<std::int64_t>(ctx.peak_scratch_bytes());
  plan.vision_activation_bytes = static_cast<std::int64_t>(vision.arena().peak_bytes());
  plan.vision_scratch_bytes = static_cast<std::int64_t>(vision.peak_scratch_bytes());
  plan.staging_bytes = EngineRank::staging_bytes(limits, config, computation.dtype, device, tensor);
  plan.device = device.type;
  if (device.type == DeviceType::kCuda) {
    plan.driver_bytes = kDriverBytes;
    if (tensor > 1)
      plan.communication_bytes =
          static_cast<std::int64_t>(nccl_scratch_bytes(
              tensor, computation.ordered ? Reduce::kOrdered : Reduce::kLibrary)) +
          kNcclCommunicators * kNcclBytes;
  }
  return plan;
}

/// The limits that do not depend on memory. On a GPU max_sequences may grow.
EngineLimits limits_of(const layers::ModelConfig& config, Device device, int tensor,
                       const EngineSizing& sizing) {
  const std::int64_t merge_unit = config.vision.merge_unit();
  EngineLimits limits;
  limits.kv_block_tokens = sizing.kv_block_tokens.value_or(32);
  if (limits.kv_block_tokens < 16 || 128 % limits.kv_block_tokens != 0)
    throw UsageError(fmt::format("[engine] --kv-block-tokens is {}, wanted 16, 32, 64 or 128",
                                 limits.kv_block_tokens));
  limits.max_sequences =
      sizing.max_sequences.value_or(device.type == DeviceType::kCpu ? kCpuSequences : 1);
  if (limits.max_sequences < 1) throw UsageError("[engine] --max-sequences must be at least 1");
  // On CPUs arithmetic bounds all steps but those of a few rows: even steps gain nothing.
  if (device.type == DeviceType::kCuda) limits.even = kGpuSteps;
  limits.max_batch_tokens =
      std::max(sizing.max_batch_tokens.value_or(kFewestRows), limits.max_sequences);
  limits.max_item_patches = sizing.max_image_patches / merge_unit * merge_unit;
  limits.encode_patches = limits.max_item_patches;
  const std::int64_t item_rows = limits.max_item_patches / merge_unit;
  const std::int64_t prompt = item_rows * sizing.max_items + sizing.max_text_tokens;
  limits.max_sequence_tokens =
      std::min(config.text.max_position_embeddings, prompt + sizing.max_new_tokens);
  // Rows for the prompts in flight and for the next ones: an image on each rank.
  limits.feature_rows = std::max(item_rows * std::max<std::int64_t>(sizing.max_items, 2),
                                 std::min(item_rows * (tensor + 1), kSharedFeatureRows));
  return limits;
}

/// Most rows of a step where the job says nothing: enough that so many sequences begin as end, each
/// with one item and an answer of half the tokens that it may have.
std::int64_t rows_for(std::int64_t sequences, const EngineLimits& limits,
                      std::int64_t visual_tokens, std::int64_t max_new_tokens) {
  const std::int64_t answer = std::max<std::int64_t>(max_new_tokens / 2, 1);
  const std::int64_t even =
      limits.even.ridge_rows == 0 ? sequences : sequences + sequences * visual_tokens / answer;
  const std::int64_t tile = limits.even.tile_rows;
  return std::max(std::clamp(even / tile * tile, kFewestRows, kMostRows), sequences);
}

std::string refusal(std::int64_t memory_bytes, const EnginePlan& fixed,
                    std::int64_t sequence_bytes) {
  const auto gib = [](std::int64_t bytes) { return static_cast<double>(bytes) / 1073741824.0; };
  std::string parts;
  for (const EnginePlan::Part& part : fixed.parts())
    if (part.bytes > 0 && part.kind != EnginePlan::Kind::kKvCache)
      fmt::format_to(std::back_inserter(parts), "{}{} {:.2f}", parts.empty() ? "" : ", ", part.name,
                     gib(part.bytes));
  return fmt::format(
      "[engine] a rank may use {:.2f} GiB, which is taken by: {}; one sequence of {} tokens needs "
      "{:.2f} GiB of cache. Lower --max-pixels, --max-batch-tokens or --max-new-tokens, or use a "
      "larger --tensor-parallel.",
      gib(memory_bytes), parts, fixed.limits.max_sequence_tokens, gib(sequence_bytes));
}

}  // namespace

std::int64_t EnginePlan::total_bytes() const {
  std::int64_t total = 0;
  for (const Part& part : parts()) total += part.bytes;
  return total;
}

EnginePlan plan_engine(const layers::ModelConfig& config, const layers::Computation& computation,
                       Device device, int tensor, int threads, std::int64_t memory_bytes,
                       const EngineSizing& sizing) {
  layers::check_tensor_size(tensor, config,
                            layers::reduction_leaves(config, computation.most_leaves));
  EngineLimits limits = limits_of(config, device, tensor, sizing);
  layers::TensorAxis axis;
  axis.size = tensor;
  layers::ModelOptions options;
  options.computation = computation;
  options.kv_block_size = limits.kv_block_tokens;
  const std::int64_t block_bytes = layers::Qwen3Vl::kv_block_bytes(config, axis, options);
  const std::int64_t one = longest_blocks(limits);
  const std::int64_t visual_tokens = limits.max_item_patches / config.vision.merge_unit();
  EnginePlan fixed;
  std::int64_t given = 0, left = 0;
  // Measures the plan of so many sequences; returns the KV blocks that the rest of it leaves.
  const auto blocks_beside = [&](std::int64_t sequences) {
    limits.max_sequences = sequences;
    if (!sizing.max_batch_tokens)
      limits.max_batch_tokens = rows_for(sequences, limits, visual_tokens, sizing.max_new_tokens);
    limits.max_logit_rows = std::max(sizing.max_logit_rows, sequences);
    limits.kv_blocks = one;
    fixed = measure(config, computation, device, tensor, threads, limits);
    left = memory_bytes - (fixed.total_bytes() - fixed.kv_bytes);
    given = sizing.kv_memory_gib ? static_cast<std::int64_t>(*sizing.kv_memory_gib * 1073741824.0)
                                 : left;
    return given / block_bytes;
  };
  std::int64_t blocks = blocks_beside(limits.max_sequences);
  if (device.type == DeviceType::kCuda && !sizing.max_sequences) {
    // As many sequences of the usual length as the cache holds. Logits of more sequences leave
    // less cache, so the first result is slightly too many; the second is not.
    const std::int64_t usual = visual_tokens + sizing.max_new_tokens;
    const std::int64_t most = sizing.max_batch_tokens.value_or(kMostRows);
    for (int round = 0; round < 2; ++round)
      blocks =
          blocks_beside(std::clamp<std::int64_t>(blocks * limits.kv_block_tokens / usual, 1, most));
  }
  // Blocks for every sequence at its longest are the most that can be used.
  limits.kv_blocks = std::min(blocks, one * limits.max_sequences);
  if (limits.kv_blocks < 1 || (!sizing.kv_memory_gib && limits.kv_blocks < one) || given > left)
    throw UsageError(refusal(memory_bytes, fixed, one * block_bytes));
  limits.max_sequence_tokens =
      std::min(limits.max_sequence_tokens, limits.kv_blocks * limits.kv_block_tokens);
  return measure(config, computation, device, tensor, threads, limits);
}

}  // namespace retinue::runtime
