#include "layers/ops/matmul_input.h"

#include "layers/kernels/cuda/fp8_scratch.h"
#include "layers/ops/fp8_matmul.h"
#include "layers/ops/silu_mul.h"
#include "tests/support/op_test.h"
#include "tests/support/quantized_rows.h"

#include <gtest/gtest.h>

#include <cstring>

namespace retinue::test {
namespace {

constexpr std::int64_t kGroup = ops::kFp8Group;
constexpr Device kCuda{DeviceType::kCuda, 0};

ops::PackedMatrix weight(DType dtype, std::int64_t outputs, std::int64_t inputs) {
  return {TensorView(nullptr, dtype, Shape{0}), outputs, inputs};
}

TEST(MatmulInput, IsATensorButForFp8OnCuda) {
  std::byte memory[1];
  for (const Device device : {Device{}, kCuda})
    for (const DType dtype : {DType::kF32, DType::kBF16}) {
      const ops::PackedMatrix w = weight(dtype, 40, 30);
      const ops::MatmulInput x(device, memory, 7, w);
      EXPECT_FALSE(x.is_quantized());
      EXPECT_EQ(x.tensor().bytes(), memory);
      EXPECT_EQ(x.tensor().shape(), Shape({7, 30}));
      EXPECT_EQ(x.tensor().dtype(), dtype);
      EXPECT_EQ(ops::MatmulInput::size_bytes(device, 7, w), 7 * 30 * size_bytes(dtype));
    }
  const ops::MatmulInput packed_by_cpus({}, memory, 7, fp8_weight(40, kGroup));
  EXPECT_EQ(packed_by_cpus.tensor().dtype(), DType::kBF16);
  EXPECT_EQ(ops::MatmulInput::size_bytes({}, 7, fp8_weight(40, kGroup)), 7 * kGroup * 2U);
  const ops::MatmulInput quantized(kCuda, memory, 7, fp8_weight(40, kGroup));
  EXPECT_TRUE(quantized.is_quantized());
  EXPECT_EQ(quantized.dtype(), DType::kBF16);
  EXPECT_THROW((void)quantized.tensor(), BugError);
}

TEST(MatmulInput, IsForOneProduct) {
  const ops::MatmulInput x(kCuda, nullptr, 7, fp8_weight(40, 4 * kGroup, 2));
  EXPECT_TRUE(x.is_for(fp8_weight(40, 4 * kGroup, 2), 2));
  EXPECT_FALSE(x.is_for(fp8_weight(41, 4 * kGroup, 2), 2));
  EXPECT_FALSE(x.is_for(fp8_weight(40, 4 * kGroup, 4), 4));
  EXPECT_FALSE(x.is_for(fp8_weight(40, 4 * kGroup, 2), 1));
  EXPECT_FALSE(x.is_for(fp8_weight(40, 8 * kGroup, 2), 2));
  // A tensor is read by every product of its inputs.
  const ops::MatmulInput tensor({}, nullptr, 7, weight(DType::kBF16, 40, 32));
  EXPECT_TRUE(tensor.is_for(weight(DType::kBF16, 50, 32), 2));
  EXPECT_FALSE(tensor.is_for(weight(DType::kBF16, 40, 31), 1));
}

TEST(MatmulInput, RefusesWhatDoesNotFit) {
  Context plan = Context::plan(kCuda, 1);
  const ops::PackedMatrix w = fp8_weight(40, kGroup), other = fp8_weight(48, kGroup);
  const ops::MatmulInput x = ops::MatmulInput::alloc(plan, 3, w);
  const TensorView y = plan.alloc({3, 40}, DType::kBF16);
  EXPECT_NO_THROW(ops::matmul(plan, x, w, {}, y));
  EXPECT_THROW(ops::matmul(plan, x, other, {}, plan.alloc({3, 48}, DType::kBF16)), BugError);
  EXPECT_THROW(ops::matmul(plan, x, w, {}, plan.alloc({4, 40}, DType::kBF16)), BugError);
  const TensorView short_rows = plan.alloc({2, kGroup}, DType::kBF16);
  const TensorView rows_of_f32 = plan.alloc({3, kGroup}, DType::kF32);
  EXPECT_THROW(ops::quantize(plan, short_rows, x), BugError);
  EXPECT_THROW(ops::quantize(plan, rows_of_f32, x), BugError);
  TestContext ctx;
  Guarded<BFloat16> rows({3, kGroup});
  EXPECT_THROW(ops::quantize(ctx, rows, ops::MatmulInput::alloc(ctx, 3, w)), BugError);
}

/// What the rows' definition leaves in memory, where every byte that is not written is all ones.
///   widened  of fp8_mma.h
std::vector<std::byte> memory_of(Guarded<BFloat16>& x, std::int64_t rows, std::int64_t inputs,
                                 std::int64_t chunk, bool widened) {
  std::vector<std::byte> memory(cuda::fp8_operand_bytes(rows, inputs), std::byte{0xFF});
  const std::int64_t groups = inputs / kGroup, padded = cuda::fp8_rows(rows);
  const auto put = [&](std::size_t at, const auto& value) {
    std::memcpy(memory.data() + at, &value, sizeof value);
  };
  for (std::int64_t row = 0; row < padded; ++row)
    for (std::int64_t group = 0; group < groups; ++group) {
      float most = 0;
      const auto value = [&](std::int64_t i) {
        return row < rows ? to_float(x.at(row, group * kGroup + i)) : 0.0F;
      };
      for (std::int64_t i = 0; i < kGroup; ++i) most = std::max(most, std::abs(value(i)));
      const float scale = most / 448;
      const std::int64_t first = row / chunk * chunk;
      const std::int64_t in_chunk = std::min(chunk, padded - first);
      put(static_cast<std::size_t>(first * groups + group * in_chunk + row - first) * 4, scale);
      for (std::int64_t i = 0; i < kGroup; ++i) {
        const Float8E4M3 q = to_float8_e4m3(most == 0 ? 0.0F : value(i) / scale);
        const auto at = static_cast<std::size_t>(row * inputs + group * kGroup + i);
        const std::size_t values = cuda::fp8_operand_values(rows, inputs);
        if (widened)
          put(values + at * 2, to_bfloat16(to_float(q)));
        else
          put(values + at, q);
      }
    }
  return memory;
}

bool uses_cublaslt() {
  if constexpr (build::kCuda) {
    const auto [major, minor] = cuda::compute_capability(0);
    return ops::fp8_kernel(major, minor) == ops::Fp8Kernel::kCublasLt;
  }
  return false;
}

TEST(Quantize, LeavesValuesAndScalesWhereTheProductReadsThem) {
  for_each_isa([&](Context& ctx) {
    if (ctx.device().type != DeviceType::kCuda) return;
    for (const std::int64_t inputs : {1, 2, 3, 17})
      for (const std::int64_t rows : {1, 2, 3, 4, 5, 7, 8, 11}) {
        SCOPED_TRACE(dims({{"rows", rows}, {"groups", inputs}}));
        auto x = Guarded<BFloat16>::random({rows, inputs * kGroup}, 1, 5, 3);
        for (std::int64_t i = 0; i < kGroup; ++i) x.at(rows / 2, i) = {};  // a group of zeros
        x.at(0, kGroup - 1) = to_bfloat16(0x1p-133F);                      // the smallest number
        with_each_fp8_kernel([&] {
          const bool cublaslt = uses_cublaslt();
          for (const std::int64_t outputs : {std::int64_t{128}, kOutputsOfChunksOfFour}) {
            SCOPED_TRACE(outputs);
            const std::int64_t chunk = cublaslt && outputs == kOutputsOfChunksOfFour ? 4 : 1000;
            RowsOfProduct y(rows, fp8_weight(outputs, inputs * kGroup));
            ops::quantize(ctx, x, y.input());
            EXPECT_TRUE(y.bytes() == memory_of(x, rows, inputs * kGroup, chunk, !cublaslt));
          }
        });
      }
  });
}

TEST(MatmulInput, OfAProductWithFp8NeedsNoScratchForItsRows) {
  constexpr std::int64_t kRows = 1000, kInputs = 40 * kGroup, kOutputs = 512;
  for (const int leaves : {1, 8}) {
    Context plan = Context::plan(kCuda, 1);
    const ops::PackedMatrix w = fp8_weight(kOutputs, kInputs, leaves);
    const ops::MatmulInput x = ops::MatmulInput::alloc(plan, kRows, w);
    // A scale per group; values in bf16, which the GPUs that multiply with fp8_mma.h read.
    EXPECT_EQ(plan.arena().peak_bytes(), (kRows * (kInputs / kGroup) * 4 + 255) / 256 * 256 +
                                             static_cast<std::size_t>(kRows * kInputs * 2));
    ops::silu_mul(plan, plan.alloc({kRows, 2 * kInputs}, DType::kBF16), x);
    EXPECT_EQ(plan.peak_scratch_bytes(), 0U);
    ops::matmul_tree(plan, x, w, leaves, plan.alloc({kRows, kOutputs}, DType::kF32));
    EXPECT_EQ(plan.peak_scratch_bytes(),
              (std::size_t{32} << 20) + static_cast<std::size_t>(kRows * kOutputs * 4 * leaves));
  }
}

}  // namespace
}  // namespace retinue::test
