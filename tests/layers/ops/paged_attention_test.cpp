#include "layers/ops/paged_attention.h"

#include "layers/ops/kv_write.h"
#include "tests/support/kv_words.h"
#include "tests/support/op_test.h"
#include "tests/support/quantized_rows.h"
#include "tests/support/reference.h"

#include <gtest/gtest.h>

#include <numeric>

namespace retinue::test {
namespace {

/// One sequence's queries, keys and values from position 0 on.
template <class T>
struct Sequence {
  std::int64_t tokens, heads, kv_heads, head_dim;
  Guarded<T> q, k, v, y;

  Sequence(std::int64_t n, std::int64_t h, std::int64_t kv, std::int64_t d, std::uint64_t key)
      : tokens(n),
        heads(h),
        kv_heads(kv),
        head_dim(d),
        q(Guarded<T>::random({n, h, d}, 3 * key, 16, 2)),
        k(Guarded<T>::random({n, kv, d}, 3 * key + 1, 48, 2)),
        v(Guarded<T>::random({n, kv, d}, 3 * key + 2, 32)),
        y({n, h * d}, 7) {}
};

/// KV blocks of a cache, all NaN at first, assigned backwards so that no sequence's KV blocks lie
/// in order.
template <class Kept>
class Cache {
 public:
  Cache(std::int64_t blocks, std::int64_t block_size, std::int64_t kv_heads, std::int64_t head_dim)
      : data_(Guarded<KvWord<Kept>>::filled(
            kv_words_shape<Kept>(blocks, kv_heads, block_size, head_dim),
            from_double<KvWord<Kept>>(NAN))),
        view_(kv_view<Kept>(data_, block_size, head_dim)),
        free_(blocks) {}
  [[nodiscard]] const ops::KvView& view() const { return view_; }
  std::int32_t take() { return static_cast<std::int32_t>(--free_); }
  [[nodiscard]] bool intact() { return data_.intact(); }

 private:
  Guarded<KvWord<Kept>> data_;
  ops::KvView view_;
  std::int64_t free_;
};

/// Advances sequences: writes their next tokens and attends, a whole step in one call.
template <class T, class Kept = T>
class Stepper {
 public:
  Stepper(Context& ctx, Cache<Kept>& cache, std::vector<Sequence<T>*> sequences, float scale)
      : ctx_(ctx), cache_(cache), sequences_(std::move(sequences)), scale_(scale) {
    pages_.resize(sequences_.size()), done_.resize(sequences_.size());
  }

  /// Each step also expects on CUDA that the op quantises its rows for a product.
  void quantize() { quantizes_ = true; }
  /// counts[i]: tokens of sequence i in this step; 0: it is not in the batch.
  ///   attends  false: keys and values are stored alone
  void step(const std::vector<std::int64_t>& counts, bool attends = true) {
    std::vector<std::int32_t> cu = {0}, lengths, slots;
    std::vector<std::size_t> batch;
    const std::int64_t block = cache_.view().block_size;
    for (std::size_t i = 0; i < counts.size(); ++i) {
      if (counts[i] == 0) continue;
      batch.push_back(i);
      cu.push_back(cu.back() + static_cast<std::int32_t>(counts[i]));
      lengths.push_back(static_cast<std::int32_t>(done_[i] + counts[i]));
      for (std::int64_t t = done_[i]; t < lengths.back(); ++t) {
        if (t % block == 0) pages_[i].push_back(cache_.take());
        slots.push_back(static_cast<std::int32_t>(pages_[i].back() * block + t % block));
      }
    }
    const std::int64_t tokens = cu.back(), seqs = static_cast<std::int64_t>(batch.size());
    const Sequence<T>& shape = *sequences_[0];
    const std::int64_t d = shape.head_dim;
    Guarded<T> q({tokens, shape.heads, d}, 16), k({tokens, shape.kv_heads, d}, 8);
    Guarded<T> v({tokens, shape.kv_heads, d}), y({tokens, shape.heads * d}, 5);
    std::int64_t longest = 0;
    for (const std::size_t i : batch)
      longest = std::max(longest, static_cast<std::int64_t>(pages_[i].size()));
    // Entries past a sequence's own KV blocks are never read: they are -1.
    auto table = Guarded<std::int32_t>::filled({seqs, longest}, -1, 2);
    for (std::size_t b = 0; b < batch.size(); ++b) {
      Sequence<T>& s = *sequences_[batch[b]];
      for (std::size_t p = 0; p < pages_[batch[b]].size(); ++p)
        table.at(static_cast<std::int64_t>(b), static_cast<std::int64_t>(p)) = pages_[batch[b]][p];
      for (std::int64_t t = 0; t < counts[batch[b]]; ++t) {
        const std::int64_t to = cu[b] + t, from = done_[batch[b]] + t;
        copy_row(s.q, from, q, to, shape.heads * d);
        copy_row(s.k, from, k, to, shape.kv_heads * d);
        copy_row(s.v, from, v, to, shape.kv_heads * d);
      }
    }
    auto slot_mapping = Guarded<std::int32_t>::of({tokens}, slots);
    auto cu_seqlens = Guarded<std::int32_t>::of({seqs + 1}, cu);
    auto seq_lens = Guarded<std::int32_t>::of({seqs}, lengths);
    ops::kv_write(ctx_, k, v, slot_mapping, cache_.view());
    if (attends)
      ops::paged_attention(ctx_, q, cache_.view(), table, cu_seqlens, seq_lens, scale_, y);
    if (quantizes_)
      expect_quantized(ctx_, y, [&](const ops::MatmulInput& to) {
        ops::paged_attention(ctx_, q, cache_.view(), table, cu_seqlens, seq_lens, scale_, to);
      });
    EXPECT_TRUE(y.intact() && cache_.intact());
    for (std::size_t b = 0; b < batch.size(); ++b) {
      for (std::int64_t t = 0; t < counts[batch[b]]; ++t)
        copy_row(y, cu[b] + t, sequences_[batch[b]]->y, done_[batch[b]] + t, shape.heads * d);
      done_[batch[b]] += counts[batch[b]];
    }
  }
  /// All of every sequence: `first` tokens of each at once, then `chunk` at a time.
  void run(std::int64_t chunk, std::int64_t first = 0) {
    if (first > 0) {
      std::vector<std::int64_t> counts;
      for (const Sequence<T>* s : sequences_) counts.push_back(std::min(first, s->tokens));
      step(counts);
    }
    for (bool more = true; more;) {
      std::vector<std::int64_t> counts;
      more = false;
      for (std::size_t i = 0; i < sequences_.size(); ++i) {
        counts.push_back(std::min(chunk, sequences_[i]->tokens - done_[i]));
        more |= counts.back() > 0;
      }
      if (more) step(counts);
    }
  }

 private:
  static void copy_row(Guarded<T>& from, std::int64_t a, Guarded<T>& to, std::int64_t b,
                       std::int64_t n) {
    std::memcpy(&to.at(b), &from.at(a), static_cast<std::size_t>(n) * sizeof(T));
  }
  Context& ctx_;
  Cache<Kept>& cache_;
  std::vector<Sequence<T>*> sequences_;
  float scale_;
  bool quantizes_ = false;
  std::vector<std::vector<std::int32_t>> pages_;
  std::vector<std::int64_t> done_;
};

struct Layout {
  std::int64_t tokens, heads, kv_heads, head_dim, block_size;
  [[nodiscard]] std::string text() const {
    return dims({{"tokens", tokens},
                 {"heads", heads},
                 {"kv_heads", kv_heads},
                 {"head_dim", head_dim},
                 {"block_size", block_size}});
  }
};

class PagedAttention : public testing::TestWithParam<Instance<Layout>> {};

/// As in attention_test.cpp, for the longest row. Scales of an FP8 cache multiply a score, and a
/// probability, once each.
Bound attention_bound(DType dtype, std::int64_t keys, std::int64_t head_dim, double score,
                      bool fp8) {
  const double steps = static_cast<double>(2 * keys) +
                       2 * score * static_cast<double>(2 * head_dim + (fp8 ? 1 : 0)) + 16 +
                       (fp8 ? 1 : 0);
  Bound bound = bound_of(dtype, 1, steps);
  const double probability = dtype == DType::kBF16 ? unit_roundoff(dtype) : 0;
  bound.of_magnitude += probability, bound.spread += probability;
  return bound;
}

/// The rows of one head, one after the other.
template <class T>
Doubles head_of(const Layout& l, Guarded<T>& x, std::int64_t head) {
  Doubles out;
  for (std::int64_t t = 0; t < l.tokens; ++t)
    for (std::int64_t c = 0; c < l.head_dim; ++c)
      out.push_back(as_double(x.at(t, head * l.head_dim + c)));
  return out;
}

/// What a cache keeps of these rows of `width` elements.
Doubles kept_as(const Doubles& rows, std::int64_t width, bool fp8) {
  if (!fp8) return rows;
  Doubles out;
  for (std::size_t row = 0; row < rows.size(); row += static_cast<std::size_t>(width)) {
    float most = 0;
    for (std::int64_t i = 0; i < width; ++i)
      most = std::max(most, std::abs(static_cast<float>(rows[row + static_cast<std::size_t>(i)])));
    const float scale = most / 448;
    for (std::int64_t i = 0; i < width; ++i) {
      const auto x = static_cast<float>(rows[row + static_cast<std::size_t>(i)]);
      out.push_back(as_double(to_float8_e4m3(scale == 0 ? 0 : x / scale)) * double{scale});
    }
  }
  return out;
}

template <class T, class Kept>
void matches_reference(const Layout& l) {
  constexpr bool kFp8 = std::is_same_v<Kept, Float8E4M3>;
  const auto scale = static_cast<float>(1 / std::sqrt(static_cast<double>(l.head_dim)));
  Sequence<T> s(l.tokens, l.heads, l.kv_heads, l.head_dim, 1);
  // One key and one value of zeros.
  for (std::int64_t c = 0; c < l.head_dim; ++c) s.k.at(0, c) = s.v.at(0, c) = from_double<T>(0);
  std::vector<std::int64_t> row_keys(static_cast<std::size_t>(l.tokens));
  std::iota(row_keys.begin(), row_keys.end(), 1);
  std::vector<Expected> want;
  for (std::int64_t h = 0; h < l.heads; ++h) {
    const std::int64_t kv = h / (l.heads / l.kv_heads);
    want.push_back(attention_reference(
        head_of(l, s.q, h), kept_as(head_of(l, s.k, kv), l.head_dim, kFp8),
        kept_as(head_of(l, s.v, kv), l.head_dim, kFp8), row_keys, l.head_dim, scale));
  }
  for_each_isa([&](Context& ctx) {
    Cache<Kept> cache(l.tokens / l.block_size + 2, l.block_size, l.kv_heads, l.head_dim);
    Stepper<T, Kept>(ctx, cache, {&s}, scale).run(l.tokens);
    for (std::int64_t h = 0; h < l.heads; ++h)
      EXPECT_TRUE(close(head_of(l, s.y, h), want[static_cast<std::size_t>(h)],
                        attention_bound(dtype_of<T>(), l.tokens, l.head_dim, 4, kFp8)))
          << "head " << h;
  });
}

TEST_P(PagedAttention, MatchesF64Reference) {
  for_dtype(GetParam().dtype, [&](auto element) {
    matches_reference<decltype(element), decltype(element)>(GetParam().shape);
  });
}

TEST_P(PagedAttention, OverFp8MatchesF64ReferenceOfWhatIsKept) {
  for_dtype(GetParam().dtype, [&](auto element) {
    matches_reference<decltype(element), Float8E4M3>(GetParam().shape);
  });
}

INSTANTIATE_TEST_SUITE_P(Shapes, PagedAttention,
                         testing::ValuesIn(in_each_dtype<Layout>({
                             {1, 1, 1, 16, 16},
                             {7, 2, 1, 32, 16},
                             {17, 8, 2, 64, 32},
                             {65, 5, 5, 48, 64},
                             {129, 8, 1, 128, 128},  // one past a tile
                             {513, 2, 2, 32, 64},    // one past a split
                             {40, 3, 1, 256, 16},
                         })),
                         InstanceName{});

template <class T>
class PagedAttentionBits : public testing::Test {};
using Elements = testing::Types<float, BFloat16>;
TYPED_TEST_SUITE(PagedAttentionBits, Elements);

/// Of one token attention gives the value, exactly: each number of e4m3 beside the largest, which
/// makes the scale 1.
TYPED_TEST(PagedAttentionBits, ReadEachNumberOfE4m3) {
  constexpr std::int64_t kHeadDim = 256;
  for_each_isa([&](Context& ctx) {
    Sequence<TypeParam> s(1, 1, 1, kHeadDim, 1);
    std::vector<double> want;
    for (int bits = 0; bits < kHeadDim; ++bits) {
      const double number = as_double(Float8E4M3{static_cast<std::uint8_t>(bits)});
      want.push_back(std::isnan(number) ? 448 : number);
      s.v.at(0, bits) = from_double<TypeParam>(want.back());
    }
    Cache<Float8E4M3> cache(1, 16, 1, kHeadDim);
    Stepper<TypeParam, Float8E4M3>(ctx, cache, {&s}, 0.0625F).run(1);
    EXPECT_EQ(s.y.doubles(), want);
  });
}

/// Chunks of the prompt, size of KV blocks, threads and other sequences change no bit of a row.
template <class T, class Kept>
void depend_on_the_sequence_alone() {
  constexpr std::int64_t kHeads = 4, kKvHeads = 2, kHeadDim = 32;
  constexpr float kScale = 0.1767767F;
  const std::vector<std::int64_t> lengths = {530, 1, 77, 513, 128};
  for_each_isa([&](Context& ctx) {
    std::vector<Sequence<T>> want;
    for (std::size_t i = 0; i < lengths.size(); ++i) {
      want.emplace_back(lengths[i], kHeads, kKvHeads, kHeadDim, i + 1);
      Cache<Kept> cache(40, 64, kKvHeads, kHeadDim);
      Stepper<T, Kept>(ctx, cache, {&want[i]}, kScale).run(1000);
    }
    struct Way {
      std::int64_t first, chunk, block_size;
      int threads;
    };
    // Steps of one token across the border of a split, and across that of the first tile.
    for (const Way way : {Way{500, 1, 64, 1}, Way{60, 37, 16, 1}, Way{0, 64, 128, 3},
                          Way{0, 513, 32, 5}, Way{0, 1000, 16, 2}, Way{0, 100, 128, 2}}) {
      SCOPED_TRACE(testing::Message()
                   << "first " << way.first << ", chunk " << way.chunk << ", block "
                   << way.block_size << ", threads " << way.threads);
      TestContext other(way.threads, ctx.cpu_isa());
      std::vector<Sequence<T>> together;
      std::vector<Sequence<T>*> batch;
      for (std::size_t i = 0; i < lengths.size(); ++i)
        together.emplace_back(lengths[i], kHeads, kKvHeads, kHeadDim, i + 1);
      for (auto& s : together) batch.push_back(&s);
      std::int64_t blocks = 0;
      for (const std::int64_t n : lengths) blocks += n / way.block_size + 1;
      Cache<Kept> cache(blocks, way.block_size, kKvHeads, kHeadDim);
      Stepper<T, Kept>(other, cache, batch, kScale).run(way.chunk, way.first);
      for (std::size_t i = 0; i < lengths.size(); ++i)
        EXPECT_TRUE(same_bits(together[i].y, want[i].y)) << "sequence " << i;
    }
  });
}
TYPED_TEST(PagedAttentionBits, DependOnTheSequenceAlone) {
  depend_on_the_sequence_alone<TypeParam, TypeParam>();
  SCOPED_TRACE("FP8");
  depend_on_the_sequence_alone<TypeParam, Float8E4M3>();
}

/// A token alone, whose keys CUDA shares out to all warps, has the bits that it has beside another
/// of its prompt.
template <class T, class Kept>
void decoding_has_the_bits_of_a_prompt() {
  struct Shape {
    std::int64_t tokens, stored, heads, kv_heads, head_dim;
  };
  for_each_isa([&](Context& ctx) {
    // Another order of an f32 sum shows in one of ten thousand bf16 results: the last shape has 80,000.
    for (const Shape& l :
         {Shape{2, 0, 1, 1, 16}, Shape{70, 60, 20, 1, 48}, Shape{66, 62, 34, 2, 256},
          Shape{530, 510, 3, 1, 64}, Shape{530, 510, 32, 1, 128}}) {
      SCOPED_TRACE(testing::Message() << l.tokens << " tokens, heads of " << l.head_dim);
      Sequence<T> pairs(l.tokens, l.heads, l.kv_heads, l.head_dim, 1),
          ones(l.tokens, l.heads, l.kv_heads, l.head_dim, 1);
      for (auto* sequence : {&pairs, &ones}) {
        Cache<Kept> cache(l.tokens / 32 + 1, 32, l.kv_heads, l.head_dim);
        Stepper<T, Kept> stepper(ctx, cache, {sequence}, 0.125F);
        if (l.stored > 0) stepper.step({l.stored}, false);
        stepper.run(sequence == &pairs ? 2 : 1);
      }
      EXPECT_TRUE(same_bits(ones.y, pairs.y));
    }
  });
}
TYPED_TEST(PagedAttentionBits, OfDecodingAreThoseOfAPrompt) {
  decoding_has_the_bits_of_a_prompt<TypeParam, TypeParam>();
  SCOPED_TRACE("FP8");
  decoding_has_the_bits_of_a_prompt<TypeParam, Float8E4M3>();
}

/// With so many rows a thread block on CUDA reads all splits of a sequence.
TYPED_TEST(PagedAttentionBits, DoNotDependOnSplits) {
  constexpr std::int64_t kSequences = 3, kHeads = 768, kBlock = 16, kBlocks = 34, kMany = 1888;
  ASSERT_GT(ops::detail::paged_attention_splits(kSequences, kHeads, kBlocks * kBlock), 1);
  ASSERT_EQ(ops::detail::paged_attention_splits(kSequences, kHeads, kMany * kBlock), 0);
  using T = TypeParam;
  std::vector<std::int32_t> slots(kBlocks * kBlock);
  std::iota(slots.begin(), slots.end(), 0);
  for_each_isa([&](Context& ctx) {
    Cache<T> cache(kBlocks, kBlock, 1, 16);
    auto k = Guarded<T>::random({kBlocks * kBlock, 1, 16}, 1, 0, 2),
         v = Guarded<T>::random({kBlocks * kBlock, 1, 16}, 2),
         q = Guarded<T>::random({kSequences, kHeads, 16}, 3, 0, 2);
    auto slot_mapping = Guarded<std::int32_t>::of({kBlocks * kBlock}, slots),
         cu_seqlens = Guarded<std::int32_t>::of({kSequences + 1}, {0, 1, 2, 3}),
         seq_lens = Guarded<std::int32_t>::of({kSequences}, {530, 1, 513});
    ops::kv_write(ctx, k, v, slot_mapping, cache.view());
    const auto attended = [&](std::int64_t columns) {
      auto table = Guarded<std::int32_t>::filled({kSequences, columns}, -1);
      for (std::int64_t s = 0; s < kSequences; ++s)
        for (std::int32_t block = 0; block < kBlocks; ++block) table.at(s, block) = block;
      Guarded<T> y({kSequences, kHeads * 16});
      ops::paged_attention(ctx, q, cache.view(), table, cu_seqlens, seq_lens, 0.25F, y);
      EXPECT_TRUE(y.intact());
      return y;
    };
    auto split = attended(kBlocks), whole = attended(kMany);
    EXPECT_TRUE(same_bits(split, whole));
  });
}

/// Some sequences prefill while others decode, and some join late.
template <class T, class Kept>
void do_not_depend_on_mixed_steps() {
  for_each_isa([&](Context& ctx) {
    Sequence<T> a(150, 6, 3, 16, 1), b(40, 6, 3, 16, 2), a_alone(150, 6, 3, 16, 1),
        b_alone(40, 6, 3, 16, 2);
    Cache<Kept> one(20, 16, 3, 16), two(20, 16, 3, 16), both(20, 16, 3, 16);
    Stepper<T, Kept>(ctx, one, {&a_alone}, 0.25F).run(150);
    Stepper<T, Kept>(ctx, two, {&b_alone}, 0.25F).run(40);
    Stepper<T, Kept> mixed(ctx, both, {&a, &b}, 0.25F);
    mixed.step({100, 0});
    for (int i = 0; i < 10; ++i) mixed.step({1, 3});
    mixed.step({39, 1}), mixed.step({0, 9}), mixed.step({1, 0});
    EXPECT_TRUE(same_bits(a.y, a_alone.y));
    EXPECT_TRUE(same_bits(b.y, b_alone.y));
  });
}
TYPED_TEST(PagedAttentionBits, DoNotDependOnMixedSteps) {
  do_not_depend_on_mixed_steps<TypeParam, TypeParam>();
  SCOPED_TRACE("FP8");
  do_not_depend_on_mixed_steps<TypeParam, Float8E4M3>();
}

/// Every unwritten slot is NaN here (see Cache), and so is the whole of another sequence.
template <class T, class Kept>
void do_not_let_nan_of_others_in() {
  for_each_isa([&](Context& ctx) {
    Sequence<T> bad(90, 2, 1, 32, 1), good(61, 2, 1, 32, 2);
    bad.q.for_each([](T& x) { x = from_double<T>(NAN); });
    bad.k.for_each([](T& x) { x = from_double<T>(NAN); });
    bad.v.for_each([](T& x) { x = from_double<T>(NAN); });
    for (const std::int64_t chunk : {1, 3, 61}) {
      Cache<Kept> cache(20, 16, 1, 32);
      Stepper<T, Kept>(ctx, cache, {&bad, &good}, 0.25F).run(chunk);
      for (const double value : good.y.doubles()) EXPECT_FALSE(std::isnan(value));
      for (const double value : bad.y.doubles()) EXPECT_TRUE(std::isnan(value));
    }
  });
}
TYPED_TEST(PagedAttentionBits, DoNotLetNaNOfOthersIn) {
  do_not_let_nan_of_others_in<TypeParam, TypeParam>();
  SCOPED_TRACE("FP8");
  do_not_let_nan_of_others_in<TypeParam, Float8E4M3>();
}

TEST(KvWrite, RefusesWhatDoesNotFit) {
  TestContext ctx;
  Cache<float> cache(2, 16, 2, 16);
  Guarded<float> k({3, 2, 16}), heads({3, 1, 16}), wide({3, 2, 32}), tall({4, 2, 16});
  Guarded<BFloat16> k_bf16({3, 2, 16});
  auto slots = Guarded<std::int32_t>::filled({3}, 0),
       short_slots = Guarded<std::int32_t>::filled({2}, 0);
  EXPECT_THROW(ops::kv_write(ctx, heads, heads, slots, cache.view()), BugError);
  EXPECT_THROW(ops::kv_write(ctx, wide, wide, slots, cache.view()), BugError);
  EXPECT_THROW(ops::kv_write(ctx, k, tall, slots, cache.view()), BugError);
  EXPECT_THROW(ops::kv_write(ctx, k_bf16, k_bf16, slots, cache.view()), BugError);
  EXPECT_THROW(ops::kv_write(ctx, k, k, short_slots, cache.view()), BugError);
  Cache<Float8E4M3> fp8(2, 16, 2, 16);
  EXPECT_THROW(ops::kv_write(ctx, k, k_bf16, slots, fp8.view()), BugError);
  ops::KvView skewed = cache.view();
  skewed.block_size = 32;
  EXPECT_THROW(ops::kv_write(ctx, k, k, slots, skewed), BugError);
}

/// Heads of one group of the product's inputs, and of other sizes; prompts, chunks, and sequences
/// that decode, whose splits are merged by a kernel of their own.
template <class Kept>
void quantizes_its_rows(const Layout& l) {
  const auto scale = static_cast<float>(1 / std::sqrt(static_cast<double>(l.head_dim)));
  for_each_isa([&](Context& ctx) {
    if (ctx.device().type != DeviceType::kCuda) return;
    const auto sequence = [&](std::int64_t tokens, std::uint64_t key) {
      return Sequence<BFloat16>(tokens, l.heads, l.kv_heads, l.head_dim, key);
    };
    Sequence<BFloat16> a = sequence(l.tokens, 1), b = sequence(80, 2), c = sequence(l.tokens, 3);
    a.v.at(l.tokens - 2, 3) = to_bfloat16(NAN);
    Cache<Kept> cache(2 * (l.tokens / l.block_size + 2) + 80 / l.block_size + 2, l.block_size,
                      l.kv_heads, l.head_dim);
    Stepper<BFloat16, Kept> stepper(ctx, cache, {&a, &b, &c}, scale);
    stepper.step({l.tokens - 3, 0, l.tokens - 3});
    stepper.quantize();
    stepper.step({0, 71, 0});
    stepper.step({1, 0, 1});
    stepper.step({1, 5, 2});
    stepper.step({1, 1, 0});
  });
}

class QuantizedPagedAttention : public testing::TestWithParam<Layout> {};

TEST_P(QuantizedPagedAttention, LeavesTheBytesOfItsRowsQuantized) {
  quantizes_its_rows<BFloat16>(GetParam());
  SCOPED_TRACE("FP8");
  quantizes_its_rows<Float8E4M3>(GetParam());
}

INSTANTIATE_TEST_SUITE_P(Shapes, QuantizedPagedAttention,
                         testing::Values(Layout{70, 1, 1, 128, 16}, Layout{530, 4, 2, 128, 64},
                                         Layout{1100, 1, 1, 128, 128}, Layout{70, 8, 4, 16, 16},
                                         Layout{90, 4, 2, 64, 32}, Layout{90, 2, 1, 256, 64}),
                         [](const auto& instance) { return instance.param.text(); });

TEST(PagedAttention, RefusesWhatDoesNotFit) {
  TestContext ctx;
  Cache<float> cache(2, 16, 2, 16), odd(2, 24, 2, 16), large(1, 16, 2, 272);
  Guarded<float> q({3, 4, 16}), q_wide({3, 4, 272}), q_heads({3, 3, 16}), y({3, 64}),
      y_heads({3, 48});
  Guarded<float> y_wide({3, 4 * 272}), float_table({1, 1});
  Guarded<BFloat16> y_bf16({3, 64});
  auto table = Guarded<std::int32_t>::filled({1, 1}, 0);
  auto cu = Guarded<std::int32_t>::of({2}, {0, 3}),
       cu_long = Guarded<std::int32_t>::of({3}, {0, 1, 3});
  auto lens = Guarded<std::int32_t>::of({1}, {3});
  const auto run = [&](TensorView a, Cache<float>& c, TensorView t, TensorView starts,
                       TensorView to) {
    ops::paged_attention(ctx, a, c.view(), t, starts, lens, 1, to);
  };
  EXPECT_THROW(run(q_heads, cache, table, cu, y_heads), BugError);
  EXPECT_THROW(run(q, odd, table, cu, y), BugError);
  EXPECT_THROW(run(q_wide, large, table, cu, y_wide), BugError);
  EXPECT_THROW(run(q, cache, table, cu_long, y), BugError);
  EXPECT_THROW(run(q, cache, float_table, cu, y), BugError);
  EXPECT_THROW(run(q, cache, table, cu, y_heads), BugError);
  EXPECT_THROW(run(q, cache, table, cu, y_bf16), BugError);
  Cache<Float8E4M3> fp8(2, 16, 2, 16);
  EXPECT_THROW(ops::paged_attention(ctx, q, fp8.view(), table, cu, lens, 1, y_bf16), BugError);
}

}  // namespace
}  // namespace retinue::test
