#include "parallel/comm/nccl/nccl_communicator.h"

#include "parallel/base/check.h"
#include "parallel/base/log.h"
#include "parallel/comm/local/local_communicator.h"
#include "parallel/comm/sweep.h"
#include "parallel/device/cuda/runtime.h"
#include "parallel/device/graph.h"
#include "parallel/device/memory.h"
#include "tests/support/rank_values.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <functional>
#include <thread>

namespace retinue {
namespace {

using test::same_bits;
using test::values_of_rank;
using test::view_of;

/// One rank with its device: copies f32 there and back.
struct Rank {
  Communicator& host;
  Communicator& comm;
  Stream stream;
  MemoryLedger ledger = {};

  Tensor upload(std::vector<float>& values) {
    Tensor x(ledger, stream.device(), DType::kF32, view_of(values).shape(), MemoryTag::kScratch);
    stream.copy(x.view().bytes(), values.data(), x.view().size_bytes());
    return x;
  }
  std::vector<float> download(Tensor& x) {
    std::vector<float> values(static_cast<std::size_t>(x.view().numel()));
    comm.wait(stream);
    stream.copy(values.data(), x.view().bytes(), x.view().size_bytes());
    stream.synchronize();
    return values;
  }
};

void on_nccl_ranks(int ranks, Reduce reduce, double deadline_s,
                   const std::function<void(Rank&)>& body) {
  auto hosts = make_local_group(ranks, "world", 30);
  std::vector<std::jthread> threads;
  for (auto& rank : hosts)
    threads.emplace_back([&body, reduce, deadline_s, host = std::move(rank)] {
      try {
        const Device device{DeviceType::kCuda, host->rank()};
        const auto comm = make_nccl(*host, device, reduce, "tensor", deadline_s);
        Rank self{*host, *comm, Stream(device)};
        body(self);
      } catch (const std::exception& error) {
        ADD_FAILURE() << "rank " << host->rank() << ": " << error.what();
        host->abort(error.what());
      }
    });
}

/// Sizes of groups for which this machine has devices; other sizes have no tests here.
std::vector<int> group_sizes(int largest) {
  std::vector<int> sizes;
  for (int size = 2; size <= std::min(largest, cuda::availability().devices); ++size)
    sizes.push_back(size);
  return sizes;
}
// With one device there are no such groups; parallel_comm_nccl_mpi_test shares the device.
GTEST_ALLOW_UNINSTANTIATED_PARAMETERIZED_TEST(NcclGroup);
GTEST_ALLOW_UNINSTANTIATED_PARAMETERIZED_TEST(NcclPair);
class NcclGroup : public testing::TestWithParam<int> {};
INSTANTIATE_TEST_SUITE_P(Ranks, NcclGroup, testing::ValuesIn(group_sizes(4)),
                         testing::PrintToStringParamName());
class NcclPair : public testing::TestWithParam<int> {};
INSTANTIATE_TEST_SUITE_P(Ranks, NcclPair, testing::ValuesIn(group_sizes(2)),
                         testing::PrintToStringParamName());

TEST_P(NcclGroup, OrderedSumsHaveTheBitsOfTheLocalTransport) {
  const int ranks = GetParam();
  for (const std::int64_t count :
       {std::int64_t{5}, kNcclGatherElements - 1, kNcclGatherElements, kNcclGatherElements + 1,
        kNcclGatherElements + 20, std::int64_t{200'003}})
    on_nccl_ranks(ranks, Reduce::kOrdered, 30, [&](Rank& self) {
      std::vector<float> values = values_of_rank(self.comm.rank(), count), expected = values;
      self.host.all_reduce(Stream{Device{}}, view_of(expected));
      Tensor x = self.upload(values);
      self.comm.all_reduce(self.stream, x);
      EXPECT_TRUE(same_bits(self.download(x), expected)) << count << " on " << ranks;
    });
}

TEST_P(NcclPair, AMessageLongerThanAPieceIsSentInPieces) {
  on_nccl_ranks(2, Reduce::kOrdered, 60, [&](Rank& self) {
    std::vector<float> values = values_of_rank(self.comm.rank(), kNcclPieceElements + 7),
                       expected = values;
    self.host.all_reduce(Stream{Device{}}, view_of(expected));
    Tensor x = self.upload(values);
    self.comm.all_reduce(self.stream, x);
    EXPECT_TRUE(same_bits(self.download(x), expected));
  });
}

TEST_P(NcclGroup, TheLibrarysSumIsClose) {
  const int ranks = GetParam();
  on_nccl_ranks(ranks, Reduce::kLibrary, 30, [&](Rank& self) {
    std::vector<float> values = values_of_rank(self.comm.rank(), 70'001), expected = values;
    self.host.all_reduce(Stream{Device{}}, view_of(expected));
    Tensor x = self.upload(values);
    self.comm.all_reduce(self.stream, x);
    const auto got = self.download(x);
    // Values are below 2^12: a few roundings of sums below 2^14.
    for (std::size_t i = 0; i < got.size(); ++i) ASSERT_NEAR(got[i], expected[i], 0.01F) << i;
  });
}

TEST_P(NcclGroup, CollectivesAreReplayedFromAGraph) {
  const int ranks = GetParam();
  for (const Reduce reduce : {Reduce::kOrdered, Reduce::kLibrary})
    for (const std::int64_t count : {std::int64_t{1000}, kNcclGatherElements + 33})
      on_nccl_ranks(ranks, reduce, 30, [&](Rank& self) {
        std::vector<float> values(static_cast<std::size_t>(count), 1.0F);
        Tensor x = self.upload(values);
        GraphCache graphs;
        for (int round = 0; round < 4; ++round)
          graphs.run(self.stream, 1, [&] { self.comm.all_reduce(self.stream, x); });
        const auto got = self.download(x);
        EXPECT_GT(graphs.replayed(), 0U);
        EXPECT_EQ(got.front(), static_cast<float>(ranks * ranks * ranks * ranks));
        EXPECT_EQ(got.back(), got.front());
      });
}

/// The message of the SystemError that `call` throws.
std::string failure_of(const std::function<void()>& call) {
  try {
    call();
  } catch (const SystemError& error) {
    return error.what();
  }
  ADD_FAILURE() << "nothing was thrown";
  return "";
}

TEST_P(NcclGroup, ASweepTimesTheDevice) {
  const SteadyClock clock;
  on_nccl_ranks(GetParam(), Reduce::kOrdered, 30, [&](Rank& rank) {
    const SweepOptions options{.most_bytes = 1 << 16, .seconds = 0.05};
    const auto sweeps = sweep_collectives(rank.comm, rank.host, rank.stream, clock, options);
    ASSERT_EQ(sweeps.size(), kCollectives);
    for (const CollectiveSweep& sweep : sweeps) {
      EXPECT_GT(sweep.fit.bytes_per_s, 0);
      for (const SweepPoint& point : sweep.points) EXPECT_EQ(point.wrong, 0) << point.bytes;
    }
  });
}

TEST_P(NcclPair, APeerThatDoesNotEnterIsNoticedAtTheDeadline) {
  on_nccl_ranks(2, Reduce::kOrdered, 1, [&](Rank& self) {
    std::vector<float> values(10, 1.0F);
    if (self.comm.rank() == 0) {
      Tensor x = self.upload(values);
      const std::string text = failure_of([&] {
        self.comm.all_reduce(self.stream, x);
        self.comm.wait(self.stream);
      });
      EXPECT_THAT(text, testing::HasSubstr("[nccl] rank 0 of 2 in \"tensor\" (cuda:0)"));
      EXPECT_THAT(text, testing::HasSubstr("all_reduce not finished after 1 s"));
      EXPECT_THROW(self.comm.all_reduce(self.stream, x), SystemError);
    }
    self.host.barrier();
  });
}

TEST_P(NcclPair, AnAbortWakesAPeerThatWaitsOnItsDevice) {
  on_nccl_ranks(2, Reduce::kOrdered, 30, [&](Rank& self) {
    std::vector<float> values(10, 1.0F);
    if (self.comm.rank() == 1) {
      std::this_thread::sleep_for(std::chrono::milliseconds(100));
      return self.comm.abort("the disk is full");
    }
    Tensor x = self.upload(values);
    EXPECT_THAT(failure_of([&] {
                  self.comm.all_reduce(self.stream, x);
                  self.comm.wait(self.stream);
                }),
                testing::HasSubstr("the disk is full"));
  });
}

TEST_P(NcclPair, CreationNamesTheRanksThatDidNotArrive) {
  auto hosts = make_local_group(3, "world", 2);
  std::vector<std::jthread> threads;
  for (const std::size_t rank : {0, 1})
    threads.emplace_back([&, rank] {
      const std::string text = failure_of([&] {
        make_nccl(*hosts[rank], {DeviceType::kCuda, static_cast<int>(rank)}, Reduce::kOrdered,
                  "tensor", 0.5);
      });
      if (rank != 0) return;
      EXPECT_THAT(text, testing::HasSubstr("[nccl] rank 0 of 3 in \"tensor\" (cuda:0): creation"));
      EXPECT_THAT(text, testing::HasSubstr("had not arrived: 2"));
    });
}

TEST(NcclCommunicator, SharingADeviceSetsWhatNcclReads) {
  const char* const names[] = {"NCCL_HOSTID", "NCCL_NET", "NCCL_P2P_DISABLE", "NCCL_SHM_DISABLE"};
  for (const char* name : names) ASSERT_EQ(std::getenv(name), nullptr) << name;
  Log log({.place = "", .directory = "", .to_stderr = false});
  share_device_for_tests(3, log);
  EXPECT_STREQ(std::getenv("NCCL_HOSTID"), "retinue-rank-3");
  EXPECT_STREQ(std::getenv("NCCL_NET"), "Socket");
  EXPECT_STREQ(std::getenv("NCCL_P2P_DISABLE"), "1");
  EXPECT_STREQ(std::getenv("NCCL_SHM_DISABLE"), "1");
  for (const char* name : names) unsetenv(name);
}

TEST(NcclCommunicator, TheVersionHasThreeParts) {
  EXPECT_THAT(nccl_version(), testing::MatchesRegex("[0-9]+\\.[0-9]+\\.[0-9]+"));
}

TEST(NcclCommunicator, ScratchIsKnownWithoutADevice) {
  EXPECT_EQ(nccl_scratch_bytes(1, Reduce::kOrdered), 0U);
  EXPECT_EQ(nccl_scratch_bytes(8, Reduce::kLibrary), 0U);
  EXPECT_EQ(nccl_scratch_bytes(8, Reduce::kOrdered), (4U * 1024 * 1024 + 128) * 4);
}

}  // namespace
}  // namespace retinue
