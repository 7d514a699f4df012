#include "layers/ops/fp8_matmul.h"

#include "parallel/base/reduce_tree.h"
#include "tests/support/op_test.h"
#include "tests/support/reference.h"

#include <gtest/gtest.h>

namespace retinue::test {
namespace {

constexpr std::int64_t kGroup = ops::kFp8Group;
constexpr std::int64_t blocks(std::int64_t n) { return (n + kGroup - 1) / kGroup; }

/// Weights [outputs, inputs] with a scale per block, as a checkpoint stores them. All finite
/// patterns occur, subnormal ones too.
struct Stored {
  std::int64_t outputs, inputs;
  std::vector<Float8E4M3> values;
  std::vector<float> scales;

  Stored(std::int64_t out, std::int64_t in, std::uint64_t key) : outputs(out), inputs(in) {
    for (std::int64_t i = 0; i < out * in; ++i) {
      const auto bits = static_cast<std::uint8_t>(random_bits(key, static_cast<std::uint64_t>(i)));
      values.push_back({(bits & 0x7F) == 0x7F ? std::uint8_t{0x7E} : bits});
    }
    for (std::int64_t i = 0; i < blocks(out) * blocks(in); ++i)
      scales.push_back(static_cast<float>(
          1e-3 + to_unit_double(random_bits(key + 1, static_cast<std::uint64_t>(i)))));
  }
  [[nodiscard]] float value(std::int64_t n, std::int64_t k) const {
    return to_float(values[static_cast<std::size_t>(n * inputs + k)]);
  }
  [[nodiscard]] float scale(std::int64_t n, std::int64_t k) const {
    return scales[static_cast<std::size_t>(n / kGroup * blocks(inputs) + k / kGroup)];
  }
};

/// A rank's part of a stored matrix: outputs [first, first + count), some of the inputs.
struct Part {
  std::int64_t first, count, first_input, inputs;
  int leaves = 1;
};

/// The part, packed.
class PackedPart {
 public:
  PackedPart(Context& ctx, const Stored& stored, const Part& part)
      : data_(Guarded<Float8E4M3>::filled(
            Shape{ops::packed_numel(test_device(), DType::kF8E4M3, part.count, part.inputs)}, {})),
        scales_(Guarded<float>::filled(
            Shape{ops::packed_scales_numel(test_device(), part.count, part.inputs, part.leaves)},
            0)) {
    const auto [first, count, first_input, inputs, leaves] = part;
    matrix_ = {data_.view(), count, inputs, scales_.view(), leaves};
    const auto rows = ConstTensorView(reinterpret_cast<const std::byte*>(stored.values.data()),
                                      DType::kF8E4M3, Shape{stored.outputs, stored.inputs});
    const TensorView columns =
        TensorView(const_cast<std::byte*>(rows.bytes()), rows.dtype(), rows.shape())
            .columns(first_input, inputs);
    ops::pack_rows(ctx, columns.rows(first, count), 0, matrix_);
    const ConstTensorView scales(reinterpret_cast<const std::byte*>(stored.scales.data()),
                                 DType::kF32, Shape{blocks(stored.outputs), blocks(stored.inputs)});
    // In two calls, as rows arrive in pieces.
    const std::int64_t half = scales.dim(0) / 2;
    const auto of_inputs = [&, first_group = first_input / kGroup, groups = inputs / kGroup](
                               std::int64_t row, std::int64_t n) {
      return scales.rows(row, n).columns(first_group, groups);
    };
    ops::pack_scales(ctx, of_inputs(0, half), -first, 0, count, matrix_);
    ops::pack_scales(ctx, of_inputs(half, scales.dim(0) - half), half * kGroup - first, 0, count,
                     matrix_);
  }
  PackedPart(Context& ctx, const Stored& stored, int leaves = 1)
      : PackedPart(ctx, stored, {0, stored.outputs, 0, stored.inputs, leaves}) {}
  [[nodiscard]] const ops::PackedMatrix& matrix() const { return matrix_; }
  [[nodiscard]] bool intact() { return data_.intact() && scales_.intact(); }

 private:
  Guarded<Float8E4M3> data_;
  Guarded<float> scales_;
  ops::PackedMatrix matrix_;
};

/// The definition, with sums in f64. Scales and quantised values of x are exact: one division each.
Expected fp8_reference(Guarded<BFloat16>& x, const Stored& w, std::int64_t tokens) {
  Expected y;
  for (std::int64_t t = 0; t < tokens; ++t)
    for (std::int64_t n = 0; n < w.outputs; ++n) {
      double sum = 0, magnitude = 0;
      for (std::int64_t g = 0; g < w.inputs; g += kGroup) {
        float most = 0;
        for (std::int64_t k = g; k < g + kGroup; ++k)
          most = std::max(most, std::abs(to_float(x.at(t, k))));
        const float scale = most / 448;
        for (std::int64_t k = g; k < g + kGroup && most > 0; ++k) {
          const double product = double{to_float(to_float8_e4m3(to_float(x.at(t, k)) / scale))} *
                                 w.value(n, k) * scale * w.scale(n, k);
          sum += product, magnitude += std::abs(product);
        }
      }
      y.push(sum, magnitude);
    }
  return y;
}

/// 128 additions within a group, whose products are exact; two products with scales and an addition
/// per group; the tree. Then one rounding to the dtype. An instruction of Hopper's tensor cores adds
/// 32 products to a sum: of each of these 33, and of the new sum, it may lose what is below 2⁻¹³ of
/// the largest, which the terms' magnitudes bound (DeepSeek-AI 2024, arXiv:2412.19437, 3.5.2). The
/// emulator adds in f32.
Bound fp8_bound(DType dtype, std::int64_t inputs) {
  const bool tensor_cores = test_device().type == DeviceType::kCuda && !build::kCudaEmulated;
  const double of_group = tensor_cores ? 4 * 34 * 0x1p11 : 2 * kGroup;
  return bound_of(dtype, 1, of_group + static_cast<double>(3 * (inputs / kGroup) + 4));
}

struct Product {
  std::int64_t tokens, outputs, inputs;
  [[nodiscard]] std::string text() const {
    return dims({{"tokens", tokens}, {"outputs", outputs}, {"inputs", inputs}});
  }
};

/// for_each_isa, but for GPUs that multiply no e4m3.
template <class Body>
void on_each_isa(Body&& body) {
  for_each_isa([&](Context& ctx) {
    if constexpr (build::kCuda)
      if (ctx.device().type == DeviceType::kCuda) {
        const cuda::DeviceFacts gpu = cuda::device_facts(ctx.device().index);
        if (!ops::multiplies_fp8(gpu.major, gpu.minor)) return;
      }
    body(ctx);
  });
}

class Fp8Matmul : public testing::TestWithParam<Product> {};

TEST_P(Fp8Matmul, MatchesF64Reference) {
  const auto [tokens, outputs, inputs] = GetParam();
  const Stored stored(outputs, inputs, 7);
  const auto random = [&] { return Guarded<BFloat16>::random({tokens, inputs}, 1, 3); };
  Guarded<BFloat16> on_host = random();
  const Expected want = fp8_reference(on_host, stored, tokens);
  on_each_isa([&](Context& ctx) {
    Guarded<BFloat16> x = random();
    Guarded<BFloat16> y({tokens, outputs}, 5);
    Guarded<float> y_f32({tokens, outputs}, 1), y_tree({tokens, outputs});
    PackedPart w(ctx, stored);
    ops::matmul(ctx, x, w.matrix(), {}, y);
    ops::matmul(ctx, x, w.matrix(), {}, y_f32);
    EXPECT_TRUE(close(y.doubles(), want, fp8_bound(DType::kBF16, inputs)));
    EXPECT_TRUE(close(y_f32.doubles(), want, fp8_bound(DType::kF32, inputs)));
    if (inputs % (2 * kGroup) == 0) {
      PackedPart in_leaves(ctx, stored, 2);
      ops::matmul_tree(ctx, x, in_leaves.matrix(), 2, y_tree);
      EXPECT_TRUE(close(y_tree.doubles(), want, fp8_bound(DType::kF32, inputs)));
    }
    EXPECT_TRUE(y.intact() && y_f32.intact() && w.intact());
  });
}

INSTANTIATE_TEST_SUITE_P(Shapes, Fp8Matmul,
                         testing::Values(Product{1, 1, 128}, Product{1, 129, 256},
                                         Product{1, 403, 1280}, Product{2, 49, 384},
                                         Product{3, 385, 128}, Product{4, 97, 512},
                                         Product{7, 33, 256}, Product{9, 130, 640},
                                         Product{16, 48, 256}, Product{17, 95, 384},
                                         Product{31, 257, 128}, Product{67, 31, 512},
                                         Product{2065, 17, 256}),
                         [](const auto& instance) { return instance.param.text(); });

TEST(Fp8MatmulBits, DependOnTheRowAlone) {
  constexpr std::int64_t kTokens = 29, kOutputs = 403, kInputs = 384;
  const Stored stored(kOutputs, kInputs, 3);
  on_each_isa([&](Context& ctx) {
    auto x = Guarded<BFloat16>::random({kTokens, kInputs}, 1);
    Guarded<BFloat16> want({kTokens, kOutputs});
    PackedPart w(ctx, stored);
    ops::matmul(ctx, x, w.matrix(), {}, want);
    for (std::int64_t group = 1; group <= 25; ++group) {
      SCOPED_TRACE(group);
      Guarded<BFloat16> y({kTokens, kOutputs});
      for (std::int64_t t = 0; t < kTokens; t += group) {
        const std::int64_t count = std::min(group, kTokens - t);
        ops::matmul(ctx, x.view().rows(t, count), w.matrix(), {}, y.view().rows(t, count));
      }
      EXPECT_EQ(y.values(), want.values());
    }
    // Outputs split as over ranks, on CPU in the middle of blocks of scales too.
    for (const std::int64_t width : {1, 15, 16, 100, 128, 200, 256, 402}) {
      if (ctx.device().type == DeviceType::kCuda && width % kGroup != 0) continue;
      SCOPED_TRACE(width);
      Guarded<BFloat16> y({kTokens, kOutputs});
      for (std::int64_t n = 0; n < kOutputs; n += width) {
        const std::int64_t count = std::min(width, kOutputs - n);
        PackedPart part(ctx, stored, {n, count, 0, kInputs});
        ops::matmul(ctx, x, part.matrix(), {}, y.view().columns(n, count));
      }
      EXPECT_EQ(y.values(), want.values());
    }
    for (const int threads : {1, 2, 3, 5}) {
      SCOPED_TRACE(threads);
      TestContext other(threads, ctx.cpu_isa());
      Guarded<BFloat16> y({kTokens, kOutputs}, 11);
      auto strided = Guarded<BFloat16>::of({kTokens, kInputs}, x.values(), 7);
      ops::matmul(other, strided, w.matrix(), {}, y);
      EXPECT_EQ(y.values(), want.values());
      EXPECT_TRUE(y.intact());
    }
  });
}

TEST(Fp8MatmulBits, OfATreeDoNotDependOnRanks) {
  constexpr std::int64_t kTokens = 19, kOutputs = 77, kInputs = 8 * 2 * kGroup;
  const Stored stored(kOutputs, kInputs, 5);
  on_each_isa([&](Context& ctx) {
    auto x = Guarded<BFloat16>::random({kTokens, kInputs}, 4);
    PackedPart w(ctx, stored, kMaxLeaves);
    Guarded<float> want({kTokens, kOutputs});
    ops::matmul_tree(ctx, x, w.matrix(), kMaxLeaves, want);
    for (const int ranks : {1, 2, 4, 8}) {
      SCOPED_TRACE(ranks);
      const std::int64_t inputs = kInputs / ranks;
      std::vector<std::vector<float>> partial;
      for (int r = 0; r < ranks; ++r) {
        const int leaves = kMaxLeaves / ranks;
        PackedPart part(ctx, stored, {0, kOutputs, r * inputs, inputs, leaves});
        Guarded<float> y({kTokens, kOutputs});
        ops::matmul_tree(ctx, x.view().columns(r * inputs, inputs), part.matrix(), leaves, y);
        partial.push_back(y.values());
      }
      reduce_tree(ranks, [&](std::size_t i, std::size_t j) {
        for (std::size_t e = 0; e < partial[i].size(); ++e) partial[i][e] += partial[j][e];
      });
      EXPECT_EQ(partial[0], want.values());
    }
  });
}

TEST(Fp8Matmul, GroupsOfZerosAndOfTinyNumbersAreExact) {
  constexpr std::int64_t kInputs = 3 * kGroup;
  const Stored stored(33, kInputs, 9);
  on_each_isa([&](Context& ctx) {
    Guarded<BFloat16> x = Guarded<BFloat16>::filled({1, kInputs}, {});
    // Powers of two keep their bits; the smallest bf16 that are not zero, too.
    x.at(0, kGroup + 5) = to_bfloat16(-0x1p-130F);
    x.at(0, 2 * kGroup) = to_bfloat16(0x1p100F);
    Guarded<float> y({1, 33});
    PackedPart w(ctx, stored);
    ops::matmul(ctx, x, w.matrix(), {}, y);
    EXPECT_TRUE(close(y.doubles(), fp8_reference(x, stored, 1), fp8_bound(DType::kF32, kInputs)));
  });
}

TEST(Fp8Matmul, NoOutputOfARowThatIsNotFiniteIsFinite) {
  constexpr std::int64_t kInputs = 2 * kGroup;
  const Stored stored(35, kInputs, 9);
  on_each_isa([&](Context& ctx) {
    for (const float bad : {INFINITY, -INFINITY, NAN}) {
      auto x = Guarded<BFloat16>::random({18, kInputs}, 2);
      Guarded<BFloat16> y({18, 35});
      PackedPart w(ctx, stored);
      x.at(7, 130) = to_bfloat16(bad);
      ops::matmul(ctx, x, w.matrix(), {}, y);
      for (std::int64_t n = 0; n < 35; ++n) {
        EXPECT_FALSE(std::isfinite(to_float(y.at(7, n)))) << bad << " " << n;
        EXPECT_TRUE(std::isfinite(to_float(y.at(6, n))) && std::isfinite(to_float(y.at(8, n))));
      }
    }
  });
}

}  // namespace
}  // namespace retinue::test
