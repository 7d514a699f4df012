#include "runtime/engine/draw.h"

#include "parallel/base/rng.h"
#include "tests/support/ranks.h"

#include <gtest/gtest.h>

#include <cstring>
#include <vector>

namespace retinue::runtime {
namespace {

constexpr std::size_t kBytes = std::size_t{8} << 20;

/// A context on CPU with memory of its own.
class TestContext {
 public:
  TestContext()
      : ctx_(Device{}, 1, Buffer(ledger_, Device{}, kBytes, MemoryTag::kActivations),
             Buffer(ledger_, Device{}, kBytes, MemoryTag::kScratch)) {}
  operator Context&() { return ctx_; }  // NOLINT: implicit

 private:
  MemoryLedger ledger_;
  Context ctx_;
};

class Draw : public testing::TestWithParam<test::RankGroup> {};

// 1031 ids are divided by no number of ranks here; 130 rows meet at the leader in three parts.
TEST_P(Draw, TakesTheIdsThatOneRankWouldTake) {
  constexpr std::int64_t kRows = 130, kVocab = 1031;
  std::vector<float> logits;
  for (std::uint64_t i = 0; i < kRows * kVocab; ++i)
    logits.push_back(static_cast<float>(16 * to_unit_double(random_bits(1, i)) - 8));
  std::vector<ops::SampleRow> rows;
  for (std::uint64_t r = 0; r < kRows; ++r)
    rows.push_back({to_unit_double(random_bits(2, r)), r % 3 == 0 ? 0.9 : 1.0, 0, 0.8F,
                    static_cast<std::int32_t>(r % 2 * 20)});
  std::vector<ops::DrawnToken> want;
  for (std::size_t r = 0; r < kRows; ++r)
    want.push_back(ops::sample_row(std::span(logits).subspan(r * kVocab, kVocab), rows[r]));

  test::on_ranks(GetParam(), [&](Communicator& comm) {
    TestContext memory;
    Context& ctx = memory;
    layers::TensorAxis axis;
    axis.rank = comm.rank(), axis.size = comm.size(), axis.comm = &comm;
    const auto [begin, count] = layers::vocab_slice(kVocab, comm.rank(), comm.size());
    std::vector<float> mine;
    for (std::int64_t r = 0; r < kRows; ++r)
      mine.insert(mine.end(), logits.begin() + r * kVocab + begin,
                  logits.begin() + r * kVocab + begin + count);
    Frame frame(ctx);
    Drawing drawing;
    if (comm.rank() == 0) drawing = Drawing(ctx, reinterpret_cast<std::byte*>(rows.data()), kRows);
    draw(ctx, axis, kVocab,
         ConstTensorView(reinterpret_cast<const std::byte*>(mine.data()), DType::kF32,
                         Shape{kRows, count}),
         drawing);
    if (comm.rank() != 0) return;
    for (std::int64_t r = 0; r < kRows; ++r) {
      EXPECT_EQ(drawing.ids.data<std::int32_t>()[r], want[static_cast<std::size_t>(r)].id) << r;
      EXPECT_EQ(drawing.logprobs.data<float>()[r], want[static_cast<std::size_t>(r)].logprob) << r;
    }
  });
}

INSTANTIATE_TEST_SUITE_P(Ranks, Draw, testing::ValuesIn(test::rank_groups()),
                         [](const auto& tested) { return tested.param.name; });

}  // namespace
}  // namespace retinue::runtime
