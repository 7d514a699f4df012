#include "layers/ops/matmul.h"

#include "parallel/base/reduce_tree.h"
#include "tests/support/op_test.h"
#include "tests/support/reference.h"

#include <gtest/gtest.h>

namespace retinue::test {
namespace {

struct Product {
  std::int64_t tokens, outputs, inputs;
  [[nodiscard]] std::string text() const {
    return dims({{"tokens", tokens}, {"outputs", outputs}, {"inputs", inputs}});
  }
};

class Matmul : public testing::TestWithParam<Instance<Product>> {};

/// One accumulator takes `inputs` additions; an instruction that multiplies pairs rounds the
/// products too. The result is rounded once.
Bound matmul_bound(DType dtype, std::int64_t inputs) {
  return bound_of(dtype, 1, 2 * static_cast<double>(inputs) + 1);
}

TEST_P(Matmul, MatchesF64Reference) {
  const auto [tokens, outputs, inputs] = GetParam().shape;
  for_dtype(GetParam().dtype, [&](auto element) {
    using T = decltype(element);
    for_each_isa([&](Context& ctx) {
      auto x = Guarded<T>::random({tokens, inputs}, 1, 3);
      auto rows = Guarded<T>::random({outputs, inputs}, 2);
      auto bias = Guarded<T>::random({outputs}, 3);
      Guarded<T> y({tokens, outputs}, 5), y_plain({tokens, outputs});
      Guarded<float> y_f32({tokens, outputs}, 1);
      Packed<T> w(ctx, rows, outputs, inputs);
      ops::matmul(ctx, x, w.matrix(), bias, y);
      ops::matmul(ctx, x, w.matrix(), {}, y_plain);
      ops::matmul(ctx, x, w.matrix(), bias, y_f32);
      const auto want =
          matmul_reference(x.doubles(), rows.doubles(), bias.doubles(), tokens, outputs, inputs);
      const auto want_plain =
          matmul_reference(x.doubles(), rows.doubles(), {}, tokens, outputs, inputs);
      EXPECT_TRUE(close(y.doubles(), want, matmul_bound(dtype_of<T>(), inputs)));
      EXPECT_TRUE(close(y_plain.doubles(), want_plain, matmul_bound(dtype_of<T>(), inputs)));
      EXPECT_TRUE(close(y_f32.doubles(), want, matmul_bound(DType::kF32, inputs)));
      EXPECT_TRUE(y.intact() && y_plain.intact() && y_f32.intact() && w.intact());
    });
  });
}

INSTANTIATE_TEST_SUITE_P(Shapes, Matmul,
                         testing::ValuesIn(in_each_dtype<Product>({
                             {1, 1, 1},
                             {1, 16, 2},
                             {1, 17, 3},
                             {1, 129, 96},  // one past eight panels
                             {2, 49, 64},   // one past three panels
                             {3, 385, 31},  // one past a piece of 24 panels
                             {7, 33, 130},
                             {8, 48, 37},
                             {9, 47, 101},
                             {15, 97, 7},
                             {31, 144, 257},
                             {67, 31, 512},
                             {4, 13, 4304},     // the sum of the vision MLP
                             {2065, 17, 1024},  // 17 past a sweep of rows, packed in parts
                         })),
                         InstanceName{});

template <class T>
class MatmulBits : public testing::Test {};
using Elements = testing::Types<float, BFloat16>;
TYPED_TEST_SUITE(MatmulBits, Elements);

/// Compares everything that must not change a row's bits with one plain call.
TYPED_TEST(MatmulBits, DependOnTheRowAlone) {
  using T = TypeParam;
  constexpr std::int64_t kTokens = 29, kOutputs = 403, kInputs = 336;
  for_each_isa([&](Context& ctx) {
    auto x = Guarded<T>::random({kTokens, kInputs}, 1);
    auto rows = Guarded<T>::random({kOutputs, kInputs}, 2);
    auto bias = Guarded<T>::random({kOutputs}, 3);
    Guarded<T> want({kTokens, kOutputs});
    Packed<T> w(ctx, rows, kOutputs, kInputs);
    ops::matmul(ctx, x, w.matrix(), bias, want);
    // Rows in groups that are cut into tiles in every way.
    for (std::int64_t group = 1; group <= 25; ++group) {
      SCOPED_TRACE(group);
      Guarded<T> y({kTokens, kOutputs});
      for (std::int64_t t = 0; t < kTokens; t += group) {
        const std::int64_t count = std::min(group, kTokens - t);
        ops::matmul(ctx, x.view().rows(t, count), w.matrix(), bias, y.view().rows(t, count));
      }
      EXPECT_TRUE(same_bits(y, want));
    }
    // Outputs split as over ranks, evenly or not.
    for (const std::int64_t width : {1, 15, 16, 17, 48, 101, 200, 402}) {
      SCOPED_TRACE(width);
      Guarded<T> y({kTokens, kOutputs});
      for (std::int64_t n = 0; n < kOutputs; n += width) {
        const std::int64_t count = std::min(width, kOutputs - n);
        auto slice = Guarded<T>::of({count, kInputs}, [&] {
          std::vector<T> values;
          for (std::int64_t i = 0; i < count; ++i)
            for (std::int64_t k = 0; k < kInputs; ++k) values.push_back(rows.at(n + i, k));
          return values;
        }());
        Packed<T> part(ctx, slice, count, kInputs);
        auto part_bias = Guarded<T>::of({count}, [&] {
          std::vector<T> values;
          for (std::int64_t i = 0; i < count; ++i) values.push_back(bias.at(n + i));
          return values;
        }());
        ops::matmul(ctx, x, part.matrix(), part_bias, y.view().columns(n, count));
      }
      EXPECT_TRUE(same_bits(y, want));
    }
    for (const int threads : {1, 2, 3, 5}) {
      SCOPED_TRACE(threads);
      TestContext other(threads, ctx.cpu_isa());
      Guarded<T> y({kTokens, kOutputs}, 11);
      auto strided = Guarded<T>::of({kTokens, kInputs}, x.values(), 7);
      ops::matmul(other, strided, w.matrix(), bias, y);
      EXPECT_TRUE(same_bits(y, want));
      EXPECT_TRUE(y.intact());
    }
  });
}

/// Ranks that own 8/t leaves each and add their partials in the tree give the bits of one rank.
TYPED_TEST(MatmulBits, OfATreeDoNotDependOnRanks) {
  using T = TypeParam;
  constexpr std::int64_t kTokens = 11, kOutputs = 77, kInputs = 8 * 26;
  for_each_isa([&](Context& ctx) {
    auto x = Guarded<T>::random({kTokens, kInputs}, 4);
    auto rows = Guarded<T>::random({kOutputs, kInputs}, 5);
    Packed<T> w(ctx, rows, kOutputs, kInputs);
    Guarded<float> want({kTokens, kOutputs});
    ops::matmul_tree(ctx, x, w.matrix(), kMaxLeaves, want);
    for (const int ranks : {1, 2, 4, 8}) {
      SCOPED_TRACE(ranks);
      const std::int64_t inputs_per_rank = kInputs / ranks;
      std::vector<Guarded<float>> partial;
      for (int r = 0; r < ranks; ++r) {
        std::vector<T> values;
        for (std::int64_t n = 0; n < kOutputs; ++n)
          for (std::int64_t k = 0; k < inputs_per_rank; ++k)
            values.push_back(rows.at(n, r * inputs_per_rank + k));
        auto slice = Guarded<T>::of({kOutputs, inputs_per_rank}, values);
        Packed<T> own(ctx, slice, kOutputs, inputs_per_rank);
        partial.emplace_back(Shape{kTokens, kOutputs});
        ops::matmul_tree(ctx, x.view().columns(r * inputs_per_rank, inputs_per_rank), own.matrix(),
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
    // And rows, as above.
    Guarded<float> alone({kTokens, kOutputs});
    for (std::int64_t t = 0; t < kTokens; ++t)
      ops::matmul_tree(ctx, x.view().rows(t, 1), w.matrix(), kMaxLeaves, alone.view().rows(t, 1));
    EXPECT_TRUE(same_bits(alone, want));
  });
}

TYPED_TEST(MatmulBits, OfATreeMatchTheF64Reference) {
  using T = TypeParam;
  for (const int leaves : {1, 2, 4, 8})
    for_each_isa([&](Context& ctx) {
      constexpr std::int64_t kTokens = 9, kOutputs = 65;
      const std::int64_t inputs = 34 * leaves;
      auto x = Guarded<T>::random({kTokens, inputs}, 6);
      auto rows = Guarded<T>::random({kOutputs, inputs}, 7);
      Packed<T> w(ctx, rows, kOutputs, inputs);
      Guarded<T> y({kTokens, kOutputs}, 3);
      ops::matmul_tree(ctx, x, w.matrix(), leaves, y);
      EXPECT_TRUE(close(
          y.doubles(), matmul_reference(x.doubles(), rows.doubles(), {}, kTokens, kOutputs, inputs),
          matmul_bound(dtype_of<T>(), inputs)));
      EXPECT_TRUE(y.intact());
    });
}

TYPED_TEST(MatmulBits, NaNStaysInItsRowAndInItsOutput) {
  using T = TypeParam;
  constexpr std::int64_t kTokens = 19, kOutputs = 50, kInputs = 24;
  for_each_isa([&](Context& ctx) {
    auto x = Guarded<T>::random({kTokens, kInputs}, 8);
    auto rows = Guarded<T>::random({kOutputs, kInputs}, 9);
    x.at(5, 3) = from_double<T>(NAN);
    rows.at(33, 7) = from_double<T>(NAN);
    Packed<T> w(ctx, rows, kOutputs, kInputs);
    Guarded<T> y({kTokens, kOutputs});
    ops::matmul(ctx, x, w.matrix(), {}, y);
    for (std::int64_t t = 0; t < kTokens; ++t)
      for (std::int64_t n = 0; n < kOutputs; ++n)
        EXPECT_EQ(std::isnan(as_double(y.at(t, n))), t == 5 || n == 33) << t << ", " << n;
  });
}

TEST(Matmul, PacksRowsInAnyOrderOfCalls) {
  TestContext ctx;
  auto rows = Guarded<BFloat16>::random({37, 11}, 1);
  Packed<BFloat16> whole(ctx, rows, 37, 11);
  auto data = Guarded<BFloat16>::filled(Shape{ops::packed_numel({}, DType::kBF16, 37, 11)}, {});
  const ops::PackedMatrix pieces{data.view(), 37, 11};
  for (const auto& [first, count] : {std::pair{20, 17}, {0, 3}, {3, 17}})
    ops::pack_rows(ctx, rows.view().rows(first, count), first, pieces);
  EXPECT_EQ(
      0, std::memcmp(pieces.data.bytes(), whole.matrix().data.bytes(), pieces.data.size_bytes()));
  EXPECT_TRUE(data.intact());
}

TEST(Matmul, OfNoRowsDoesNothing) {
  TestContext ctx;
  auto rows = Guarded<float>::random({5, 4}, 1);
  Packed<float> w(ctx, rows, 5, 4);
  Guarded<float> x({0, 4}), y({0, 5});
  ops::matmul(ctx, x, w.matrix(), {}, y);
  EXPECT_TRUE(y.intact());
}

TEST(Matmul, RefusesWhatDoesNotFit) {
  TestContext ctx;
  auto rows = Guarded<float>::random({5, 24}, 1);
  Packed<float> w(ctx, rows, 5, 24);
  auto x = Guarded<float>::random({3, 24}, 2);
  auto x_wide = Guarded<float>::random({3, 25}, 2);
  auto x_bf16 = Guarded<BFloat16>::random({3, 24}, 2);
  auto bias = Guarded<float>::random({4}, 3);
  auto bias_bf16 = Guarded<BFloat16>::random({5}, 3);
  Guarded<float> y({3, 5}), y_narrow({3, 4}), y_tall({4, 5});
  Guarded<BFloat16> y_bf16({3, 5});
  EXPECT_THROW(ops::matmul(ctx, x_wide, w.matrix(), {}, y), BugError);
  EXPECT_THROW(ops::matmul(ctx, x_bf16, w.matrix(), {}, y), BugError);
  EXPECT_THROW(ops::matmul(ctx, x, w.matrix(), bias, y), BugError);
  EXPECT_THROW(ops::matmul(ctx, x, w.matrix(), bias_bf16, y), BugError);
  EXPECT_THROW(ops::matmul(ctx, x, w.matrix(), {}, y_narrow), BugError);
  EXPECT_THROW(ops::matmul(ctx, x, w.matrix(), {}, y_tall), BugError);
  EXPECT_THROW(ops::matmul(ctx, x, w.matrix(), {}, y_bf16), BugError);
  for (const int leaves : {0, 3, 16})
    EXPECT_THROW(ops::matmul_tree(ctx, x, w.matrix(), leaves, y), BugError) << leaves;
  auto rows_bf16 = Guarded<BFloat16>::random({5, 24}, 1);
  Packed<BFloat16> w_bf16(ctx, rows_bf16, 5, 24);
  EXPECT_THROW(ops::matmul_tree(ctx, x_bf16, w_bf16.matrix(), 8, y), BugError);  // leaves of three
  EXPECT_THROW(ops::pack_rows(ctx, rows, 1, w.matrix()), BugError);
  EXPECT_THROW(ops::pack_rows(ctx, x_bf16, 0, w.matrix()), BugError);
  TestContext small(1, detect_cpu_isa(), 16);
  EXPECT_THROW(ops::matmul(small, x, w.matrix(), {}, y), BugError);
}

}  // namespace
}  // namespace retinue::test
