#include "layers/kernels/cuda/wgmma_matmul.h"

#include "parallel/base/reduce_tree.h"
#include "parallel/mesh/shard.h"
#include "tests/support/op_test.h"
#include "tests/support/reference.h"

#include <gtest/gtest.h>

#include <cstdlib>

namespace retinue::test {
namespace {

/// On every GPU of compute capability 9.0, with rows unaligned and aligned; another has no such kernel.
template <class Body>
void on_hopper(Body&& body) {
  for_each_isa([&](Context& ctx) {
    if (ctx.device().type == DeviceType::kCpu) return;
    const auto [major, minor] = cuda::compute_capability(ctx.device().index);
    if (ops::own_kernel_serves(major, minor, 64)) body(ctx);
  });
}

/// A weight that the own kernel multiplies.
class OwnWeight {
 public:
  OwnWeight(Context& ctx, Guarded<BFloat16>& rows, std::int64_t outputs, std::int64_t inputs)
      : packed_(ctx, rows, outputs, inputs), matrix_(packed_.matrix()) {
    matrix_.own_kernel = true;
  }
  /// Some of the outputs, and of the inputs.
  OwnWeight(Context& ctx, Guarded<BFloat16>& rows, Slice outputs, Slice inputs)
      : OwnWeight(ctx, part_of(rows, outputs, inputs), outputs.count, inputs.count) {}
  [[nodiscard]] const ops::PackedMatrix& matrix() const { return matrix_; }
  [[nodiscard]] bool intact() { return packed_.intact(); }

 private:
  OwnWeight(Context& ctx, Guarded<BFloat16>&& rows, std::int64_t outputs, std::int64_t inputs)
      : OwnWeight(ctx, rows, outputs, inputs) {}
  static Guarded<BFloat16> part_of(Guarded<BFloat16>& rows, Slice outputs, Slice inputs) {
    std::vector<BFloat16> values;
    for (std::int64_t n = 0; n < outputs.count; ++n)
      for (std::int64_t k = 0; k < inputs.count; ++k)
        values.push_back(rows.at(outputs.begin + n, inputs.begin + k));
    return Guarded<BFloat16>::of({outputs.count, inputs.count}, values);
  }

  Packed<BFloat16> packed_;
  ops::PackedMatrix matrix_;
};

struct Product {
  std::int64_t tokens, outputs, leaf_inputs;
  int leaves;
  [[nodiscard]] std::int64_t inputs() const { return leaf_inputs * leaves; }
};

class WgmmaMatmul : public testing::TestWithParam<Product> {};

/// A leaf's accumulator takes all its products, sixteen at once, and the leaves meet: at most as many
/// roundings as inputs. Of each sixteen and the sum tensor cores may lose what lies below the last bit of
/// the largest (matmul_test.cpp: twice as many). The result is rounded once.
Bound wgmma_bound(DType dtype, std::int64_t inputs) {
  return bound_of(dtype, 1, 2 * static_cast<double>(inputs) + 1);
}

TEST_P(WgmmaMatmul, MatchesF64Reference) {
  const Product p = GetParam();
  on_hopper([&](Context& ctx) {
    auto x = Guarded<BFloat16>::random({p.tokens, p.inputs()}, 1, 3);
    auto rows = Guarded<BFloat16>::random({p.outputs, p.inputs()}, 2);
    Guarded<BFloat16> y({p.tokens, p.outputs}, 5);
    Guarded<float> y_f32({p.tokens, p.outputs}, 1);
    OwnWeight w(ctx, rows, p.outputs, p.inputs());
    ops::matmul_tree(ctx, x, w.matrix(), p.leaves, y);
    ops::matmul_tree(ctx, x, w.matrix(), p.leaves, y_f32);
    const auto want =
        matmul_reference(x.doubles(), rows.doubles(), {}, p.tokens, p.outputs, p.inputs());
    EXPECT_TRUE(close(y.doubles(), want, wgmma_bound(DType::kBF16, p.inputs())));
    EXPECT_TRUE(close(y_f32.doubles(), want, wgmma_bound(DType::kF32, p.inputs())));
    EXPECT_TRUE(y.intact() && y_f32.intact() && w.intact());
    for (std::int64_t t = 0; t < p.tokens; ++t)
      for (std::int64_t n = 0; n < p.outputs; ++n)
        ASSERT_EQ(y.at(t, n).bits, to_bfloat16(y_f32.at(t, n)).bits) << "rounded once";
  });
}

INSTANTIATE_TEST_SUITE_P(Shapes, WgmmaMatmul,
                         testing::Values(Product{1, 1, 64, 1}, Product{3, 65, 64, 2},
                                         Product{64, 64, 128, 4},   // one small tile
                                         Product{65, 128, 64, 8},   // one past it
                                         Product{129, 130, 64, 8},  // one past the large tile
                                         Product{67, 33, 1664, 1},  // rings go around five times
                                         Product{5, 7, 896, 2}),    // 28 boxes in a ring of 12
                         [](const auto& test) {
                           const Product& p = test.param;
                           return dims({{"tokens", p.tokens},
                                        {"outputs", p.outputs},
                                        {"leaf_inputs", p.leaf_inputs},
                                        {"leaves", p.leaves}});
                         });

TEST(WgmmaMatmulBits, DependOnTheRowAlone) {
  constexpr std::int64_t kTokens = 131, kOutputs = 197, kInputs = 8 * 64;
  on_hopper([&](Context& ctx) {
    auto x = Guarded<BFloat16>::random({kTokens, kInputs}, 1);
    auto rows = Guarded<BFloat16>::random({kOutputs, kInputs}, 2);
    Guarded<float> want({kTokens, kOutputs});
    OwnWeight w(ctx, rows, kOutputs, kInputs);
    ops::matmul_tree(ctx, x, w.matrix(), 8, want);
    // Both tiles, and rows at each place of them.
    for (const std::int64_t group : {1, 7, 63, 64, 65, 128, 130}) {
      SCOPED_TRACE(group);
      Guarded<float> y({kTokens, kOutputs}, 3);
      for (std::int64_t t = 0; t < kTokens; t += group) {
        const std::int64_t count = std::min(group, kTokens - t);
        ops::matmul_tree(ctx, x.view().rows(t, count), w.matrix(), 8, y.view().rows(t, count));
      }
      EXPECT_TRUE(same_bits(y, want));
      EXPECT_TRUE(y.intact());
    }
    for (const std::int64_t width : {31, 64, 100, 128, 196}) {
      SCOPED_TRACE(width);
      Guarded<float> y({kTokens, kOutputs});
      for (std::int64_t n = 0; n < kOutputs; n += width) {
        const std::int64_t count = std::min(width, kOutputs - n);
        OwnWeight part(ctx, rows, Slice{n, count}, Slice{0, kInputs});
        ops::matmul_tree(ctx, x, part.matrix(), 8, y.view().columns(n, count));
      }
      EXPECT_TRUE(same_bits(y, want));
    }
  });
}

/// Ranks that own 8/t leaves each and add their partials in the tree give the bits of one rank.
TEST(WgmmaMatmulBits, DoNotDependOnRanks) {
  constexpr std::int64_t kOutputs = 70, kInputs = 8 * 128;
  for (const std::int64_t tokens : {9, 66})
    on_hopper([&](Context& ctx) {
      auto x = Guarded<BFloat16>::random({tokens, kInputs}, 4);
      auto rows = Guarded<BFloat16>::random({kOutputs, kInputs}, 5);
      OwnWeight w(ctx, rows, kOutputs, kInputs);
      Guarded<float> want({tokens, kOutputs});
      ops::matmul_tree(ctx, x, w.matrix(), kMaxLeaves, want);
      for (const int ranks : {1, 2, 4, 8}) {
        SCOPED_TRACE(ranks);
        const std::int64_t inputs_per_rank = kInputs / ranks;
        std::vector<Guarded<float>> partial;
        for (int r = 0; r < ranks; ++r) {
          const Slice inputs{r * inputs_per_rank, inputs_per_rank};
          OwnWeight own(ctx, rows, Slice{0, kOutputs}, inputs);
          partial.emplace_back(Shape{tokens, kOutputs});
          ops::matmul_tree(ctx, x.view().columns(inputs.begin, inputs.count), own.matrix(),
                           kMaxLeaves / ranks, partial.back());
        }
        reduce_tree(ranks, [&](int i, int j) {
          auto& to = partial[static_cast<std::size_t>(i)];
          const auto from = partial[static_cast<std::size_t>(j)].values();
          std::size_t at = 0;
          to.for_each([&](float& sum) { sum += from[at++]; });
        });
        EXPECT_TRUE(same_bits(partial[0], want));
      }
    });
}

TEST(WgmmaMatmulBits, NaNStaysInItsRowAndInItsOutput) {
  constexpr std::int64_t kTokens = 70, kOutputs = 66, kInputs = 128;
  on_hopper([&](Context& ctx) {
    auto x = Guarded<BFloat16>::random({kTokens, kInputs}, 8);
    auto rows = Guarded<BFloat16>::random({kOutputs, kInputs}, 9);
    x.at(5, 3) = from_double<BFloat16>(NAN);
    rows.at(33, 77) = from_double<BFloat16>(NAN);
    OwnWeight w(ctx, rows, kOutputs, kInputs);
    Guarded<BFloat16> y({kTokens, kOutputs});
    ops::matmul_tree(ctx, x, w.matrix(), 2, y);
    for (std::int64_t t = 0; t < kTokens; ++t)
      for (std::int64_t n = 0; n < kOutputs; ++n)
        EXPECT_EQ(std::isnan(as_double(y.at(t, n))), t == 5 || n == 33) << t << ", " << n;
  });
}

TEST(WgmmaMatmulBits, RefusesWhatItDoesNotServe) {
  on_hopper([&](Context& ctx) {
    auto rows = Guarded<BFloat16>::random({8, 96}, 1);
    auto x = Guarded<BFloat16>::random({2, 96}, 2);
    auto bias = Guarded<BFloat16>::random({8}, 3);
    Guarded<float> y({2, 8});
    OwnWeight w(ctx, rows, 8, 96);  // leaves of 96 and 48
    EXPECT_THROW(ops::matmul(ctx, x, w.matrix(), {}, y), BugError);
    EXPECT_THROW(ops::matmul_tree(ctx, x, w.matrix(), 2, y), BugError);
    EXPECT_THROW(ops::matmul(ctx, x, w.matrix(), bias, y), BugError);
  });
  TestContext cpu;
  auto rows = Guarded<BFloat16>::random({8, 64}, 1);
  auto x = Guarded<BFloat16>::random({2, 64}, 2);
  Guarded<float> y({2, 8});
  OwnWeight w(cpu, rows, 8, 64);
  EXPECT_THROW(ops::matmul(cpu, x, w.matrix(), {}, y), BugError);
  for (const auto& [major, minor] : {std::pair{8, 0}, {8, 9}, {10, 0}, {12, 0}})
    EXPECT_FALSE(ops::own_kernel_serves(major, minor, 64)) << major;
}

}  // namespace
}  // namespace retinue::test
