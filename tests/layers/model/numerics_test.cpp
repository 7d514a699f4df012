#include "layers/model/numerics.h"

#include "parallel/base/hash.h"

#include <gtest/gtest.h>

namespace retinue::layers {
namespace {

TEST(Numerics, TheFingerprintIsTheHashOfItsDescription) {
  const Context ctx = Context::plan(Device{}, 1);
  const Numerics n = numerics(ModelConfig{}, {}, ctx);
  EXPECT_EQ(n.fingerprint, sha256_hex(n.description));
}

TEST(Numerics, FingerprintsDifferWhereBitsMayAndNotWithThreads) {
  const Context one = Context::plan(Device{}, 1), many = Context::plan(Device{}, 7);
  const auto fingerprint = [](const Context& ctx, DType dtype) {
    return numerics(ModelConfig{}, {.dtype = dtype}, ctx).fingerprint;
  };
  EXPECT_EQ(fingerprint(one, DType::kBF16), fingerprint(many, DType::kBF16));
  EXPECT_NE(fingerprint(one, DType::kBF16), fingerprint(one, DType::kF32));
  ModelConfig fp8;
  fp8.fp8.emplace();
  EXPECT_NE(fingerprint(one, DType::kBF16), numerics(fp8, {}, one).fingerprint);
  EXPECT_NE(fingerprint(one, DType::kBF16),
            numerics(ModelConfig{}, {.kv_dtype = DType::kF8E4M3}, one).fingerprint);
  EXPECT_NE(fingerprint(one, DType::kBF16),
            numerics(ModelConfig{}, {.most_leaves = 4}, one).fingerprint);
  EXPECT_NE(fingerprint(one, DType::kBF16),
            numerics(ModelConfig{}, {.wgmma = true}, one).fingerprint);
  Context narrow = Context::plan(Device{}, 1);
  narrow.set_cpu_isa(CpuIsa::kBaseline);
  if (detect_cpu_isa() != CpuIsa::kBaseline) {
    EXPECT_NE(fingerprint(one, DType::kBF16), fingerprint(narrow, DType::kBF16));
  }
}

}  // namespace
}  // namespace retinue::layers
