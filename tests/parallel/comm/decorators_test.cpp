#include "parallel/comm/decorators.h"

#include "parallel/comm/local/local_communicator.h"
#include "tests/support/ranks.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>

namespace retinue {
namespace {

using testing::ElementsAre;

const Stream kHost{Device{}};

template <class T>
TensorView view(std::vector<T>& values, DType dtype, std::int64_t rows) {
  return TensorView(reinterpret_cast<std::byte*>(values.data()), dtype,
                    Shape{rows, static_cast<std::int64_t>(values.size()) / rows});
}

test::RankGroup two_ranks() {
  for (const test::RankGroup& group : test::rank_groups())
    if (group.size == 2) return group;
  return {};
}

TEST(WithoutWire, LeavesSumsAloneAndGathersOwnRowsOnly) {
  test::on_ranks(two_ranks(), [](Communicator& inner) {
    const auto comm = without_wire(inner);
    std::vector<float> x = {static_cast<float>(inner.rank() + 1), 5};
    comm->all_reduce(kHost, view(x, DType::kF32, 1));
    EXPECT_THAT(x, ElementsAre(static_cast<float>(inner.rank() + 1), 5));

    std::vector<std::int32_t> mine(2 * (static_cast<std::size_t>(inner.rank()) + 1), 7), all(6, -1);
    const std::array<std::int64_t, 2> rows = {1, 2};
    comm->all_gather(kHost, view(mine, DType::kI32, inner.rank() + 1), view(all, DType::kI32, 3),
                     rows);
    if (inner.rank() == 0)
      EXPECT_THAT(all, ElementsAre(7, 7, 0, 0, 0, 0));
    else
      EXPECT_THAT(all, ElementsAre(0, 0, 7, 7, 7, 7));
    // Broadcasts and messages still work: plans are sent by them.
    std::int64_t value = inner.rank() == 0 ? 3 : 0;
    broadcast_value(*comm, value);
    EXPECT_EQ(value, 3);
  });
}

TEST(Metered, NotesBytesAndSecondsOfEachCollectiveAndChangesNone) {
  test::on_ranks(two_ranks(), [](Communicator& inner) {
    const SteadyClock clock;
    std::vector<CollectiveCall> calls;
    const auto comm = metered(inner, clock, calls, 2);
    std::vector<float> x = {1, 2};
    for (int i = 0; i < 3; ++i) comm->all_reduce(kHost, view(x, DType::kF32, 1));
    EXPECT_THAT(x, ElementsAre(8, 16));
    ASSERT_EQ(calls.size(), 2U);  // no more than the limit
    EXPECT_EQ(calls[0].bytes, 8);
    EXPECT_GE(calls[0].seconds, 0);
    EXPECT_GE(calls[0].cpu_s, 0);
  });
}

}  // namespace
}  // namespace retinue
