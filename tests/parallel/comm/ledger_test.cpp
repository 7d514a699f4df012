#include "parallel/comm/ledger.h"

#include "parallel/base/check.h"
#include "tests/support/rank_values.h"
#include "tests/support/ranks.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace retinue {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::ThrowsMessage;

class LedgerOnRanks : public testing::TestWithParam<test::RankGroup> {
 protected:
  /// `body` on every rank of a group of two or more, under a ledger.
  void on_ranks(const std::function<void(Communicator&)>& body) {
    test::on_ranks(GetParam(), [&](Communicator& comm) {
      const auto ledger = make_ledger(comm.split(0, comm.rank(), "tensor"));
      if (ledger->size() > 1) body(*ledger);
      comm.barrier();
    });
  }
  const Stream stream_{Device{}};
};

TEST_P(LedgerOnRanks, LetsThroughWhatAgrees) {
  on_ranks([&](Communicator& comm) {
    std::vector<float> x = test::values_of_rank(comm.rank(), 100);
    comm.all_reduce(stream_, test::view_of(x));
    EXPECT_TRUE(test::same_bits(x, test::tree_sum_of_ranks(comm.size(), 100)));
    const std::vector<std::int64_t> rows(static_cast<std::size_t>(comm.size()), 1);
    std::vector<std::int32_t> own{comm.rank()}, all(rows.size());
    comm.all_gather(stream_, test::view_of(own), test::view_of(all), rows);
    EXPECT_EQ(all.back(), comm.size() - 1);
    comm.broadcast(stream_, test::view_of(own), 1);
    EXPECT_EQ(own[0], 1);
    const auto half = comm.split(comm.rank() % 2, 0, "half");
    half->barrier();
    comm.barrier();
  });
}

TEST_P(LedgerOnRanks, NamesBothWhereCollectivesDiffer) {
  on_ranks([&](Communicator& comm) {
    comm.barrier();
    std::vector<float> x(3);
    EXPECT_THAT(
        [&] {
          if (comm.rank() == 0)
            comm.all_reduce(stream_, test::view_of(x));
          else
            comm.broadcast(stream_, test::view_of(x), 1);
        },
        ThrowsMessage<BugError>(
            AllOf(HasSubstr("\"tensor\": rank 0 entered collective 2, all_reduce of 12 f32 bytes"),
                  HasSubstr("rank 1 entered collective 2, broadcast of 12 f32 bytes from or to "
                            "rank 1"))));
  });
}

TEST_P(LedgerOnRanks, NamesBothWhereShapesOrRowCountsDiffer) {
  on_ranks([&](Communicator& comm) {
    const bool last = comm.rank() == comm.size() - 1;
    std::vector<float> x(last ? 4 : 3);
    EXPECT_THAT([&] { comm.all_reduce(stream_, test::view_of(x)); },
                ThrowsMessage<BugError>(HasSubstr("all_reduce of 16 f32 bytes")));
    std::vector<std::int64_t> rows(static_cast<std::size_t>(comm.size()), 0);
    rows[last ? 0 : 1] = 1;
    std::vector<float> none, one(1);
    const bool gives = rows[static_cast<std::size_t>(comm.rank())] > 0;
    EXPECT_THAT(
        [&] {
          comm.all_gather(stream_, test::view_of(gives ? one : none), test::view_of(one), rows);
        },
        ThrowsMessage<BugError>(HasSubstr("row counts")));
  });
}

INSTANTIATE_TEST_SUITE_P(Ranks, LedgerOnRanks, testing::ValuesIn(test::rank_groups()),
                         [](const auto& instance) { return instance.param.name; });

}  // namespace
}  // namespace retinue
