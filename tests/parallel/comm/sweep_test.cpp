#include "parallel/comm/sweep.h"

#include "parallel/base/check.h"
#include "parallel/comm/relayed.h"
#include "tests/support/ranks.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <set>
#include <utility>

namespace retinue {
namespace {

class Sweep : public testing::TestWithParam<test::RankGroup> {
 protected:
  void on_ranks(const std::function<void(Communicator&)>& body) {
    test::on_ranks(GetParam(), body);
  }
  const SteadyClock clock_;
  const Stream stream_{Device{}};
  const SweepOptions short_{.most_bytes = 1 << 18, .seconds = 0.05};
};

TEST_P(Sweep, TimesEverySizeOfEveryCollective) {
  on_ranks([&](Communicator& comm) {
    const auto sweeps = sweep_collectives(comm, comm, stream_, clock_, short_);
    ASSERT_EQ(sweeps.size(), kCollectives);
    for (const CollectiveSweep& sweep : sweeps) {
      EXPECT_EQ(sweep.ranks, comm.size());
      EXPECT_GT(sweep.fit.alpha_s, 0);
      EXPECT_GT(sweep.fit.bytes_per_s, 0);
      ASSERT_GE(sweep.points.size(), 2U);
      if (!sweep.cut_short) {
        EXPECT_GE(sweep.points.back().bytes, short_.most_bytes);
      }
      for (std::size_t i = 0; i < sweep.points.size(); ++i) {
        const SweepPoint& point = sweep.points[i];
        if (i > 0) {
          EXPECT_GT(point.bytes, sweep.points[i - 1].bytes);
        }
        EXPECT_EQ(point.bytes % (4 * comm.size()), 0);
        EXPECT_GE(point.repetitions, short_.repetitions);
        EXPECT_EQ(point.wrong, 0);
        EXPECT_GT(point.least_s, 0);
        EXPECT_LE(point.least_s, point.seconds);
        EXPECT_LE(point.seconds, point.most_s);
      }
    }
  });
}

TEST_P(Sweep, GivesAllRanksTheSame) {
  on_ranks([&](Communicator& comm) {
    for (const CollectiveSweep& sweep : sweep_collectives(comm, comm, stream_, clock_, short_)) {
      std::vector<double> mine = {sweep.fit.alpha_s, sweep.fit.bytes_per_s, sweep.fit.rms_error,
                                  sweep.fit.worst_error, static_cast<double>(sweep.cut_short)};
      for (const SweepPoint& point : sweep.points)
        mine.insert(mine.end(),
                    {static_cast<double>(point.bytes), static_cast<double>(point.repetitions),
                     point.seconds, point.least_s, point.most_s});
      std::vector<double> first = mine;
      broadcast_container(comm, first);
      EXPECT_EQ(mine, first) << name(sweep.collective);
    }
  });
}

TEST_P(Sweep, EndsNearItsBudgetOfTime) {
  on_ranks([&](Communicator& comm) {
    /// A network of 10 MB/s, in the time of a clock of its own.
    struct Slow : Relayed {
      Slow(Communicator& inner, FakeClock& clock) : Relayed(inner), clock_(clock) {}
      void all_reduce(const Stream& stream, TensorView x) override {
        clock_.advance(static_cast<double>(x.size_bytes()) / 10e6);
        inner_.all_reduce(stream, x);
      }
      FakeClock& clock_;
    };
    FakeClock clock;
    Slow slow(comm, clock);
    const SweepOptions options{
        .least_bytes = 256, .seconds = 0.3, .collectives = {Collective::kAllReduce}};
    const auto sweeps = sweep_collectives(slow, comm, stream_, clock, options);
    EXPECT_TRUE(sweeps[0].cut_short);
    EXPECT_GE(sweeps[0].points.size(), 5U);
    // All sizes would take 45 s. A size begins when its repetitions end within twice the budget; it
    // is verified and warmed up as well, which is 2 / 5 of that.
    EXPECT_LT(clock.now_s(), 3 * options.seconds);
    EXPECT_NEAR(sweeps[0].fit.bytes_per_s, 10e6, 0.1e6);
  });
}

TEST_P(Sweep, CountsElementsThatAreWrong) {
  on_ranks([&](Communicator& comm) {
    /// The last rank's link loses a bit.
    struct Broken : Relayed {
      using Relayed::Relayed;
      void broadcast(const Stream& stream, TensorView x, int root) override {
        inner_.broadcast(stream, x, root);
        if (rank() == size() - 1) x.data<float>()[x.numel() - 1] += 1;
      }
      void all_reduce(const Stream& stream, TensorView x) override {
        inner_.all_reduce(stream, x);
        if (rank() == size() - 1) x.data<float>()[0] += 1;
      }
      void all_gather(const Stream& stream, ConstTensorView send, TensorView recv,
                      std::span<const std::int64_t> rows) override {
        inner_.all_gather(stream, send, recv, rows);
        if (rank() == size() - 1) recv.data<float>()[0] += 1;
      }
    } broken(comm);
    for (const CollectiveSweep& sweep : sweep_collectives(broken, comm, stream_, clock_, short_))
      for (const SweepPoint& point : sweep.points)
        EXPECT_EQ(point.wrong, 1) << name(sweep.collective) << " of " << point.bytes;
  });
}

TEST_P(Sweep, PairsAreAllThereOnEveryRank) {
  on_ranks([&](Communicator& comm) {
    const auto pairs = sweep_pairs(comm, clock_, {.short_repetitions = 5, .long_repetitions = 3});
    ASSERT_EQ(pairs.size(), static_cast<std::size_t>(comm.size() * (comm.size() - 1) / 2));
    std::size_t at = 0;
    for (int a = 0; a < comm.size(); ++a)
      for (int b = a + 1; b < comm.size(); ++b, ++at) {
        EXPECT_EQ(pairs[at].a, a);
        EXPECT_EQ(pairs[at].b, b);
        EXPECT_GT(pairs[at].latency_s, 0);
        EXPECT_GT(pairs[at].bytes_per_s, 0);
      }
  });
}

TEST_P(Sweep, TheSlowestPairIsTheOneWhoseLinkIsSlow) {
  on_ranks([&](Communicator& comm) {
    /// A message takes 1 ms, and between rank 0 and the last 40 ms: in the time of the sender, so
    /// that the way there and back takes as long.
    struct SlowLink : Relayed {
      SlowLink(Communicator& inner, FakeClock& clock) : Relayed(inner), clock_(clock) {}
      void send(const Stream& stream, ConstTensorView x, int to, int tag) override {
        const bool slow = std::min(rank(), to) == 0 && std::max(rank(), to) == size() - 1;
        clock_.advance(slow ? 0.04 : 0.001);
        inner_.send(stream, x, to, tag);
      }
      FakeClock& clock_;
    };
    FakeClock clock;
    SlowLink slow(comm, clock);
    const auto pairs =
        sweep_pairs(slow, clock, {.short_repetitions = 5, .long_repetitions = 3, .warm_up = 1});
    for (const PairTimes& pair : pairs) {
      const bool slow_link = pair.a == 0 && pair.b == comm.size() - 1;
      EXPECT_NEAR(pair.latency_s, slow_link ? 0.02 : 0.0005, 1e-9);
      EXPECT_NEAR(pair.bytes_per_s, (1 << 20) / pair.latency_s, 1);
    }
  });
}

INSTANTIATE_TEST_SUITE_P(, Sweep, testing::ValuesIn(test::rank_groups()),
                         [](const auto& instance) { return instance.param.name; });

TEST(SweepBusFactor, IsThatOfNcclTests) {
  EXPECT_DOUBLE_EQ(bus_factor(Collective::kAllReduce, 8), 2 * 7.0 / 8);
  EXPECT_DOUBLE_EQ(bus_factor(Collective::kAllGather, 8), 7.0 / 8);
  EXPECT_DOUBLE_EQ(bus_factor(Collective::kBroadcast, 8), 1);
  for (const Collective collective :
       {Collective::kAllReduce, Collective::kAllGather, Collective::kBroadcast})
    EXPECT_EQ(bus_factor(collective, 1), 0);
}

}  // namespace
}  // namespace retinue
