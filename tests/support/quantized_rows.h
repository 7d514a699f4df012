#pragma once

// Tested through tests/layers/ops/matmul_input_test.cpp.

#include "layers/ops/matmul_input.h"
#include "tests/support/op_test.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <vector>

namespace retinue::test {

/// The shape of an e4m3 weight, which is all that the rows of its product depend on.
inline ops::PackedMatrix fp8_weight(std::int64_t outputs, std::int64_t inputs, int leaves = 1) {
  ops::PackedMatrix w{TensorView(nullptr, DType::kF8E4M3, Shape{0}), outputs, inputs};
  w.leaves = leaves;
  return w;
}
/// So many outputs that cuBLASLt's products have four rows at a time.
inline constexpr std::int64_t kOutputsOfChunksOfFour = 7'500'000;

/// body(), on the emulator once for a GPU of each kernel of FP8 products.
template <class Body>
void with_each_fp8_kernel(Body&& body) {
  if (!build::kCudaEmulated) return body();
  for (const char* capability : {"9.0", "8.0"}) {
    SCOPED_TRACE(capability);
    setenv("RETINUE_EMULATOR_CAPABILITY", capability, 1);
    body();
  }
  unsetenv("RETINUE_EMULATOR_CAPABILITY");
}

/// The rows of a product on the test's device, and a canary behind them: all ones where nothing is
/// written.
class RowsOfProduct {
 public:
  RowsOfProduct(std::int64_t rows, const ops::PackedMatrix& w)
      : stream_(test_device()),
        size_bytes_(ops::MatmulInput::size_bytes(test_device(), rows, w)),
        buffer_(ledger_, test_device(), size_bytes_ + kCanary, MemoryTag::kActivations),
        input_(test_device(), buffer_.data(), rows, w) {
    const std::vector<std::byte> ones(size_bytes_ + kCanary, std::byte{0xFF});
    stream_.copy(buffer_.data(), ones.data(), ones.size());
    stream_.synchronize();
  }
  [[nodiscard]] const ops::MatmulInput& input() const { return input_; }
  /// Without the canary.
  [[nodiscard]] std::vector<std::byte> bytes() {
    std::vector<std::byte> all(size_bytes_ + kCanary);
    stream_.copy(all.data(), buffer_.data(), all.size());
    stream_.synchronize();
    EXPECT_TRUE(std::all_of(all.end() - kCanary, all.end(),
                            [](std::byte byte) { return byte == std::byte{0xFF}; }));
    all.resize(size_bytes_);
    return all;
  }

 private:
  static constexpr std::ptrdiff_t kCanary = 64;
  Stream stream_;
  MemoryLedger ledger_;
  std::size_t size_bytes_;
  Buffer buffer_;
  ops::MatmulInput input_;
};

/// Rows that fill a piece of four and do not; widths of one group, of one warp's longest row and one
/// group more, of one group past a thread block's vectors, and of the 32B.
inline std::vector<RowsWidth> quantized_shapes() {
  return {{1, 128},  {3, 256},  {4, 384},  {5, 1024}, {7, 1152},
          {8, 2048}, {9, 2176}, {2, 5120}, {6, 5120}, {3, 25600}};
}

/// On CUDA: produce(input) leaves the bytes of quantize(rows, input), padding included, for each
/// kernel of products, in one chunk of rows and in several.
///   rows  [rows, inputs] bf16, 128 divides inputs
template <class Produce>
void expect_quantized(Context& ctx, ConstTensorView rows, const Produce& produce) {
  if (ctx.device().type != DeviceType::kCuda) return;
  with_each_fp8_kernel([&] {
    for (const std::int64_t outputs : {std::int64_t{128}, kOutputsOfChunksOfFour}) {
      SCOPED_TRACE(outputs);
      const ops::PackedMatrix w = fp8_weight(outputs, rows.dim(1));
      RowsOfProduct got(rows.dim(0), w), want(rows.dim(0), w);
      produce(got.input());
      ops::quantize(ctx, rows, want.input());
      EXPECT_TRUE(got.bytes() == want.bytes());
    }
  });
}

}  // namespace retinue::test
