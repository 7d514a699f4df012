#include "parallel/base/check.h"
#include "parallel/comm/communicator.h"
#include "tests/support/rank_values.h"
#include "tests/support/ranks.h"

#include <gtest/gtest.h>

#include <numeric>

namespace retinue {
namespace {

using test::same_bits;
using test::values_of_rank;
using test::view_of;

/// One body for every transport: the linked library decides which groups there are.
class CommunicatorConformance : public testing::TestWithParam<test::RankGroup> {
 protected:
  void on_ranks(const std::function<void(Communicator&)>& body) {
    test::on_ranks(GetParam(), body);
  }
  const Stream stream_{Device{}};
};

std::size_t index(int i) { return static_cast<std::size_t>(i); }

TEST_P(CommunicatorConformance, AllReduceHasTheBitsOfTheSerialTree) {
  // One below, at and above every place where an implementation cuts: cache lines, short messages,
  // blocks, pieces between hosts.
  for (const std::int64_t count :
       {0,    1,     7,     15,    16,    17,    33,      129,     1000,    8191,     8192,
        8193, 16384, 16385, 32767, 32768, 32769, 100'003, 131'072, 131'073, 1'000'003}) {
    on_ranks([&](Communicator& comm) {
      const auto seed = static_cast<std::uint64_t>(count);
      std::vector<float> x = values_of_rank(comm.rank(), count, seed);
      comm.all_reduce(stream_, view_of(x));
      EXPECT_TRUE(same_bits(x, test::tree_sum_of_ranks(comm.size(), count, seed)))
          << count << " elements on rank " << comm.rank();
    });
  }
}

TEST_P(CommunicatorConformance, AllReducesInARowDoNotMix) {
  on_ranks([&](Communicator& comm) {
    for (std::uint64_t round = 0; round < 60; ++round) {
      // Short and long messages in turn: in some transports they share memory.
      const std::int64_t count = round % 3 == 0 ? 150'001 : 5 + static_cast<std::int64_t>(round);
      std::vector<float> x = values_of_rank(comm.rank(), count, round);
      comm.all_reduce(stream_, view_of(x));
      ASSERT_TRUE(same_bits(x, test::tree_sum_of_ranks(comm.size(), count, round))) << round;
    }
  });
}

TEST_P(CommunicatorConformance, OrderMattersInTheValuesOfThisTest) {
  on_ranks([&](Communicator& comm) {
    if (comm.size() < 3) return;
    std::vector<float> backwards(1000);
    for (int rank = comm.size() - 1; rank >= 0; --rank) {
      const auto values = values_of_rank(rank, 1000, 1);
      for (std::size_t i = 0; i < values.size(); ++i) backwards[i] += values[i];
    }
    EXPECT_FALSE(same_bits(backwards, test::tree_sum_of_ranks(comm.size(), 1000, 1)));
  });
}

TEST_P(CommunicatorConformance, MinusZeroIsTheIdentityOfAllReduce) {
  on_ranks([&](Communicator& comm) {
    std::vector<float> x(64, -0.0F);
    const int holder = comm.size() - 1;
    if (comm.rank() == holder) x = values_of_rank(7, 64);
    if (comm.rank() == holder) x[3] = -0.0F;
    comm.all_reduce(stream_, view_of(x));
    std::vector<float> expected = values_of_rank(7, 64);
    expected[3] = -0.0F;
    EXPECT_TRUE(same_bits(x, expected));
  });
}

TEST_P(CommunicatorConformance, AllGatherTakesUnevenAndEmptyContributions) {
  on_ranks([&](Communicator& comm) {
    constexpr std::int64_t kColumns = 5;
    for (const int giver : {-1, 0, comm.size() - 1}) {  // -1: all give; else one rank alone
      std::vector<std::int64_t> rows(index(comm.size()));
      for (int rank = 0; rank < comm.size(); ++rank)
        rows[index(rank)] = giver == -1 ? (rank * 3) % 4 : (rank == giver ? 11 : 0);
      const std::int64_t total = std::accumulate(rows.begin(), rows.end(), std::int64_t{0});
      const std::int64_t own = rows[index(comm.rank())];
      std::vector<float> send = values_of_rank(comm.rank(), own * kColumns);
      std::vector<float> recv(static_cast<std::size_t>(total * kColumns), 99.0F), expected;
      for (int rank = 0; rank < comm.size(); ++rank) {
        const auto theirs = values_of_rank(rank, rows[index(rank)] * kColumns);
        expected.insert(expected.end(), theirs.begin(), theirs.end());
      }
      comm.all_gather(stream_, view_of(send).reshape({own, kColumns}),
                      view_of(recv).reshape({total, kColumns}), rows);
      EXPECT_TRUE(same_bits(recv, expected)) << "giver " << giver;
    }
  });
}

TEST_P(CommunicatorConformance, AllGatherWorksInPlace) {
  on_ranks([&](Communicator& comm) {
    std::vector<std::int64_t> rows(index(comm.size()), 1000);
    std::vector<std::int32_t> recv(1000 * index(comm.size()), -1);
    const TensorView own = view_of(recv).rows(1000 * comm.rank(), 1000);
    std::fill_n(own.data<std::int32_t>(), 1000, comm.rank());
    comm.all_gather(stream_, own, view_of(recv), rows);
    for (std::size_t i = 0; i < recv.size(); ++i)
      ASSERT_EQ(recv[i], static_cast<std::int32_t>(i / 1000));
  });
}

TEST_P(CommunicatorConformance, GatherReachesOnlyItsRoot) {
  on_ranks([&](Communicator& comm) {
    for (int root = 0; root < comm.size(); ++root) {
      std::vector<std::int64_t> rows(index(comm.size()));
      std::iota(rows.begin(), rows.end(), 0);  // rank 0 gives none
      std::vector<std::int32_t> send(index(comm.rank()), comm.rank());
      std::vector<std::int32_t> recv, expected;
      for (int rank = 0; rank < comm.size(); ++rank)
        expected.insert(expected.end(), index(rank), rank);
      if (comm.rank() == root) recv.assign(expected.size(), -1);
      comm.gather(stream_, view_of(send), view_of(recv), rows, root);
      if (comm.rank() == root) {
        EXPECT_EQ(recv, expected);
      }
    }
  });
}

TEST_P(CommunicatorConformance, BroadcastReachesEveryRankFromEveryRoot) {
  on_ranks([&](Communicator& comm) {
    // Empty, short, one segment, one more, many.
    for (const std::int64_t count : {0, 3, 131'072, 131'073, 1'000'001})
      for (int root = 0; root < comm.size(); ++root) {
        const auto expected = values_of_rank(root, count);
        std::vector<float> x =
            comm.rank() == root ? expected : std::vector<float>(static_cast<std::size_t>(count));
        comm.broadcast(stream_, view_of(x), root);
        EXPECT_TRUE(same_bits(x, expected)) << count << " from " << root;
      }
    struct Plan {
      std::int64_t step;
      int images;
    } plan{comm.rank() == 0 ? 7 : -1, comm.rank() == 0 ? 3 : -1};
    broadcast_value(comm, plan);
    EXPECT_EQ(plan.step, 7);
    EXPECT_EQ(plan.images, 3);
    std::string text = comm.rank() == 0 ? "a longer text than the others have" : "x";
    broadcast_container(comm, text);
    EXPECT_EQ(text, "a longer text than the others have");
  });
}

TEST_P(CommunicatorConformance, MessagesArriveInOrderPerPairAndTag) {
  on_ranks([&](Communicator& comm) {
    const int next = (comm.rank() + 1) % comm.size();
    const int previous = (comm.rank() + comm.size() - 1) % comm.size();
    for (std::int32_t i = 0; i < 5; ++i)
      for (const int tag : {3, 4}) {
        std::vector<std::int32_t> x{comm.rank(), tag, i};
        comm.send(stream_, view_of(x), next, tag);
      }
    for (const int tag : {4, 3})  // not in the order of sending: each tag is matched by itself
      for (std::int32_t i = 0; i < 5; ++i) {
        std::vector<std::int32_t> x(3);
        comm.recv(stream_, view_of(x), previous, tag);
        EXPECT_EQ(x, (std::vector<std::int32_t>{previous, tag, i}));
      }
  });
}

TEST_P(CommunicatorConformance, LongAndEmptyMessagesArrive) {
  on_ranks([&](Communicator& comm) {
    if (comm.size() == 1) return;
    std::vector<float> x = values_of_rank(0, 500'000), nothing;
    if (comm.rank() == 0) {
      comm.send(stream_, view_of(x), comm.size() - 1, 0);
      comm.send(stream_, view_of(nothing), comm.size() - 1, 0);
    }
    if (comm.rank() == comm.size() - 1) {
      std::vector<float> got(x.size());
      comm.recv(stream_, view_of(got), 0, 0);
      comm.recv(stream_, view_of(nothing), 0, 0);
      EXPECT_TRUE(same_bits(got, x));
    }
  });
}

// Sent instead of posted, messages of this size would wait for receivers that wait, too.
TEST_P(CommunicatorConformance, PostedMessagesAreCopiesAndDoNotWait) {
  on_ranks([&](Communicator& comm) {
    const int next = (comm.rank() + 1) % comm.size();
    const int previous = (comm.rank() + comm.size() - 1) % comm.size();
    std::vector<float> x;
    for (int i = 0; i < 3; ++i) {
      x = values_of_rank(comm.rank() * 3 + i, 500'000);
      comm.post(view_of(x), next, 5);
      x.assign(x.size(), 0.0F);
    }
    comm.barrier();
    for (int i = 0; i < 3; ++i) {
      std::vector<float> got(x.size());
      comm.recv(stream_, view_of(got), previous, 5);
      EXPECT_TRUE(same_bits(got, values_of_rank(previous * 3 + i, 500'000)));
    }
  });
}

TEST_P(CommunicatorConformance, ProbeFindsTheSenderAndTheSizeOfAMessage) {
  on_ranks([&](Communicator& comm) {
    int from = -1;
    std::int64_t bytes = 0;
    EXPECT_FALSE(comm.probe(from, 9, bytes));
    comm.barrier();
    std::vector<std::uint8_t> x(static_cast<std::size_t>(10 + comm.rank()));
    comm.send(stream_, view_of(x), 0, 9);
    if (comm.rank() == 0) {
      for (int seen = 0; seen < comm.size();) {
        from = -1;
        if (!comm.probe(from, 9, bytes)) continue;
        ++seen;
        EXPECT_EQ(bytes, 10 + from);
        int other_tag_from = from;
        std::int64_t ignored = 0;
        EXPECT_FALSE(comm.probe(other_tag_from, 8, ignored));
        std::vector<std::uint8_t> got(static_cast<std::size_t>(bytes));
        comm.recv(stream_, view_of(got), from, 9);
      }
    }
    comm.barrier();
  });
}

TEST_P(CommunicatorConformance, SplitGroupsByColourAndOrdersByKey) {
  on_ranks([&](Communicator& comm) {
    const int parity = comm.rank() % 2;
    const auto half = comm.split(parity, -comm.rank(), parity == 0 ? "even" : "odd");
    const int members = (comm.size() + 1 - parity) / 2;
    EXPECT_EQ(half->size(), members);
    EXPECT_EQ(half->rank(), members - 1 - comm.rank() / 2);
    EXPECT_EQ(half->label(), parity == 0 ? "even" : "odd");
    // The halves sum at the same time, and do not mix.
    std::vector<float> x{static_cast<float>(comm.rank() + 1)}, big(40'000, x[0]);
    half->all_reduce(stream_, view_of(x));
    half->all_reduce(stream_, view_of(big));
    float expected = 0;
    for (int rank = parity; rank < comm.size(); rank += 2) expected += static_cast<float>(rank + 1);
    EXPECT_EQ(x[0], expected);
    EXPECT_EQ(big.back(), expected);
    const auto alone = half->split(half->rank(), 0, "alone");
    EXPECT_EQ(alone->size(), 1);
    alone->all_reduce(stream_, view_of(x));
    EXPECT_EQ(x[0], expected);
    comm.barrier();
  });
}

TEST_P(CommunicatorConformance, RefusesWrongArgumentsBeforeAnythingIsSent) {
  on_ranks([&](Communicator& comm) {
    std::vector<std::int32_t> whole(4);
    std::vector<float> x(12);
    std::vector<std::int64_t> rows(index(comm.size()), 1);
    EXPECT_THROW(comm.all_reduce(stream_, view_of(whole)), BugError);
    EXPECT_THROW(comm.all_reduce(stream_, view_of(x).reshape({3, 4}).columns(0, 2)), BugError);
    EXPECT_THROW(comm.broadcast(stream_, view_of(x), comm.size()), BugError);
    EXPECT_THROW(comm.all_gather(stream_, view_of(x), view_of(x), rows), BugError);
    EXPECT_THROW(comm.send(stream_, view_of(x), -1, 0), BugError);
    EXPECT_THROW(comm.all_reduce(Stream{Device{DeviceType::kCuda, 0}}, view_of(x)), BugError);
    comm.barrier();
  });
}

TEST_P(CommunicatorConformance, AbortEndsEveryLaterWait) {
  // Over MPI an abort breaks all groups of the process for good: threads only.
  if (GetParam().name.starts_with("mpi")) return;
  on_ranks([&](Communicator& comm) {
    const auto child = comm.split(0, comm.rank(), "child");
    if (comm.rank() == comm.size() - 1) {
      child->abort("the disk is full");
    } else {
      try {
        comm.barrier();
        ADD_FAILURE() << "the barrier ended";
      } catch (const SystemError& error) {
        EXPECT_NE(std::string(error.what()).find("the disk is full"), std::string::npos);
      }
    }
    EXPECT_THROW(child->barrier(), SystemError);
  });
}

INSTANTIATE_TEST_SUITE_P(Ranks, CommunicatorConformance, testing::ValuesIn(test::rank_groups()),
                         [](const auto& instance) { return instance.param.name; });

}  // namespace
}  // namespace retinue
