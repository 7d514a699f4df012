// What a plan says, and whether it is what is then allocated. Plans for GPUs need none.
#include "runtime/engine/engine_plan.h"

#include "parallel/base/build_config.h"
#include "parallel/base/check.h"
#include "parallel/comm/local/local_communicator.h"
#include "parallel/device/cuda/runtime.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <string>
#include <string_view>
#include <vector>

namespace retinue::runtime {
namespace {

using testing::HasSubstr;
using testing::Not;

constexpr Device kCuda{DeviceType::kCuda, 0};
constexpr std::int64_t kMib = 1 << 20;

/// What differs between the sizes of Qwen3-VL that are dense.
struct Size {
  const char* name;
  std::int64_t layers, hidden, intermediate, heads;
  bool tied;
  std::int64_t vision_depth, vision_hidden, vision_intermediate;
  const char* taps;
};
constexpr Size k2B = {"2B", 28, 2048, 6144, 16, true, 24, 1024, 4096, "5,11,17"};
constexpr Size k4B = {"4B", 36, 2560, 9728, 32, true, 24, 1024, 4096, "5,11,17"};
constexpr Size k8B = {"8B", 36, 4096, 12288, 32, false, 27, 1152, 4304, "8,16,24"};
constexpr Size k32B = {"32B", 64, 5120, 25600, 64, false, 27, 1152, 4304, "8,16,24"};

layers::ModelConfig config_of(const Size& size) {
  return layers::parse_model_config(
      fmt::format(
          R"({{"architectures":["Qwen3VLForConditionalGeneration"],"model_type":"qwen3_vl",
    "image_token_id":151655,"video_token_id":151656,"vision_start_token_id":151652,"vision_end_token_id":151653,
    "tie_word_embeddings":{},
    "text_config":{{"vocab_size":151936,"hidden_size":{},"intermediate_size":{},"num_hidden_layers":{},"num_attention_heads":{},
      "num_key_value_heads":8,"head_dim":128,"rms_norm_eps":1e-06,"rope_theta":5000000,"max_position_embeddings":262144,
      "rope_scaling":{{"mrope_interleaved":true,"mrope_section":[24,20,20],"rope_type":"default"}},"dtype":"bfloat16",
      "hidden_act":"silu","attention_bias":false}},
    "vision_config":{{"depth":{},"hidden_size":{},"intermediate_size":{},"num_heads":16,"patch_size":16,"temporal_patch_size":2,
      "spatial_merge_size":2,"in_channels":3,"out_hidden_size":{},"num_position_embeddings":2304,
      "deepstack_visual_indexes":[{}],"hidden_act":"gelu_pytorch_tanh"}}}})",
          size.tied, size.hidden, size.intermediate, size.layers, size.heads, size.vision_depth,
          size.vision_hidden, size.vision_intermediate, size.hidden, size.taps),
      size.name);
}

EngineSizing captions() {
  EngineSizing sizing;
  sizing.max_image_patches = 4096;
  return sizing;
}

EnginePlan plan(const Size& size, int tensor, std::int64_t memory_mib,
                const EngineSizing& sizing = captions(),
                const layers::Computation& computation = {}) {
  return plan_engine(config_of(size), computation, kCuda, tensor, 1,
                     gpu_budget_bytes(memory_mib * kMib), sizing);
}

struct Capacity {
  int tensor;
  std::int64_t memory_mib;
  double kv_tokens;
  bool fp8 = false;
};
class Capacities : public testing::TestWithParam<Capacity> {};

// Weights of 32.76e9 (text, over the axis) and 0.595e9 (vision, on every rank) times two bytes, a
// token of 256 KiB over the axis, and 2.5 GB beside them, of 97 % of what the driver of an 80 GB
// and of a 141 GB GPU reports. With FP8, 31.2e9 of the weights take one byte; their scales take 8 MB.
// A GPU of 48 GB (46068 MiB) has room for them, and for 27 sequences of 1216 tokens.
TEST_P(Capacities, OfThe32BAreWithinThreePercentOfArithmeticOnPaper) {
  const Capacity& c = GetParam();
  layers::ModelConfig config = config_of(k32B);
  if (c.fp8) config.fp8 = layers::Fp8Weights{{"lm_head", "visual"}};
  const EnginePlan found = plan_engine(config, {}, kCuda, c.tensor, 1,
                                       gpu_budget_bytes(c.memory_mib * kMib), captions());
  EXPECT_NEAR(static_cast<double>(found.kv_tokens()) / c.kv_tokens, 1, 0.03);
}

INSTANTIATE_TEST_SUITE_P(
    Gpus, Capacities,
    testing::Values(Capacity{1, 81559, 52.4e3}, Capacity{2, 81559, 355e3},
                    Capacity{4, 81559, 960e3}, Capacity{8, 81559, 2.17e6},
                    Capacity{1, 143771, 294e3}, Capacity{2, 143771, 689 * 1216.0},
                    Capacity{4, 143771, 1583 * 1216.0}, Capacity{8, 143771, 3372 * 1216.0}),
    [](const auto& tested) {
      return fmt::format("tensor{}_gib{}", tested.param.tensor, tested.param.memory_mib / 1024);
    });
INSTANTIATE_TEST_SUITE_P(
    Fp8, Capacities,
    testing::Values(Capacity{1, 46068, 33.75e3, true}, Capacity{2, 46068, 198.4e3, true},
                    Capacity{4, 46068, 527.7e3, true}, Capacity{8, 46068, 1.186e6, true},
                    Capacity{1, 81559, 171e3, true}, Capacity{2, 81559, 390 * 1216.0, true},
                    Capacity{4, 81559, 887 * 1216.0, true}, Capacity{8, 81559, 1882 * 1216.0, true},
                    Capacity{1, 143771, 413e3, true}, Capacity{2, 143771, 787 * 1216.0, true},
                    Capacity{4, 143771, 1681 * 1216.0, true},
                    Capacity{8, 143771, 3470 * 1216.0, true}),
    [](const auto& tested) {
      return fmt::format("tensor{}_gib{}", tested.param.tensor, tested.param.memory_mib / 1024);
    });

// A token's 256 KiB become 132: a byte for each of the 128 channels, and four for their scale.
TEST(Fp8, ACacheOfItHoldsAlmostTwiceAsManyTokens) {
  const auto tokens = [](std::optional<DType> kv_dtype) {
    return static_cast<double>(
        plan(k32B, 2, 81559, captions(), {.kv_dtype = kv_dtype}).kv_tokens());
  };
  EXPECT_NEAR(tokens(DType::kF8E4M3) / tokens({}), 256.0 / 132, 0.02);
}

// At eight ranks each has one of eight heads of keys; 64 of its outputs are half a block.
TEST(Fp8, PartsOfBlocksAreRefusedInAPlanForGpus) {
  layers::ModelConfig config = config_of(k2B);
  config.fp8 = layers::Fp8Weights{{"lm_head", "visual"}};
  config.text.head_dim = 64;
  try {
    (void)plan_engine(config, {}, kCuda, 8, 1, gpu_budget_bytes(81559 * kMib), captions());
    FAIL() << "wanted a UsageError";
  } catch (const UsageError& error) {
    EXPECT_THAT(error.what(), HasSubstr("64 of the 512 outputs of"));
    EXPECT_THAT(error.what(), HasSubstr("fewer ranks (--tensor-parallel)"));
  }
}

TEST(Fp8, EachPublishedSizeHasWholeBlocksOnEveryMesh) {
  for (const Size& size : {k2B, k4B, k8B, k32B})
    for (const int tensor : {1, 2, 4, 8}) {
      if (tensor == 8 && size.hidden == k4B.hidden) continue;  // its MLP has 76 groups: four leaves
      SCOPED_TRACE(fmt::format("{}, tensor {}", size.name, tensor));
      layers::ModelConfig config = config_of(size);
      config.fp8 = layers::Fp8Weights{{"lm_head", "visual"}};
      EXPECT_NO_THROW((void)plan_engine(config, {}, kCuda, tensor, 1,
                                        gpu_budget_bytes(143771 * kMib), captions()));
    }
}

class Sizes : public testing::TestWithParam<Size> {};

TEST_P(Sizes, TakeWhatTheyMayAndNoMore) {
  for (const int tensor : {1, 2, 4, 8})
    for (const std::int64_t memory_mib : {81559, 143771}) {
      SCOPED_TRACE(fmt::format("tensor {} on {} MiB", tensor, memory_mib));
      const EnginePlan found = plan(GetParam(), tensor, memory_mib);
      const EngineLimits& limits = found.limits;
      const std::int64_t budget = gpu_budget_bytes(memory_mib * kMib);
      const std::int64_t page = found.kv_bytes / limits.kv_blocks;
      EXPECT_LE(found.total_bytes(), budget);
      const bool all_sequences_fit = limits.kv_blocks * limits.kv_block_tokens >=
                                     limits.max_sequences * limits.max_sequence_tokens;
      if (!all_sequences_fit) {
        // Less than a page is left, and what the last logits took that were one sequence too many.
        EXPECT_GT(found.total_bytes() + page, budget);
      }
      // A caption of one item's 1024 visual tokens and the 256 of its answer.
      EXPECT_EQ(limits.max_sequences, std::min<std::int64_t>(4096, found.kv_tokens() / 1280));
      EXPECT_EQ(limits.max_logit_rows, limits.max_sequences);
      EXPECT_GE(found.kv_tokens(), limits.max_sequence_tokens);
      EXPECT_GE(limits.feature_rows, std::max(2, tensor) * limits.max_item_patches / 4);
    }
}

TEST_P(Sizes, WeightsAreDividedButForTheVisionTower) {
  const Size& size = GetParam();
  const EnginePlan whole = plan(size, 1, 143771), half = plan(size, 2, 143771),
                   quarter = plan(size, 4, 143771);
  const std::int64_t text = 2 * (whole.weight_bytes - half.weight_bytes);
  EXPECT_GT(text, 0);
  // Norms are on every rank.
  EXPECT_NEAR(static_cast<double>(half.weight_bytes - quarter.weight_bytes),
              static_cast<double>(text) / 4, 1e-3 * static_cast<double>(text));
  EXPECT_LT(whole.weight_bytes - text, 1'300'000'000);
}

INSTANTIATE_TEST_SUITE_P(Qwen3Vl, Sizes, testing::Values(k2B, k4B, k8B, k32B),
                         [](const auto& tested) { return std::string(tested.param.name); });

TEST(GpuPlan, OnlySeveralRanksCommunicate) {
  EXPECT_EQ(plan(k8B, 1, 81559).communication_bytes, 0);
  EXPECT_EQ(plan(k8B, 4, 81559).communication_bytes,
            2 * kNcclBytes + static_cast<std::int64_t>(nccl_scratch_bytes(4, Reduce::kOrdered)));
  EXPECT_EQ(plan(k8B, 4, 81559, captions(), {.ordered = false}).communication_bytes,
            2 * kNcclBytes);
}

// 32B in bf16 on one GPU of 80 GB: 40 sequences of 1024 + 256 tokens, 40 + 40 · 1024 / 128 rows.
// On eight of 141 GB: 3,000, of which 23 end in each step where an answer has 128 tokens.
TEST(GpuPlan, AStepHasRowsToKeepItsSequencesRunning) {
  EXPECT_EQ(plan(k32B, 1, 81559).limits.max_batch_tokens, 2048);
  const EngineLimits many = plan(k32B, 8, 143771).limits;
  EXPECT_GT(many.max_sequences, 3000);
  EXPECT_EQ(many.max_batch_tokens, 4096);
  const EngineLimits some = plan(k32B, 1, 143771).limits;
  EXPECT_EQ(some.max_batch_tokens,
            std::max<std::int64_t>(2048, (some.max_sequences * (1 + 1024 / 128)) / 128 * 128));
  EngineSizing sizing = captions();
  sizing.max_batch_tokens = 1024;
  EXPECT_EQ(plan(k32B, 8, 143771, sizing).limits.max_batch_tokens, 1024);
  EXPECT_EQ(plan(k32B, 8, 143771, sizing).limits.max_sequences, 1024);
}

TEST(GpuPlan, AskedForFewSequencesItTakesNoMoreCacheThanTheyCanFill) {
  EngineSizing sizing = captions();
  sizing.max_sequences = 7;
  const EnginePlan found = plan(k32B, 2, 81559, sizing);
  EXPECT_EQ(found.limits.max_sequences, 7);
  EXPECT_EQ(found.limits.kv_blocks, 7 * ((found.limits.max_sequence_tokens + 31) / 32))
      << "more than every sequence at its longest is never used";
}

TEST(GpuPlan, AttentionsScratchGrowsWithTheLongestSequenceNotWithTheCache) {
  EXPECT_LT(plan(k2B, 8, 143771).scratch_bytes, 200'000'000);
}

TEST(GpuPlan, ARefusalNamesEveryPart) {
  try {
    (void)plan(k32B, 1, 65536);
    FAIL() << "67 GB of weights do not fit 64 GiB";
  } catch (const UsageError& error) {
    const std::string text = error.what();
    for (const char* part : {"weights 62.", "activations", "features", "scratch",
                             "driver and libraries 1.40", "--tensor-parallel"})
      EXPECT_THAT(text, HasSubstr(part));
    EXPECT_THAT(text, Not(HasSubstr("NCCL")));
  }
}

/// A source of nothing: what is allocated is the same.
class Zeros final : public layers::WeightSource {
 public:
  void read(const std::string&, const Shape&, const layers::WeightSlice&, TensorView to) override {
    std::memset(to.bytes(), 0, to.size_bytes());
  }
  void finish() override {}
};

class NoPixels final : public PixelSource {
 public:
  void prefetch(std::uint64_t) override {}
  std::optional<Result<layers::Patches>> take(std::uint64_t) override { return std::nullopt; }
};

struct Built {
  const char* config;
  int tensor;
  Device device;
};
class Allocations : public testing::TestWithParam<Built> {};

TEST_P(Allocations, AreThoseOfThePlanTagByTag) {
  const Built& built = GetParam();
  const bool fp8 = std::string_view(built.config).starts_with("fp8-");
  const auto config =
      layers::load_model_config(std::string(RETINUE_SOURCE_DIR) + "/tests/golden/" +
                                (fp8 ? "fp8" : "model") + "/configs/" + built.config);
  EngineSizing sizing;
  sizing.max_image_patches = 256;
  sizing.max_text_tokens = 64, sizing.max_new_tokens = 32, sizing.max_batch_tokens = 128;
  const EnginePlan planned =
      plan_engine(config, {}, built.device, built.tensor, 1, std::int64_t{4} << 30, sizing);
  MemoryLedger ledger;
  Context ctx(built.device, 1,
              Buffer(ledger, built.device, static_cast<std::size_t>(planned.activation_bytes),
                     MemoryTag::kActivations),
              Buffer(ledger, built.device, static_cast<std::size_t>(planned.scratch_bytes),
                     MemoryTag::kScratch));
  layers::TensorAxis axis;
  axis.size = built.tensor;
  layers::ModelOptions options;
  options.kv_blocks = planned.limits.kv_blocks;
  options.kv_block_size = planned.limits.kv_block_tokens;
  options.feature_rows = planned.limits.feature_rows;
  options.pixel_values.resize(768);
  Zeros zeros;
  layers::Qwen3Vl model(ctx, ledger, config, axis, &zeros, options);
  EXPECT_EQ(ledger.bytes(MemoryTag::kWeights), planned.weight_bytes);
  EXPECT_EQ(ledger.bytes(MemoryTag::kKv), planned.kv_bytes);
  EXPECT_EQ(ledger.bytes(MemoryTag::kFeatures), planned.feature_bytes);
  EXPECT_EQ(ledger.bytes(MemoryTag::kActivations), planned.activation_bytes);
  EXPECT_EQ(ledger.bytes(MemoryTag::kScratch), planned.scratch_bytes);
  EXPECT_EQ(planned.vision_activation_bytes > 0, built.device.type != DeviceType::kCpu);
  EXPECT_EQ(ledger.bytes(MemoryTag::kStaging), 0) << "loading gives back what it took";
  const auto control = make_local_group(1, "control", 60);
  NoPixels pixels;
  const FakeClock clock;
  const Engine engine({.ctx = ctx,
                       .ledger = ledger,
                       .model = model,
                       .limits = planned.limits,
                       .control = *control[0],
                       .pixels = pixels,
                       .clock = clock});
  EXPECT_EQ(ledger.bytes(MemoryTag::kStaging), planned.staging_bytes);
  const std::int64_t elsewhere = built.device.type == DeviceType::kCpu ? 0 : planned.staging_bytes;
  EXPECT_EQ(ledger.total_bytes() - elsewhere,
            planned.total_bytes() - planned.communication_bytes - planned.driver_bytes -
                planned.vision_activation_bytes - planned.vision_scratch_bytes);
}

std::vector<Built> built() {
  std::vector<Built> all = {{"gqa8-tied", 1, {}}, {"gqa8-tied", 2, {}}, {"mha-untied", 1, {}},
                            {"gqa4-wide", 1, {}}, {"gqa4-wide", 4, {}}, {"fp8-wide", 2, {}}};
  if constexpr (build::kCuda)
    if (cuda::availability().devices > 0) {
      all.push_back({"gqa8-tied", 2, kCuda});
      all.push_back({"fp8-wide", 2, kCuda});
    }
  return all;
}

INSTANTIATE_TEST_SUITE_P(Models, Allocations, testing::ValuesIn(built()), [](const auto& tested) {
  std::string config = tested.param.config;
  std::replace(config.begin(), config.end(), '-', '_');
  return fmt::format("{}_tensor{}_{}", config, tested.param.tensor,
                     tested.param.device.type == DeviceType::kCpu ? "cpu" : "cuda");
});

}  // namespace
}  // namespace retinue::runtime
