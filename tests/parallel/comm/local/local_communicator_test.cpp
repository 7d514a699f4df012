#include "parallel/comm/local/local_communicator.h"

#include "parallel/base/check.h"
#include "tests/support/rank_values.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <thread>

namespace retinue {
namespace {

using testing::HasSubstr;

const Stream kStream{Device{}};

/// The message that each rank threw, "" where it threw nothing. A rank's communicator ends with its
/// body.
std::vector<std::string> errors_of(int size, double deadline_s,
                                   const std::function<void(Communicator&)>& body) {
  auto ranks = make_local_group(size, "tensor", deadline_s);
  std::vector<std::string> errors(static_cast<std::size_t>(size));
  std::vector<std::jthread> threads;
  for (int rank = 0; rank < size; ++rank)
    threads.emplace_back([&, rank] {
      const auto comm = std::move(ranks[static_cast<std::size_t>(rank)]);
      try {
        body(*comm);
      } catch (const Error& error) {
        errors[static_cast<std::size_t>(rank)] = error.what();
      }
    });
  threads.clear();
  return errors;
}

TEST(LocalCommunicator, ARankThatThrewWakesTheOthersWithItsNumber) {
  const auto errors = errors_of(3, 30, [](Communicator& comm) {
    if (comm.rank() == 1) throw SystemError("no memory");
    comm.barrier();
  });
  EXPECT_THAT(errors[0], HasSubstr("rank 1 has left the group"));
  EXPECT_EQ(errors[1], "no memory");
  EXPECT_THAT(errors[2], HasSubstr("rank 1 has left the group"));
}

TEST(LocalCommunicator, ARankMayLeaveAfterItsLastCollectiveAndItsMessagesStay) {
  const auto errors = errors_of(4, 30, [](Communicator& comm) {
    for (int i = 0; i < 50; ++i) comm.barrier();
    std::vector<float> x(3);
    if (comm.rank() == 3) comm.send(kStream, test::view_of(x), 0, 1);
    if (comm.rank() == 0) {
      std::this_thread::sleep_for(std::chrono::milliseconds(20));
      comm.recv(kStream, test::view_of(x), 3, 1);
    }
  });
  EXPECT_THAT(errors, testing::Each(""));
}

TEST(LocalCommunicator, DifferentCollectivesAreAnErrorThatNamesBoth) {
  const auto errors = errors_of(2, 30, [](Communicator& comm) {
    std::vector<float> x(4);
    if (comm.rank() == 0)
      comm.all_reduce(kStream, test::view_of(x));
    else
      comm.broadcast(kStream, test::view_of(x), 0);
  });
  for (const std::string& error : errors) {
    EXPECT_THAT(error, HasSubstr("rank 0 entered all_reduce of 16 f32 bytes"));
    EXPECT_THAT(error, HasSubstr("rank 1 entered broadcast of 16 f32 bytes (root 0)"));
  }
}

TEST(LocalCommunicator, DifferentLengthsAreAnError) {
  const auto errors = errors_of(3, 30, [](Communicator& comm) {
    std::vector<float> x(comm.rank() == 2 ? 5 : 4);
    comm.all_reduce(kStream, test::view_of(x));
  });
  for (const std::string& error : errors)
    EXPECT_THAT(error, HasSubstr("rank 2 entered all_reduce of 20 f32 bytes"));
}

TEST(LocalCommunicator, TheDeadlineNamesRankGroupAndCollective) {
  const auto errors = errors_of(2, 0.1, [](Communicator& comm) {
    if (comm.rank() == 0)
      comm.barrier();
    else
      std::this_thread::sleep_for(std::chrono::milliseconds(300));
  });
  EXPECT_EQ(errors[0], "[local] rank 0 of 2 in \"tensor\": barrier not finished after 0.1 s");
}

TEST(LocalCommunicator, AMessageOfAnotherSizeIsRefused) {
  const auto errors = errors_of(2, 30, [](Communicator& comm) {
    std::vector<float> x(comm.rank() == 0 ? 4 : 5);
    if (comm.rank() == 0)
      comm.send(kStream, test::view_of(x), 1, 0);
    else
      comm.recv(kStream, test::view_of(x), 0, 0);
  });
  EXPECT_THAT(errors[1], HasSubstr("recv wants 20 bytes, rank 0 sent 16"));
}

}  // namespace
}  // namespace retinue
