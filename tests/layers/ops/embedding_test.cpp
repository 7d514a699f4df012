#include "layers/ops/embedding.h"

#include "tests/support/op_test.h"

#include <gtest/gtest.h>

namespace retinue::test {
namespace {

struct Lookup {
  std::int64_t tokens, vocab, hidden;
  [[nodiscard]] std::string text() const {
    return dims({{"tokens", tokens}, {"vocab", vocab}, {"hidden", hidden}});
  }
};

class Embedding : public testing::TestWithParam<Instance<Lookup>> {};

/// Copies: no tolerance. Ids below and above this rank's rows give -0.0.
TEST_P(Embedding, CopiesOwnRowsAndGivesMinusZeroElsewhere) {
  const auto [tokens, vocab, hidden] = GetParam().shape;
  constexpr std::int64_t kFirst = 1000;
  for_dtype(GetParam().dtype, [&](auto element) {
    using T = decltype(element);
    for_each_isa([&](Context& ctx) {
      auto rows = Guarded<T>::random({vocab, hidden}, 1);
      Packed<T> table(ctx, rows, vocab, hidden);
      Guarded<std::int32_t> ids({tokens});
      for (std::int64_t t = 0; t < tokens; ++t)  // from one before the first to one past the last
        ids.at(t) = static_cast<std::int32_t>(kFirst - 1 + t * 7 % (vocab + 2));
      Guarded<T> y({tokens, hidden}, 3), want({tokens, hidden});
      Guarded<float> y_f32({tokens, hidden}, 1);
      ops::embedding(ctx, ids, table.matrix(), kFirst, y);
      ops::embedding(ctx, ids, table.matrix(), kFirst, y_f32);
      for (std::int64_t t = 0; t < tokens; ++t)
        for (std::int64_t i = 0; i < hidden; ++i) {
          const std::int64_t row = ids.at(t) - kFirst;
          want.at(t, i) = row >= 0 && row < vocab ? rows.at(row, i) : from_double<T>(-0.0);
          EXPECT_EQ(y_f32.at(t, i), as_float(want.at(t, i)));
          EXPECT_EQ(std::signbit(y_f32.at(t, i)), std::signbit(as_float(want.at(t, i))));
        }
      EXPECT_TRUE(same_bits(y, want));
      EXPECT_TRUE(y.intact() && y_f32.intact());
    });
  });
}

INSTANTIATE_TEST_SUITE_P(Shapes, Embedding,
                         testing::ValuesIn(in_each_dtype<Lookup>(
                             {{1, 1, 1}, {4, 3, 15}, {9, 16, 16}, {20, 17, 33}, {70, 101, 256}})),
                         InstanceName{});

/// Adding -0.0 changes no bit, that of a zero's sign included: the sum over ranks is the table.
TEST(Embedding, SumsOverRanksToTheWholeTable) {
  constexpr std::int64_t kVocab = 24, kHidden = 18;
  TestContext ctx;
  auto rows = Guarded<BFloat16>::random({kVocab, kHidden}, 1);
  rows.at(3, 0) = to_bfloat16(0), rows.at(3, 1) = to_bfloat16(-0.0F);
  Packed<BFloat16> whole(ctx, rows, kVocab, kHidden);
  Guarded<std::int32_t> ids({kVocab});
  for (std::int32_t i = 0; i < kVocab; ++i) ids.at(i) = i;
  Guarded<float> want({kVocab, kHidden}), sum({kVocab, kHidden});
  ops::embedding(ctx, ids, whole.matrix(), 0, want);
  for (int rank = 0; rank < 3; ++rank) {
    auto slice = Guarded<BFloat16>::of({8, kHidden}, [&] {
      std::vector<BFloat16> values;
      for (std::int64_t r = 0; r < 8; ++r)
        for (std::int64_t c = 0; c < kHidden; ++c) values.push_back(rows.at(rank * 8 + r, c));
      return values;
    }());
    Packed<BFloat16> own(ctx, slice, 8, kHidden);
    Guarded<float> part({kVocab, kHidden});
    ops::embedding(ctx, ids, own.matrix(), rank * 8, part);
    for (std::int64_t t = 0; t < kVocab; ++t)
      for (std::int64_t c = 0; c < kHidden; ++c)
        sum.at(t, c) = rank == 0 ? part.at(t, c) : sum.at(t, c) + part.at(t, c);
  }
  EXPECT_TRUE(same_bits(sum, want));
}

TEST(Embedding, RefusesWhatDoesNotFit) {
  TestContext ctx;
  auto rows = Guarded<float>::random({4, 6}, 1);
  Packed<float> table(ctx, rows, 4, 6);
  auto ids = Guarded<std::int32_t>::filled({2}, 0);
  Guarded<float> y({2, 6}), narrow({2, 5}), float_ids({2});
  Guarded<BFloat16> y_bf16({2, 6});
  EXPECT_THROW(ops::embedding(ctx, ids, table.matrix(), 0, narrow), BugError);
  EXPECT_THROW(ops::embedding(ctx, float_ids, table.matrix(), 0, y), BugError);
  EXPECT_THROW(ops::embedding(ctx, ids, table.matrix(), 0, y_bf16), BugError);
}

}  // namespace
}  // namespace retinue::test
