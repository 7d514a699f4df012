#include "runtime/study/model/model_work.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace retinue::study {
namespace {

TEST(ModelWork, IsTheArithmeticOfQwen3Vl32B) {
  layers::ModelConfig c;
  c.text.hidden_size = 5120, c.text.intermediate_size = 25600, c.text.num_hidden_layers = 64;
  c.text.num_attention_heads = 64, c.text.num_key_value_heads = 8, c.text.head_dim = 128;
  c.text.vocab_size = 151936;
  c.vision.depth = 27, c.vision.hidden_size = 1152, c.vision.intermediate_size = 4304;
  c.vision.num_heads = 16, c.vision.patch_size = 16, c.vision.temporal_patch_size = 2;
  c.vision.spatial_merge_size = 2, c.vision.out_hidden_size = 5120;
  c.vision.deepstack_visual_indexes = {8, 16, 24};
  const ModelWork work = work_of(c, DType::kBF16);
  EXPECT_NEAR(work.flops_per_row, 62.4e9, 0.1e9);
  EXPECT_NEAR(work.flops_per_logit_row, 1.56e9, 0.01e9);
  EXPECT_NEAR(work.flops_per_key, 2.10e6, 0.01e6);
  EXPECT_NEAR(work.bytes_per_key, 256 * 1024, 1);
  EXPECT_NEAR(work.weight_bytes, 64.0e9, 0.2e9);
  c.fp8 = layers::Fp8Weights{{"lm_head", "visual"}};
  const ModelWork fp8 = work_of(c, DType::kBF16);
  EXPECT_NEAR(fp8.weight_bytes, 32.76e9 + 31.2e9 * 4 / 128, 0.1e9) << "the head stays bf16";
  EXPECT_EQ(fp8.bytes_per_key, work.bytes_per_key);
  EXPECT_EQ(work_of(c, DType::kBF16, DType::kF8E4M3).bytes_per_key, 64 * 8 * 2 * (128 + 4));
}

TEST(ModelWork, PeaksAreKnownForNamedGpusOnly) {
  EXPECT_EQ(peaks_of("NVIDIA H200")->bytes_per_s, 4.8e12);
  EXPECT_EQ(peaks_of("NVIDIA H100 80GB HBM3")->flops_per_s, 989e12);
  EXPECT_FALSE(peaks_of("Some Other Device").has_value());
}

}  // namespace
}  // namespace retinue::study
