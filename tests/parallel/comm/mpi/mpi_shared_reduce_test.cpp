#include "parallel/comm/mpi/mpi_shared_reduce.h"

#include "parallel/base/check.h"
#include "tests/support/rank_values.h"

#include <gtest/gtest.h>

#include <new>
#include <thread>

namespace retinue {
namespace {

// The window, mapped for threads: the thread sanitizer sees every race that processes would have.
class Window {
 public:
  explicit Window(std::size_t size_bytes)
      : memory_(static_cast<std::byte*>(::operator new (size_bytes, std::align_val_t{64}))) {
    std::memset(memory_, 0, size_bytes);
  }
  ~Window() { ::operator delete (memory_, std::align_val_t{64}); }
  Window(const Window&) = delete;
  Window& operator=(const Window&) = delete;
  [[nodiscard]] std::byte* memory() const { return memory_; }

 private:
  std::byte* memory_;
};

TEST(SharedReduce, HasTheBitsOfTheTreeInEveryMixOfLengths) {
  const SharedReduce::Blocks blocks{.block = 100, .short_message = 20};  // odd on purpose
  for (const int size : {1, 2, 3, 4, 8}) {
    const Window window(SharedReduce::bytes_needed(size, blocks));
    const BrokenFlag broken;
    const PollPolicy policy{.deadline_s = 30};
    std::vector<std::jthread> threads;
    for (int rank = 0; rank < size; ++rank)
      threads.emplace_back([&, rank] {
        SharedReduce reduce(window.memory(), rank, size, blocks);
        std::uint64_t seed = 0;
        for (int round = 0; round < 20; ++round)
          for (const std::int64_t count : {1, 20, 21, 99, 100, 101, 19, 200, 350, 2, 1000}) {
            std::vector<float> x = test::values_of_rank(rank, count, ++seed);
            reduce.all_reduce(x, policy, broken, "[test]");
            EXPECT_TRUE(test::same_bits(x, test::tree_sum_of_ranks(size, count, seed)))
                << "rank " << rank << " of " << size << ", " << count << " elements";
          }
      });
  }
}

TEST(SharedReduce, ThrowsAtTheDeadlineAndWhenTheGroupIsBroken) {
  const SharedReduce::Blocks blocks;
  const Window window(SharedReduce::bytes_needed(2, blocks));
  SharedReduce reduce(window.memory(), 0, 2, blocks);
  BrokenFlag broken;
  std::vector<float> x(10);
  const PollPolicy impatient{.deadline_s = 0.05};
  try {
    reduce.all_reduce(x, impatient, broken, "[test] rank 0");
    FAIL() << "the peer never came";
  } catch (const SystemError& error) {
    EXPECT_STREQ(error.what(),
                 "[test] rank 0: all_reduce not finished after 0.05 s. A peer is stuck or gone; "
                 "see the first error in the logs of the other ranks.");
  }
  broken.set("rank 7 has no memory");
  broken.set("a later reason");
  const PollPolicy patient;
  try {
    reduce.all_reduce(x, patient, broken, "[test] rank 0");
    FAIL() << "the group is broken";
  } catch (const SystemError& error) {
    EXPECT_STREQ(error.what(), "[test] rank 0: all_reduce given up: rank 7 has no memory");
  }
}

}  // namespace
}  // namespace retinue
