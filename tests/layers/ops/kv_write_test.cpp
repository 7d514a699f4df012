#include "layers/ops/kv_write.h"

#include "tests/support/kv_words.h"
#include "tests/support/op_test.h"

#include <gtest/gtest.h>

#include <bit>
#include <limits>

namespace retinue::test {
namespace {

constexpr std::int64_t kBlocks = 3, kKvHeads = 3, kBlockSize = 32;

/// What a cache of e4m3 keeps of one token's key, or value, of one head.
struct KeptHead {
  std::vector<int> q;   ///< [head_dim], bits
  std::uint32_t scale;  ///< bits
  bool operator==(const KeptHead&) const = default;
};

/// All NaN alike: devices make different ones.
std::uint32_t scale_bits(float scale) {
  return std::bit_cast<std::uint32_t>(std::isnan(scale) ? std::numeric_limits<float>::quiet_NaN()
                                                        : scale);
}

/// A cache whose KV blocks have gaps between them.
class Fp8Cache {
 public:
  Fp8Cache(std::int64_t head_dim, std::int64_t step)
      : head_dim_(head_dim),
        step_(step),
        head_numel_(ops::KvView::block_numel(DType::kF8E4M3, kBlockSize, 1, head_dim)),
        words_(kv_words_shape<Float8E4M3>(kBlocks, kKvHeads, kBlockSize, head_dim), 8) {}

  ops::KvView view() { return kv_view<Float8E4M3>(words_, kBlockSize, head_dim_); }
  bool intact() { return words_.intact(); }

  /// Reads from the layout of ops/kv_view.h: panels on CPU, rows on CUDA.
  KeptHead kept(std::int64_t slot, std::int64_t head, bool is_value) {
    const bool panels = test_device().type == DeviceType::kCpu;
    std::vector<float> words(static_cast<std::size_t>(head_numel_ / 4));
    for (std::size_t i = 0; i < words.size(); ++i)
      words[i] =
          words_.at(slot / kBlockSize, head * head_numel_ / 4 + static_cast<std::int64_t>(i));
    const auto* bytes = reinterpret_cast<const std::uint8_t*>(words.data());
    const std::int64_t place = slot % kBlockSize, numel = kBlockSize * head_dim_;
    KeptHead out;
    for (std::int64_t c = 0; c < head_dim_; ++c) {
      const std::int64_t key_panel =
          place / 16 * 16 * head_dim_ + c / step_ * 16 * step_ + place % 16 * step_ + c % step_;
      const std::int64_t value_panel =
          c / 16 * 16 * kBlockSize + place / step_ * 16 * step_ + c % 16 * step_ + place % step_;
      const std::int64_t at = !panels ? place * head_dim_ + c : is_value ? value_panel : key_panel;
      out.q.push_back(bytes[(is_value ? numel : 0) + at]);
    }
    const std::int64_t scale = numel / 2 + (is_value ? kBlockSize : 0) + place;
    out.scale = scale_bits(words[static_cast<std::size_t>(scale)]);
    return out;
  }

 private:
  std::int64_t head_dim_, step_, head_numel_;
  Guarded<float> words_;
};

/// The definition, one element after the other.
template <class T>
KeptHead definition(const T* x, std::int64_t head_dim) {
  std::uint32_t most = 0;
  for (std::int64_t c = 0; c < head_dim; ++c)
    most = std::max(most, std::bit_cast<std::uint32_t>(as_float(x[c])) & 0x7FFFFFFFU);
  const float scale = std::bit_cast<float>(most) / 448;
  KeptHead out{{}, scale_bits(scale)};
  for (std::int64_t c = 0; c < head_dim; ++c) {
    const float y = scale == 0 ? 0 : as_float(x[c]) / scale;
    const Float8E4M3 q = to_float8_e4m3(std::isnan(y) ? -448 : y);
    out.q.push_back(to_float(q) == 0 ? 0 : q.bits);
  }
  return out;
}

/// Random magnitudes over many powers of two, and heads that are special.
template <class T>
Guarded<T> heads(std::int64_t tokens, std::int64_t head_dim, std::uint64_t key) {
  auto x = Guarded<T>::random({tokens, kKvHeads, head_dim}, key, 3);
  std::uint64_t counter = 0;
  x.for_each([&](T& value) {
    const int exponent = static_cast<int>(random_bits(key + 1, counter++) % 14);
    value = from_double<T>(std::ldexp(as_double(value), -exponent));
  });
  using Limits = std::numeric_limits<float>;
  for (std::int64_t c = 0; c < head_dim; ++c) {
    x.at(0, c) = from_double<T>(c % 2 == 0 ? 0.0 : -0.0);
    x.at(1, c) = from_double<T>(std::ldexp(static_cast<double>(c % 5) - 2, -133));
    // Halves between neighbours of e4m3, of both signs, beside the largest: the scale is 1.
    x.at(2, c) = from_double<T>(
        c == 0 ? 448 : (c % 2 == 0 ? 0.5 : -0.5) * static_cast<double>(2 * c + 1) / 512);
  }
  x.at(3, 5) = from_double<T>(Limits::quiet_NaN());
  x.at(4, 7) = from_double<T>(Limits::infinity());
  x.at(5, 9) = from_double<T>(-Limits::infinity());
  x.at(6, 3) = from_double<T>(as_double(to_bfloat16(Limits::max())) / 2);
  return x;
}

template <class T>
class KvWriteOfFp8 : public testing::Test {};
using Elements = testing::Types<float, BFloat16>;
TYPED_TEST_SUITE(KvWriteOfFp8, Elements);

TYPED_TEST(KvWriteOfFp8, KeepsTheSameBitsOnEveryDevice) {
  using T = TypeParam;
  for (const std::int64_t head_dim : {16, 48, 64, 128, 240, 256}) {
    SCOPED_TRACE(head_dim);
    constexpr std::int64_t kTokens = 40;
    auto k = heads<T>(kTokens, head_dim, 1), v = heads<T>(kTokens, head_dim, 3);
    std::vector<std::int32_t> slots;
    for (std::int32_t t = 0; t < kTokens; ++t)  // the last block, then the first
      slots.push_back(t < 27 ? 2 * kBlockSize + 5 + t : t - 27);
    auto slot_mapping = Guarded<std::int32_t>::of({kTokens}, slots);
    for_each_isa([&](Context& ctx) {
      Fp8Cache cache(head_dim, sizeof(T) == 4 ? 1 : 2);
      ops::kv_write(ctx, k, v, slot_mapping, cache.view());
      for (std::int64_t t = 0; t < kTokens; ++t)
        for (std::int64_t head = 0; head < kKvHeads; ++head)
          for (const bool is_value : {false, true}) {
            const KeptHead want = definition(&(is_value ? v : k).at(t, head * head_dim), head_dim);
            const KeptHead got = cache.kept(slots[static_cast<std::size_t>(t)], head, is_value);
            EXPECT_EQ(got.scale, want.scale) << "token " << t << ", head " << head;
            ASSERT_EQ(got.q, want.q) << (is_value ? "value" : "key") << " of token " << t;
          }
      EXPECT_TRUE(cache.intact());
    });
  }
}

}  // namespace
}  // namespace retinue::test
