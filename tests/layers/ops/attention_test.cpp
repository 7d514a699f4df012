#include "layers/ops/attention.h"

#include "tests/support/op_test.h"
#include "tests/support/reference.h"

#include <gtest/gtest.h>

namespace retinue::test {
namespace {

struct Segments {
  std::vector<std::int64_t> lengths;
  std::int64_t heads, head_dim;
  [[nodiscard]] std::int64_t patches() const {
    std::int64_t sum = 0;
    for (const std::int64_t n : lengths) sum += n;
    return sum;
  }
  [[nodiscard]] std::vector<std::int64_t> cu_seqlens() const {
    std::vector<std::int64_t> cu = {0};
    for (const std::int64_t n : lengths) cu.push_back(cu.back() + n);
    return cu;
  }
  [[nodiscard]] std::string text() const {
    std::string all = "segments";
    for (const std::int64_t n : lengths) all += std::to_string(n) + "_";
    return all + dims({{"heads", heads}, {"head_dim", head_dim}});
  }
};

class Attention : public testing::TestWithParam<Instance<Segments>> {};

/// A score is a sum of head_dim products, exponentiated: its error is relative to the probability,
/// as |score| · steps. Probabilities are rounded to the dtype before they meet v, and the sum of up
/// to `keys` terms is rounded in f32. The result is rounded once.
Bound attention_bound(DType dtype, std::int64_t keys, std::int64_t head_dim, double score) {
  const double steps =
      static_cast<double>(2 * keys) + 2 * score * static_cast<double>(2 * head_dim) + 16;
  Bound bound = bound_of(dtype, 1, steps);
  const double probability = dtype == DType::kBF16 ? unit_roundoff(dtype) : 0;
  bound.of_magnitude += probability, bound.spread += probability;
  return bound;
}

TEST_P(Attention, MatchesF64Reference) {
  const Segments s = GetParam().shape;
  const std::int64_t width = s.heads * s.head_dim, patches = s.patches();
  const auto scale = static_cast<float>(1 / std::sqrt(static_cast<double>(s.head_dim)));
  for_dtype(GetParam().dtype, [&](auto element) {
    using T = decltype(element);
    const Shape shape{patches, s.heads, s.head_dim};
    auto q = Guarded<T>::random(shape, 1, 2 * width, 2);
    auto k = Guarded<T>::random(shape, 2, 2 * width, 2);
    auto v = Guarded<T>::random(shape, 3, 2 * width);
    const auto head_of = [&](Guarded<T>& x, std::int64_t first, std::int64_t count,
                             std::int64_t h) {
      Doubles out;
      for (std::int64_t t = first; t < first + count; ++t)
        for (std::int64_t c = 0; c < s.head_dim; ++c)
          out.push_back(as_double(x.at(t, h * s.head_dim + c)));
      return out;
    };
    struct Part {
      std::int64_t first, length, head;
      Expected want;
    };
    std::vector<Part> parts;
    std::int64_t first = 0;
    for (const std::int64_t n : s.lengths) {
      for (std::int64_t h = 0; h < s.heads; ++h)
        parts.push_back(
            {first, n, h,
             attention_reference(head_of(q, first, n, h), head_of(k, first, n, h),
                                 head_of(v, first, n, h),
                                 std::vector<std::int64_t>(std::size_t(n), n), s.head_dim, scale)});
      first += n;
    }
    for_each_isa([&](Context& ctx) {
      Guarded<T> y({patches, width}, 5);
      ops::attention(ctx, q, k, v, s.cu_seqlens(), scale, y);
      for (const Part& part : parts)
        EXPECT_TRUE(close(head_of(y, part.first, part.length, part.head), part.want,
                          attention_bound(dtype_of<T>(), part.length, s.head_dim, 4)))
            << "rows from " << part.first << ", head " << part.head;
      EXPECT_TRUE(y.intact());
    });
  });
}

INSTANTIATE_TEST_SUITE_P(Shapes, Attention,
                         testing::ValuesIn(in_each_dtype<Segments>({
                             {{1}, 1, 2},
                             {{2, 3}, 2, 6},
                             {{7, 0, 17}, 2, 16},
                             {{16}, 1, 64},
                             {{31, 33}, 3, 72},
                             {{127}, 1, 72},
                             {{128, 5}, 2, 64},
                             {{129}, 1, 34},   // one past a tile
                             {{513}, 2, 72},   // one past a split
                             {{1100}, 1, 64},  // three splits
                             {{40}, 1, 128},
                             {{20}, 1, 256},
                         })),
                         InstanceName{});

template <class T>
class AttentionBits : public testing::Test {};
using Elements = testing::Types<float, BFloat16>;
TYPED_TEST_SUITE(AttentionBits, Elements);

TYPED_TEST(AttentionBits, OfASegmentDependOnNothingElse) {
  using T = TypeParam;
  const std::vector<std::int64_t> lengths = {5, 130, 1, 517, 16};
  const std::int64_t heads = 3, head_dim = 72, patches = 669;
  std::vector<std::int64_t> cu = {0};
  for (const std::int64_t n : lengths) cu.push_back(cu.back() + n);
  for_each_isa([&](Context& ctx) {
    auto qkv = Guarded<T>::random({patches, 3 * heads * head_dim}, 1);
    const auto part = [&](std::int64_t i) {  // views of one fused qkv
      const auto columns = qkv.view().columns(i * heads * head_dim, heads * head_dim);
      return TensorView(columns.bytes(), columns.dtype(), Shape{patches, heads, head_dim},
                        columns.row_stride());
    };
    Guarded<T> want({patches, heads * head_dim});
    ops::attention(ctx, part(0), part(1), part(2), cu, 0.125F, want);
    Guarded<T> alone({patches, heads * head_dim});
    for (std::size_t i = 0; i < lengths.size(); ++i) {
      const std::vector<std::int64_t> one = {0, lengths[i]};
      const auto rows = [&](TensorView x) { return x.rows(cu[i], lengths[i]); };
      ops::attention(ctx, rows(part(0)), rows(part(1)), rows(part(2)), one, 0.125F,
                     rows(alone.view()));
    }
    EXPECT_TRUE(same_bits(alone, want));
    for (const int threads : {1, 3, 5}) {
      TestContext other(threads, ctx.cpu_isa());
      Guarded<T> y({patches, heads * head_dim});
      ops::attention(other, part(0), part(1), part(2), cu, 0.125F, y);
      EXPECT_TRUE(same_bits(y, want)) << threads;
    }
  });
}

TYPED_TEST(AttentionBits, KeepNaNInItsSegmentAndHead) {
  using T = TypeParam;
  const std::vector<std::int64_t> cu = {0, 20, 50};
  for_each_isa([&](Context& ctx) {
    for (const bool in_value : {false, true}) {
      auto q = Guarded<T>::random({50, 2, 16}, 1), k = Guarded<T>::random({50, 2, 16}, 2);
      auto v = Guarded<T>::random({50, 2, 16}, 3);
      (in_value ? v : k).at(7, 16 + 3) = from_double<T>(NAN);  // first segment, second head
      Guarded<T> y({50, 32});
      ops::attention(ctx, q, k, v, cu, 0.25F, y);
      for (std::int64_t t = 0; t < 50; ++t)
        for (std::int64_t c = 0; c < 32; ++c) {
          const bool touched = t < 20 && (in_value ? c == 16 + 3 : c >= 16);
          EXPECT_EQ(std::isnan(as_double(y.at(t, c))), touched) << t << ", " << c;
        }
    }
  });
}

/// Scores of ±10⁴: the running maximum keeps the exponentials finite; the largest takes all.
TYPED_TEST(AttentionBits, OfLargeScoresAreFinite) {
  using T = TypeParam;
  constexpr std::int64_t kKeys = 600;
  for_each_isa([&](Context& ctx) {
    auto q = Guarded<T>::filled({kKeys, 1, 16}, from_double<T>(32));
    auto k = Guarded<T>::random({kKeys, 1, 16}, 2, 0, 1);
    auto v = Guarded<T>::random({kKeys, 1, 16}, 3);
    constexpr std::int64_t kLargest = 577;
    for (std::int64_t c = 0; c < 16; ++c) k.at(kLargest, c) = from_double<T>(20);
    const std::vector<std::int64_t> cu = {0, kKeys};
    Guarded<T> y({kKeys, 16});
    ops::attention(ctx, q, k, v, cu, 1.0F, y);
    for (std::int64_t t = 0; t < kKeys; ++t)
      for (std::int64_t c = 0; c < 16; ++c)
        EXPECT_EQ(as_float(y.at(t, c)), as_float(v.at(kLargest, c))) << t << ", " << c;
  });
}

/// A key whose score is -inf has no part in the result.
TYPED_TEST(AttentionBits, GiveMinusInfinityNoWeight) {
  using T = TypeParam;
  for_each_isa([&](Context& ctx) {
    auto q = Guarded<T>::filled({30, 1, 16}, from_double<T>(1));
    auto k = Guarded<T>::random({30, 1, 16}, 2);
    auto v = Guarded<T>::filled({30, 1, 16}, from_double<T>(3));
    k.at(4, 0) = from_double<T>(-INFINITY);
    for (std::int64_t c = 0; c < 16; ++c) v.at(4, c) = from_double<T>(1e9);
    const std::vector<std::int64_t> cu = {0, 30};
    Guarded<T> y({30, 16});
    ops::attention(ctx, q, k, v, cu, 1.0F, y);
    // A mean of equal values: off by the rounded probabilities at most.
    for (const double value : y.doubles()) EXPECT_NEAR(value, 3, 3 * 0x1p-7);
  });
}

TEST(Attention, RefusesWhatDoesNotFit) {
  TestContext ctx;
  Guarded<float> q({6, 2, 8}), k({6, 2, 8}), other({5, 2, 8}), odd({6, 2, 7}), y({6, 16}),
      y_odd({6, 14});
  Guarded<float> large({6, 1, 258}), y_large({6, 258}), narrow({6, 15});
  Guarded<BFloat16> v_bf16({6, 2, 8}), y_bf16({6, 16});
  const auto run = [&](TensorView a, TensorView b, TensorView c,
                       const std::vector<std::int64_t>& cu,
                       TensorView to) { ops::attention(ctx, a, b, c, cu, 1, to); };
  EXPECT_THROW(run(q, other, k, {0, 6}, y), BugError);
  EXPECT_THROW(run(q, k, v_bf16, {0, 6}, y), BugError);
  EXPECT_THROW(run(q, k, k, {0, 6}, y_bf16), BugError);
  EXPECT_THROW(run(q, k, k, {0, 6}, narrow), BugError);
  EXPECT_THROW(run(odd, odd, odd, {0, 6}, y_odd), BugError);
  EXPECT_THROW(run(large, large, large, {0, 6}, y_large), BugError);
  EXPECT_THROW(run(q, k, k, {}, y), BugError);
  EXPECT_THROW(run(q, k, k, {0, 5}, y), BugError);
  EXPECT_THROW(run(q, k, k, {1, 6}, y), BugError);
  EXPECT_THROW(run(q, k, k, {0, 4, 3, 6}, y), BugError);
}

}  // namespace
}  // namespace retinue::test
