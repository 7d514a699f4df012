#include "layers/model/numerics.h"

#include "parallel/base/hash.h"

#include <gtest/gtest.h>

namespace retinue::layers {
namespace {

/// The text part of the 32B, as far as it decides bits.
ModelConfig config_32b() {
  ModelConfig config;
  config.text.hidden_size = 5120, config.text.intermediate_size = 25600;
  config.text.num_attention_heads = 64, config.text.num_key_value_heads = 8;
  config.text.head_dim = 128, config.text.num_hidden_layers = 64;
  return config;
}

TEST(Numerics, TheFingerprintIsTheHashOfItsDescription) {
  const Context ctx = Context::plan(Device{}, 1);
  const Numerics n = numerics(config_32b(), {}, ctx);
  EXPECT_EQ(n.fingerprint, sha256_hex(n.description));
}

TEST(Numerics, FingerprintsDifferWhereBitsMayAndNotWithThreads) {
  const Context one = Context::plan(Device{}, 1), many = Context::plan(Device{}, 7);
  const auto fingerprint = [](const Context& ctx, DType dtype) {
    return numerics(config_32b(), {.dtype = dtype}, ctx).fingerprint;
  };
  EXPECT_EQ(fingerprint(one, DType::kBF16), fingerprint(many, DType::kBF16));
  EXPECT_NE(fingerprint(one, DType::kBF16), fingerprint(one, DType::kF32));
  ModelConfig fp8 = config_32b();
  fp8.fp8.emplace();
  EXPECT_NE(fingerprint(one, DType::kBF16), numerics(fp8, {}, one).fingerprint);
  EXPECT_NE(fingerprint(one, DType::kBF16),
            numerics(config_32b(), {.kv_dtype = DType::kF8E4M3}, one).fingerprint);
  EXPECT_NE(fingerprint(one, DType::kBF16),
            numerics(config_32b(), {.most_leaves = 4}, one).fingerprint);
  Context narrow = Context::plan(Device{}, 1);
  narrow.set_cpu_isa(CpuIsa::kBaseline);
  if (detect_cpu_isa() != CpuIsa::kBaseline) {
    EXPECT_NE(fingerprint(one, DType::kBF16), fingerprint(narrow, DType::kBF16));
  }
}

}  // namespace
}  // namespace retinue::layers
