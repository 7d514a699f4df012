// Messages whose bytes do not fit into the int of MPI's counts. Needs 3 GB per rank.
#include "tests/support/rank_values.h"
#include "tests/support/ranks.h"

#include <gtest/gtest.h>

namespace retinue {
namespace {

constexpr std::int64_t kWords = (std::int64_t{5} << 26) + 7;  // 2.5 GiB and a bit, in i64
const Stream kStream{Device{}};

std::int64_t word(int rank, std::int64_t i) { return i * 0x9E3779B9 + rank; }

void fill(std::vector<std::int64_t>& words, int rank) {
  for (std::size_t i = 0; i < words.size(); ++i)
    words[i] = word(rank, static_cast<std::int64_t>(i));
}
bool holds(const std::vector<std::int64_t>& words, int rank) {
  for (std::size_t i = 0; i < words.size(); ++i)
    if (words[i] != word(rank, static_cast<std::int64_t>(i))) return false;
  return true;
}

TEST(LargeMessage, BroadcastsSendsAndGathersPast2GiB) {
  test::on_ranks(test::rank_groups().front(), [](Communicator& comm) {
    std::vector<std::int64_t> words(kWords);
    if (comm.rank() == 0) fill(words, 5);
    comm.broadcast(kStream, test::view_of(words), 0);
    EXPECT_TRUE(holds(words, 5));
    if (comm.rank() == 1) {
      fill(words, 6);
      comm.send(kStream, test::view_of(words), 0, 3);
    }
    if (comm.rank() == 0) comm.recv(kStream, test::view_of(words), 1, 3);
    EXPECT_TRUE(holds(words, 6));
    // Rank 0 gives one word, rank 1 all others.
    const std::vector<std::int64_t> rows{1, kWords - 1};
    const TensorView all = test::view_of(words);
    if (comm.rank() == 0) words.assign(words.size(), word(6, 0));
    comm.all_gather(kStream, comm.rank() == 0 ? all.rows(0, 1) : all.rows(1, kWords - 1), all,
                    rows);
    EXPECT_TRUE(holds(words, 6));
  });
}

TEST(LargeMessage, AllReducesPast2GiBOnEveryWay) {
  for (const auto& group : test::rank_groups()) {
    if (group.name == "mpi_gather") continue;  // would need 2.5 GiB more for every rank
    test::on_ranks(group, [](Communicator& comm) {
      std::vector<float> x(2 * kWords);
      for (std::size_t i = 0; i < x.size(); ++i)
        x[i] = static_cast<float>(i % 1021) + 0.5F * static_cast<float>(comm.rank());
      comm.all_reduce(kStream, test::view_of(x));
      std::int64_t wrong = 0;
      for (std::size_t i = 0; i < x.size(); ++i)
        wrong += x[i] != 2 * static_cast<float>(i % 1021) + 0.5F ? 1 : 0;
      EXPECT_EQ(wrong, 0);
    });
  }
}

}  // namespace
}  // namespace retinue
