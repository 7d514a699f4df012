#include "layers/ops/norm_rope_kv_write.h"

#include "layers/ops/kv_write.h"
#include "layers/ops/rms_norm.h"
#include "layers/ops/rope.h"
#include "tests/support/kv_words.h"
#include "tests/support/op_test.h"

#include <gtest/gtest.h>

#include <algorithm>

namespace retinue::test {
namespace {

constexpr float kEps = 1e-6F;

struct Heads {
  std::int64_t tokens, heads, kv_heads, head_dim, block_size;
  [[nodiscard]] std::string text() const {
    return dims({{"tokens", tokens},
                 {"heads", heads},
                 {"kv_heads", kv_heads},
                 {"head_dim", head_dim},
                 {"block_size", block_size}});
  }
};

/// A step's tensors; queries, keys and values are parts of one projection's rows.
template <class T, class Kept = T>
struct Step {
  Heads h;
  Guarded<T> qkv, q_weight, k_weight;
  Guarded<KvWord<Kept>> kv_blocks;
  Guarded<float> cos, sin;
  Guarded<std::int32_t> slots;

  explicit Step(const Heads& heads)
      : h(heads),
        qkv(Guarded<T>::random({h.tokens, (h.heads + 2 * h.kv_heads) * h.head_dim}, 1, 3, 4)),
        q_weight(Guarded<T>::random({h.head_dim}, 2)),
        k_weight(Guarded<T>::random({h.head_dim}, 3)),
        kv_blocks(Guarded<KvWord<Kept>>::random(
            kv_words_shape<Kept>(blocks(), h.kv_heads, h.block_size, h.head_dim), 4)),
        cos(Guarded<float>::random({h.tokens, h.head_dim / 2}, 5, 3)),
        sin(Guarded<float>::random({h.tokens, h.head_dim / 2}, 6, 1)),
        slots({h.tokens}) {
    // Two sequences: one continues at an odd offset, one begins a KV block; KV blocks run
    // backwards.
    std::int32_t t = 0;
    const auto of_first = static_cast<std::int32_t>(h.tokens / 3);
    slots.for_each([&](std::int32_t& slot) {
      const std::int32_t place = t < of_first ? t + 5 : t - of_first;
      const auto block = static_cast<std::int32_t>(h.block_size);
      const std::int32_t kv_block =
          place / block +
          (t < of_first ? 0 : static_cast<std::int32_t>(blocks_of(h.tokens / 3 + 5)));
      slot = (static_cast<std::int32_t>(blocks()) - 1 - kv_block) * block + place % block;
      ++t;
    });
  }
  [[nodiscard]] std::int64_t blocks_of(std::int64_t tokens) const {
    return (tokens + h.block_size - 1) / h.block_size;
  }
  [[nodiscard]] std::int64_t blocks() const {
    return blocks_of(h.tokens / 3 + 5) + blocks_of(h.tokens - h.tokens / 3);
  }
  TensorView part(std::int64_t first_head, std::int64_t heads) {
    const TensorView columns = qkv.view().columns(first_head * h.head_dim, heads * h.head_dim);
    return {columns.bytes(), columns.dtype(), Shape{h.tokens, heads, h.head_dim},
            columns.row_stride()};
  }
  TensorView q() { return part(0, h.heads); }
  TensorView k() { return part(h.heads, h.kv_heads); }
  TensorView v() { return part(h.heads + h.kv_heads, h.kv_heads); }
  ops::KvView cache() { return kv_view<Kept>(kv_blocks, h.block_size, h.head_dim); }
  ops::QkvStep fused() { return {q(), k(), v(), q_weight, k_weight, kEps, cos, sin, slots}; }
  bool intact() {
    return qkv.intact() && q_weight.intact() && k_weight.intact() && kv_blocks.intact() &&
           cos.intact() && sin.intact() && slots.intact();
  }
};

class NormRopeKvWrite : public testing::TestWithParam<Instance<Heads>> {};

template <class T, class Kept>
void has_the_bits_of_the_five(Context& ctx, const Heads& h) {
  Step<T, Kept> one(h), many(h);
  ops::rms_norm(ctx, many.q(), many.q_weight, kEps, many.q());
  ops::rms_norm(ctx, many.k(), many.k_weight, kEps, many.k());
  ops::rope(ctx, many.q(), many.cos, many.sin, ops::RopeRounding::kEachStep);
  ops::rope(ctx, many.k(), many.cos, many.sin, ops::RopeRounding::kEachStep);
  ops::kv_write(ctx, many.k(), many.v(), many.slots, many.cache());
  ops::norm_rope_kv_write(ctx, one.fused(), one.cache());
  for (std::int64_t t = 0; t < h.tokens; ++t)
    for (std::int64_t i = 0; i < h.heads * h.head_dim; ++i)
      ASSERT_EQ(as_float(one.qkv.at(t, i)), as_float(many.qkv.at(t, i)))
          << "token " << t << ", element " << i;
  EXPECT_TRUE(same_bits(one.kv_blocks, many.kv_blocks));
  EXPECT_TRUE(one.intact());
}

/// Tests of the replaced ops compare those with f64 or with the definition.
TEST_P(NormRopeKvWrite, HasTheBitsOfTheFiveOpsThatItReplaces) {
  for_dtype(GetParam().dtype, [&](auto element) {
    using T = decltype(element);
    for_each_isa([&](Context& ctx) { has_the_bits_of_the_five<T, T>(ctx, GetParam().shape); }, 4);
  });
}

TEST_P(NormRopeKvWrite, HasThoseBitsOverFp8) {
  for_dtype(GetParam().dtype, [&](auto element) {
    using T = decltype(element);
    for_each_isa(
        [&](Context& ctx) { has_the_bits_of_the_five<T, Float8E4M3>(ctx, GetParam().shape); }, 4);
  });
}

INSTANTIATE_TEST_SUITE_P(Shapes, NormRopeKvWrite,
                         testing::ValuesIn(in_each_dtype<Heads>({{1, 1, 1, 16, 16},
                                                                 {3, 2, 1, 32, 16},
                                                                 {7, 3, 3, 48, 32},
                                                                 {19, 16, 8, 64, 16},
                                                                 {5, 6, 2, 80, 64},
                                                                 {37, 8, 1, 128, 16},
                                                                 {9, 64, 8, 128, 64},
                                                                 {2, 5, 5, 240, 16},
                                                                 {3, 4, 2, 256, 128}})),
                         InstanceName{});

/// The op only reads keys and values: a step that is computed again finds them unchanged.
TEST(NormRopeKvWrite, LeavesKeysAndValuesAlone) {
  for_each_isa([&](Context& ctx) {
    Step<BFloat16> step({6, 2, 2, 32, 16}), before({6, 2, 2, 32, 16});
    ops::norm_rope_kv_write(ctx, step.fused(), step.cache());
    for (std::int64_t t = 0; t < 6; ++t)
      for (std::int64_t i = std::int64_t{2} * 32; i < std::int64_t{6} * 32; ++i)
        EXPECT_EQ(as_float(step.qkv.at(t, i)), as_float(before.qkv.at(t, i)));
  });
}

/// Token 5 repeats token 4.
template <class Kept>
void stores_a_repeated_token_once(Context& ctx) {
  Step<BFloat16, Kept> once({5, 2, 2, 32, 16}), twice({6, 2, 2, 32, 16});
  for (std::int64_t t = 0; t < 6; ++t)
    twice.slots.at(t) = once.slots.at(std::min<std::int64_t>(t, 4));
  for (std::int64_t i = 0; i < std::int64_t{6} * 32; ++i) twice.qkv.at(5, i) = twice.qkv.at(4, i);
  for (std::int64_t i = 0; i < 16; ++i) {
    twice.cos.at(5, i) = twice.cos.at(4, i);
    twice.sin.at(5, i) = twice.sin.at(4, i);
  }
  ops::norm_rope_kv_write(ctx, once.fused(), once.cache());
  ops::norm_rope_kv_write(ctx, twice.fused(), twice.cache());
  EXPECT_TRUE(same_bits(once.kv_blocks, twice.kv_blocks));
  EXPECT_TRUE(twice.intact());
}

/// Decode steps are padded so. That it is stored once shows where the emulator looks for races.
TEST(NormRopeKvWrite, StoresOnceWhatTheNextTokenRepeats) {
  for_each_isa([&](Context& ctx) {
    stores_a_repeated_token_once<BFloat16>(ctx);
    stores_a_repeated_token_once<Float8E4M3>(ctx);
  });
}

TEST(NormRopeKvWrite, RefusesWhatDoesNotFit) {
  TestContext ctx;
  Step<float> fits({3, 4, 2, 32, 16});
  Step<BFloat16> bf16({3, 4, 2, 32, 16});
  const auto refuses = [&](auto change) {
    ops::QkvStep step = fits.fused();
    ops::KvView cache = fits.cache();
    change(step, cache);
    EXPECT_THROW(ops::norm_rope_kv_write(ctx, step, cache), BugError);
  };
  Guarded<float> wide({3, 4, 64}), tall({4, 2, 32}), weight({31}), slots({3}), cos({3, 15});
  Guarded<std::int32_t> short_slots({2});
  refuses([&](ops::QkvStep& s, ops::KvView&) { s.q = wide; });
  refuses([&](ops::QkvStep& s, ops::KvView&) { s.k = tall; });
  refuses([&](ops::QkvStep& s, ops::KvView&) { s.v = tall; });
  refuses([&](ops::QkvStep& s, ops::KvView&) { s.q = bf16.q(); });
  refuses([&](ops::QkvStep& s, ops::KvView&) { s.v = bf16.v(); });
  refuses([&](ops::QkvStep& s, ops::KvView&) { s.k_weight = weight; });
  refuses([&](ops::QkvStep& s, ops::KvView&) { s.q_weight = bf16.q_weight; });
  refuses([&](ops::QkvStep& s, ops::KvView&) { s.cos = cos; });
  refuses([&](ops::QkvStep& s, ops::KvView&) { s.sin = bf16.q_weight; });
  refuses([&](ops::QkvStep& s, ops::KvView&) { s.slot_mapping = slots; });
  refuses([&](ops::QkvStep& s, ops::KvView&) { s.slot_mapping = short_slots; });
  refuses([&](ops::QkvStep&, ops::KvView& c) { c.block_size = 32; });
  refuses([&](ops::QkvStep&, ops::KvView& c) { c.head_dim = 24; });
}

}  // namespace
}  // namespace retinue::test
