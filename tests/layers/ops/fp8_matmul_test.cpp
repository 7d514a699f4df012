#include "layers/ops/fp8_matmul.h"

#include "layers/kernels/cuda/fp8_mma.h"
#include "layers/kernels/cuda/fp8_scratch.h"
#include "parallel/base/reduce_tree.h"
#include "tests/support/op_test.h"
#include "tests/support/quantized_rows.h"
#include "tests/support/reference.h"

#include <gtest/gtest.h>

#include <cstdlib>

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

/// Whether products on CUDA are those of fp8_mma.h, and not those that the GPU's capability names.
bool& in_fp8_mma() {
  static bool value = false;
  return value;
}

/// y = x · wᵀ in so many leaves.
void multiply(Context& ctx, ConstTensorView x, const PackedPart& w, TensorView y) {
  const ops::PackedMatrix& matrix = w.matrix();
  if constexpr (build::kCuda)
    if (in_fp8_mma()) {
      const std::size_t bytes =
          ops::detail::fp8_matmul_scratch_bytes(ctx, x.dim(0), matrix, matrix.leaves);
      cuda::fp8_mma_matmul(ctx, {x, matrix, {}, matrix.leaves, y, ctx.scratch(bytes)});
      ctx.stream().synchronize();
      return;
    }
  if (matrix.leaves == 1)
    ops::matmul(ctx, x, matrix, {}, y);
  else
    ops::matmul_tree(ctx, x, matrix, matrix.leaves, y);
}

/// 128 additions within a group, whose products are exact; two products with scales and an addition
/// per group; the tree. Then one rounding to the dtype. An instruction of tensor cores adds some
/// products to a sum: of each of them, and of the new sum, it may lose what is below the last bit of
/// the largest, which the terms' magnitudes bound. For e4m3 Hopper adds 32 and keeps 2⁻¹³ of the
/// largest (DeepSeek-AI 2024, arXiv:2412.19437, 3.5.2); for bf16 GPUs add four or more and keep 2⁻²³
/// (Fasi et al. 2021, doi:10.7717/peerj-cs.330). The emulator adds in f32.
Bound fp8_bound(DType dtype, std::int64_t inputs) {
  const bool tensor_cores = test_device().type == DeviceType::kCuda && !build::kCudaEmulated;
  const double of_group = !tensor_cores ? 2 * kGroup : in_fp8_mma() ? 32 * 6 * 2 : 4 * 34 * 0x1p11;
  return bound_of(dtype, 1, of_group + static_cast<double>(3 * (inputs / kGroup) + 4));
}

struct Product {
  std::int64_t tokens, outputs, inputs;
  [[nodiscard]] std::string text() const {
    return dims({{"tokens", tokens}, {"outputs", outputs}, {"inputs", inputs}});
  }
};

/// for_each_isa, with both kernels of CUDA on a GPU that multiplies with cuBLASLt.
template <class Body>
void on_each_isa(Body&& body) {
  for_each_isa([&](Context& ctx) {
    in_fp8_mma() = false;
    if (ctx.device().type == DeviceType::kCpu) return body(ctx);
    if constexpr (build::kCuda) {
      const auto [major, minor] = cuda::compute_capability(ctx.device().index);
      const ops::Fp8Kernel own = ops::fp8_kernel(major, minor);
      if (own == ops::Fp8Kernel::kCublasLt) {
        SCOPED_TRACE("cuBLASLt");
        body(ctx);
      }
      if (own != ops::Fp8Kernel::kNone) {
        SCOPED_TRACE("fp8_mma");
        in_fp8_mma() = true;
        body(ctx);
        in_fp8_mma() = false;
      }
    }
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
    multiply(ctx, x, w, y);
    multiply(ctx, x, w, y_f32);
    EXPECT_TRUE(close(y.doubles(), want, fp8_bound(DType::kBF16, inputs)));
    EXPECT_TRUE(close(y_f32.doubles(), want, fp8_bound(DType::kF32, inputs)));
    if (inputs % (2 * kGroup) == 0) {
      PackedPart in_leaves(ctx, stored, 2);
      multiply(ctx, x, in_leaves, y_tree);
      EXPECT_TRUE(close(y_tree.doubles(), want, fp8_bound(DType::kF32, inputs)));
    }
    EXPECT_TRUE(y.intact() && y_f32.intact() && w.intact());
  });
}

INSTANTIATE_TEST_SUITE_P(
    Shapes, Fp8Matmul,
    testing::Values(Product{1, 1, 128}, Product{1, 129, 256}, Product{1, 403, 1280},
                    Product{2, 49, 384}, Product{3, 385, 128}, Product{4, 97, 512},
                    Product{7, 33, 256}, Product{9, 130, 640}, Product{16, 48, 256},
                    Product{17, 95, 384}, Product{31, 257, 128}, Product{67, 31, 512},
                    Product{7, 65, 25 * 128}, Product{129, 130, 384}, Product{2065, 17, 256}),
    [](const auto& instance) { return instance.param.text(); });

TEST(Fp8MatmulBits, DependOnTheRowAlone) {
  constexpr std::int64_t kTokens = 29, kOutputs = 403, kInputs = 384;
  const Stored stored(kOutputs, kInputs, 3);
  on_each_isa([&](Context& ctx) {
    auto x = Guarded<BFloat16>::random({kTokens, kInputs}, 1);
    Guarded<BFloat16> want({kTokens, kOutputs});
    PackedPart w(ctx, stored);
    multiply(ctx, x, w, want);
    for (std::int64_t group = 1; group <= 25; ++group) {
      SCOPED_TRACE(group);
      Guarded<BFloat16> y({kTokens, kOutputs});
      for (std::int64_t t = 0; t < kTokens; t += group) {
        const std::int64_t count = std::min(group, kTokens - t);
        multiply(ctx, x.view().rows(t, count), w, y.view().rows(t, count));
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
        multiply(ctx, x, part, y.view().columns(n, count));
      }
      EXPECT_EQ(y.values(), want.values());
    }
    for (const int threads : {1, 2, 3, 5}) {
      SCOPED_TRACE(threads);
      TestContext other(threads, ctx.cpu_isa());
      Guarded<BFloat16> y({kTokens, kOutputs}, 11);
      auto strided = Guarded<BFloat16>::of({kTokens, kInputs}, x.values(), 7);
      multiply(other, strided, w, y);
      EXPECT_EQ(y.values(), want.values());
      EXPECT_TRUE(y.intact());
    }
  });
}

TEST(Fp8MatmulBits, OfManyRowsAreThoseOfFew) {
  constexpr std::int64_t kTokens = 133, kOutputs = 130, kInputs = 2 * kGroup;
  const Stored stored(kOutputs, kInputs, 8);
  on_each_isa([&](Context& ctx) {
    auto x = Guarded<BFloat16>::random({kTokens, kInputs}, 1);
    Guarded<float> want({kTokens, kOutputs});
    PackedPart w(ctx, stored, 2);
    multiply(ctx, x, w, want);
    for (const std::int64_t group : {1, 16, 17, 64, 65}) {
      SCOPED_TRACE(group);
      Guarded<float> y({kTokens, kOutputs}, 2);
      for (std::int64_t t = 0; t < kTokens; t += group) {
        const std::int64_t count = std::min(group, kTokens - t);
        multiply(ctx, x.view().rows(t, count), w, y.view().rows(t, count));
      }
      EXPECT_EQ(y.values(), want.values());
      EXPECT_TRUE(y.intact());
    }
  });
}

/// With each kernel that the device may have: rows that come quantised, and rows that a product
/// quantises itself.
TEST(Fp8MatmulBits, OfRowsThatComeQuantizedAreThoseOfATensor) {
  constexpr std::int64_t kOutputs = 141, kInputs = 8 * 2 * kGroup;
  const Stored stored(kOutputs, kInputs, 3);
  for_each_isa([&](Context& ctx) {
    if (ctx.device().type != DeviceType::kCuda) return;
    for (const std::int64_t tokens : {1, 3, 4, 17, 65})
      for (const int leaves : {1, 2, 4, 8})
        with_each_fp8_kernel([&] {
          SCOPED_TRACE(dims({{"tokens", tokens}, {"leaves", leaves}}));
          auto x = Guarded<BFloat16>::random({tokens, kInputs}, 4, 3);
          PackedPart w(ctx, stored, leaves);
          Guarded<BFloat16> want({tokens, kOutputs}), y({tokens, kOutputs}, 3);
          Guarded<float> want_f32({tokens, kOutputs}), y_f32({tokens, kOutputs}, 1);
          RowsOfProduct rows(tokens, w.matrix());
          ops::quantize(ctx, x, rows.input());
          ops::matmul_tree(ctx, x, w.matrix(), leaves, want);
          ops::matmul_tree(ctx, rows.input(), w.matrix(), leaves, y);
          ops::matmul_tree(ctx, x, w.matrix(), leaves, want_f32);
          ops::matmul_tree(ctx, rows.input(), w.matrix(), leaves, y_f32);
          EXPECT_EQ(y.values(), want.values());
          EXPECT_EQ(y_f32.values(), want_f32.values());
          EXPECT_TRUE(y.intact() && y_f32.intact());
        });
  });
}

/// More rows than cuBLASLt's sums of all leaves have room for.
TEST(Fp8MatmulBits, OfRowsThatComeQuantizedDoNotDependOnChunks) {
  constexpr std::int64_t kOutputs = 20000, kInputs = 8 * kGroup;
  constexpr int kLeaves = 8;
  const std::int64_t chunk =
      cuda::fp8_cublaslt_scratch({4096, kInputs, kOutputs, kLeaves, true}).chunk;
  ASSERT_EQ(chunk, 256);
  const std::int64_t tokens = chunk + 3;
  for_each_isa([&](Context& ctx) {
    if (ctx.device().type != DeviceType::kCuda || !aligns_rows()) return;
    const Stored stored(kOutputs, kInputs, 3);
    TestContext large(1, ctx.cpu_isa(), std::size_t{256} << 20);
    PackedPart w(large, stored, kLeaves);
    auto x = Guarded<BFloat16>::random({tokens, kInputs}, 4);
    Guarded<BFloat16> y({tokens, kOutputs}), few({8, kOutputs});
    RowsOfProduct rows(tokens, w.matrix()), last(8, w.matrix());
    ops::quantize(large, x, rows.input());
    ops::matmul_tree(large, rows.input(), w.matrix(), kLeaves, y);
    ops::quantize(large, x.view().rows(tokens - 8, 8), last.input());
    ops::matmul_tree(large, last.input(), w.matrix(), kLeaves, few);
    for (std::int64_t t = 0; t < 8; ++t)
      for (std::int64_t n = 0; n < kOutputs; ++n)
        ASSERT_EQ(y.at(tokens - 8 + t, n), few.at(t, n)) << t << " " << n;
  });
}

TEST(Fp8MatmulBits, OfATreeDoNotDependOnRanks) {
  constexpr std::int64_t kOutputs = 77, kInputs = 8 * 2 * kGroup;
  const Stored stored(kOutputs, kInputs, 5);
  on_each_isa([&](Context& ctx) {
    for (const std::int64_t tokens : {5, 19, 65})
      for (const int leaves : {2, 4, 8}) {
        SCOPED_TRACE(dims({{"tokens", tokens}, {"leaves", leaves}}));
        auto x = Guarded<BFloat16>::random({tokens, kInputs}, 4);
        PackedPart w(ctx, stored, leaves);
        Guarded<float> want({tokens, kOutputs});
        multiply(ctx, x, w, want);
        for (int ranks = 1; ranks <= leaves; ranks *= 2) {
          SCOPED_TRACE(ranks);
          const std::int64_t inputs = kInputs / ranks;
          std::vector<std::vector<float>> partial;
          for (int r = 0; r < ranks; ++r) {
            PackedPart part(ctx, stored, {0, kOutputs, r * inputs, inputs, leaves / ranks});
            Guarded<float> y({tokens, kOutputs}, 3);
            multiply(ctx, x.view().columns(r * inputs, inputs), part, y);
            partial.push_back(y.values());
          }
          reduce_tree(ranks, [&](std::size_t i, std::size_t j) {
            for (std::size_t e = 0; e < partial[i].size(); ++e) partial[i][e] += partial[j][e];
          });
          EXPECT_EQ(partial[0], want.values());
        }
      }
  });
}

TEST(Fp8MatmulBits, AreThoseOfF32RoundedOnceToBf16) {
  constexpr std::int64_t kOutputs = 141, kInputs = 4 * 2 * kGroup;
  const Stored stored(kOutputs, kInputs, 6);
  on_each_isa([&](Context& ctx) {
    // cuBLASLt may choose another algorithm for another type of y.
    if (ctx.device().type == DeviceType::kCuda && !in_fp8_mma()) return;
    for (const int leaves : {1, 4})
      for (const std::int64_t tokens : {16, 17, 65}) {
        auto x = Guarded<BFloat16>::random({tokens, kInputs}, 4);
        PackedPart w(ctx, stored, leaves);
        Guarded<BFloat16> y({tokens, kOutputs}, 1);
        Guarded<float> want({tokens, kOutputs});
        multiply(ctx, x, w, y);
        multiply(ctx, x, w, want);
        for (std::int64_t t = 0; t < tokens; ++t)
          for (std::int64_t n = 0; n < kOutputs; ++n)
            ASSERT_EQ(y.at(t, n).bits, to_bfloat16(want.at(t, n)).bits) << t << " " << n;
        EXPECT_TRUE(y.intact());
      }
  });
}

/// Every value of e4m3 that is finite times 448, whose group then has the scale 1.
TEST(Fp8Matmul, EveryValueIsExact) {
  constexpr std::int64_t kPatterns = 256;
  Stored stored(kPatterns, 2 * kGroup, 1);
  const auto value_of = [](std::int64_t pattern) {
    const bool nan = (pattern & 0x7F) == 0x7F;
    return Float8E4M3{static_cast<std::uint8_t>(nan ? 0 : pattern)};
  };
  for (float& scale : stored.scales) scale = 1;
  on_each_isa([&](Context& ctx) {
    // Of weights: row t of x is 448 at input t.
    for (std::int64_t n = 0; n < kPatterns; ++n)
      for (std::int64_t k = 0; k < 2 * kGroup; ++k)
        stored.values[static_cast<std::size_t>(n * 2 * kGroup + k)] = value_of((n + k) % kPatterns);
    Guarded<BFloat16> x = Guarded<BFloat16>::filled({2 * kGroup, 2 * kGroup}, {});
    for (std::int64_t t = 0; t < 2 * kGroup; ++t) x.at(t, t) = to_bfloat16(448);
    PackedPart w(ctx, stored);
    Guarded<float> y({2 * kGroup, kPatterns});
    multiply(ctx, x, w, y);
    for (std::int64_t t = 0; t < 2 * kGroup; ++t)
      for (std::int64_t n = 0; n < kPatterns; ++n)
        ASSERT_EQ(y.at(t, n), 448 * to_float(value_of((n + t) % kPatterns))) << t << " " << n;
    // Of activations: output n has 1 at input n, and each group a 448 that no output sees.
    for (std::int64_t n = 0; n < kPatterns; ++n)
      for (std::int64_t k = 0; k < 2 * kGroup; ++k)
        stored.values[static_cast<std::size_t>(n * 2 * kGroup + k)] =
            to_float8_e4m3(n == k && k % kGroup != 0 ? 1.0F : 0.0F);
    for (std::int64_t t = 0; t < 2 * kGroup; ++t)
      for (std::int64_t k = 0; k < 2 * kGroup; ++k)
        x.at(t, k) = to_bfloat16(k % kGroup == 0 ? 448 : to_float(value_of((t + k) % kPatterns)));
    PackedPart ones(ctx, stored);
    multiply(ctx, x, ones, y);
    for (std::int64_t t = 0; t < 2 * kGroup; ++t)
      for (std::int64_t n = 0; n < kPatterns; ++n)
        if (n % kGroup != 0) {
          ASSERT_EQ(y.at(t, n), to_float(value_of((t + n) % kPatterns))) << t << " " << n;
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
    multiply(ctx, x, w, y);
    EXPECT_TRUE(close(y.doubles(), fp8_reference(x, stored, 1), fp8_bound(DType::kF32, kInputs)));
  });
}

TEST(Fp8Matmul, NoOutputOfARowThatIsNotFiniteIsFinite) {
  constexpr std::int64_t kInputs = 2 * kGroup;
  const Stored stored(35, kInputs, 9);
  on_each_isa([&](Context& ctx) {
    for (const auto& [bad, tokens] :
         {std::pair{INFINITY, 18}, {-INFINITY, 18}, {NAN, 18}, {INFINITY, 9}, {NAN, 9}}) {
      auto x = Guarded<BFloat16>::random({tokens, kInputs}, 2);
      Guarded<BFloat16> y({tokens, 35});
      PackedPart w(ctx, stored);
      x.at(7, 130) = to_bfloat16(bad);
      multiply(ctx, x, w, y);
      for (std::int64_t n = 0; n < 35; ++n) {
        EXPECT_FALSE(std::isfinite(to_float(y.at(7, n)))) << bad << " " << n;
        EXPECT_TRUE(std::isfinite(to_float(y.at(6, n))) && std::isfinite(to_float(y.at(8, n))));
      }
    }
  });
}

TEST(Fp8Kernel, FollowsFromTheComputeCapability) {
  using ops::Fp8Kernel;
  EXPECT_EQ(ops::fp8_kernel(9, 0), Fp8Kernel::kCublasLt);
  for (const auto& [major, minor] : {std::pair{8, 0}, {8, 6}, {8, 9}, {10, 0}, {10, 3}, {12, 0}})
    EXPECT_EQ(ops::fp8_kernel(major, minor), Fp8Kernel::kMma) << major << "." << minor;
  EXPECT_EQ(ops::fp8_kernel(7, 5), Fp8Kernel::kNone);
}

/// The emulator's cuBLASLt refuses FP8 where the devices claim another capability than 9.0.
TEST(Fp8Kernel, IsTheOneOfTheDevicesCapability) {
  constexpr std::int64_t kTokens = 9, kInputs = 2 * kGroup;
  const Stored stored(40, kInputs, 2);
  for_each_isa([&](Context& ctx) {
    if (!build::kCudaEmulated || ctx.device().type != DeviceType::kCuda) return;
    auto x = Guarded<BFloat16>::random({kTokens, kInputs}, 2);
    for (const char* capability : {"8.0", "8.6", "8.9", "12.0"}) {
      setenv("RETINUE_EMULATOR_CAPABILITY", capability, 1);
      for (const std::int64_t tokens : {std::int64_t{1}, kTokens}) {
        PackedPart w(ctx, stored);
        Guarded<float> y({tokens, 40});
        ops::matmul(ctx, x.view().rows(0, tokens), w.matrix(), {}, y);
        EXPECT_TRUE(
            close(y.doubles(), fp8_reference(x, stored, tokens), fp8_bound(DType::kF32, kInputs)))
            << capability;
      }
    }
    unsetenv("RETINUE_EMULATOR_CAPABILITY");
  });
}

}  // namespace
}  // namespace retinue::test
