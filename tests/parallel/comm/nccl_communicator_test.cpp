#include "parallel/comm/nccl_communicator.h"

#include "parallel/base/check.h"
#include "parallel/base/log.h"
#include "parallel/comm/local_communicator.h"
#include "parallel/device/cuda/runtime.h"
#include "parallel/device/graph.h"
#include "parallel/device/memory.h"
#include "tests/support/rank_values.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <cstdlib>
#include <functional>
#include <thread>

namespace retinue {
namespace {

using test::same_bits;
using test::values_of_rank;
using test::view_of;

/// One rank with its device: f32 goes there and comes back.
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

std::vector<int> group_sizes() {
  std::vector<int> sizes;
  for (const int size : {2, 3, 4})
    if (size <= cuda::availability().devices) sizes.push_back(size);
  return sizes;
}

TEST(NcclCommunicator, OrderedSumsHaveTheBitsOfTheLocalTransport) {
  if (group_sizes().empty()) GTEST_SKIP() << "wants two devices";
  for (const int ranks : group_sizes())
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

TEST(NcclCommunicator, AMessageLongerThanThePieceGoesInPieces) {
  if (group_sizes().empty()) GTEST_SKIP() << "wants two devices";
  on_nccl_ranks(2, Reduce::kOrdered, 60, [&](Rank& self) {
    std::vector<float> values = values_of_rank(self.comm.rank(), kNcclPieceElements + 7),
                       expected = values;
    self.host.all_reduce(Stream{Device{}}, view_of(expected));
    Tensor x = self.upload(values);
    self.comm.all_reduce(self.stream, x);
    EXPECT_TRUE(same_bits(self.download(x), expected));
  });
}

TEST(NcclCommunicator, TheLibrarysSumIsClose) {
  if (group_sizes().empty()) GTEST_SKIP() << "wants two devices";
  for (const int ranks : group_sizes())
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

TEST(NcclCommunicator, CollectivesAreReplayedFromAGraph) {
  if (group_sizes().empty()) GTEST_SKIP() << "wants two devices";
  for (const Reduce reduce : {Reduce::kOrdered, Reduce::kLibrary})
    for (const int ranks : group_sizes())
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

/// What `call` throws as a SystemError.
std::string failure_of(const std::function<void()>& call) {
  try {
    call();
  } catch (const SystemError& error) {
    return error.what();
  }
  ADD_FAILURE() << "nothing was thrown";
  return "";
}

TEST(NcclCommunicator, APeerThatDoesNotEnterIsNoticedAtTheDeadline) {
  if (group_sizes().empty()) GTEST_SKIP() << "wants two devices";
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

TEST(NcclCommunicator, AnAbortWakesAPeerThatWaitsOnItsDevice) {
  if (group_sizes().empty()) GTEST_SKIP() << "wants two devices";
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

TEST(NcclCommunicator, CreationNamesWhoDidNotArrive) {
  if (group_sizes().empty()) GTEST_SKIP() << "wants two devices";
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
