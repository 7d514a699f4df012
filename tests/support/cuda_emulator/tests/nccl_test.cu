#include "tests/support/cuda_emulator/tests/launch.h"

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <cmath>
#include <cstdlib>
#include <cuda_bf16.h>
#include <functional>
#include <nccl.h>
#include <set>
#include <sys/wait.h>
#include <thread>
#include <unistd.h>
#include <vector>

namespace cuda_emulator::testing {
namespace {

#define EXPECT_NCCL(call) EXPECT_EQ(call, ncclSuccess) << ncclGetLastError(nullptr)

/// Sets three devices, before the first call of CUDA.
const bool have_devices = setenv("RETINUE_EMULATOR_DEVICES", "3", 1) == 0;

struct Rank {
  int rank = 0, ranks = 0;
  ncclComm_t comm = nullptr;
  cudaStream_t stream = nullptr;
};

/// Runs `body` on threads as ranks, each with its device, communicator and stream.
void on_ranks(int ranks, const std::function<void(Rank&)>& body, int blocking = 1) {
  ncclUniqueId id;
  ASSERT_EQ(ncclGetUniqueId(&id), ncclSuccess);
  std::vector<std::thread> threads;
  for (int rank = 0; rank < ranks; ++rank) {
    threads.emplace_back([=, &body] {
      Rank self{rank, ranks};
      EXPECT_CUDA(cudaSetDevice(rank));
      EXPECT_CUDA(cudaStreamCreateWithFlags(&self.stream, cudaStreamNonBlocking));
      ncclConfig_t config = NCCL_CONFIG_INITIALIZER;
      config.blocking = blocking;
      const ncclResult_t result = ncclCommInitRankConfig(&self.comm, ranks, id, rank, &config);
      EXPECT_EQ(result, blocking ? ncclSuccess : ncclInProgress);
      body(self);
      if (self.comm != nullptr) {
        EXPECT_NCCL(ncclCommDestroy(self.comm));
      }
      EXPECT_CUDA(cudaStreamDestroy(self.stream));
    });
  }
  for (auto& thread : threads) thread.join();
}

/// Fails the test where `done` does not come true within 30 s.
void wait_until(const std::function<bool()>& done) {
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(30);
  while (!done()) {
    ASSERT_LT(std::chrono::steady_clock::now(), deadline) << "waited in vain";
    std::this_thread::yield();
  }
}

ncclResult_t final_result(ncclComm_t comm) {
  ncclResult_t state = ncclInProgress;
  wait_until([&] {
    EXPECT_EQ(ncclCommGetAsyncError(comm, &state), ncclSuccess);
    return state != ncclInProgress;
  });
  return state;
}

std::vector<float> ramp(std::size_t count, int rank) {
  std::vector<float> values(count);
  for (std::size_t i = 0; i < count; ++i)
    values[i] = static_cast<float>(i % 97) + 1000.0f * static_cast<float>(rank);
  return values;
}

TEST(Nccl, CollectivesFollowTheirDefinitions) {
  ASSERT_TRUE(have_devices);
  for (const int ranks : {1, 2, 3}) {
    for (const std::size_t count : {std::size_t{1}, std::size_t{7}, std::size_t{200000}}) {
      on_ranks(ranks, [&](Rank& self) {
        const auto n = static_cast<std::size_t>(ranks);
        const auto me = static_cast<std::size_t>(self.rank);
        const auto mine = ramp(count, self.rank);
        DeviceArray<float> in(mine), sum(count), gathered(n * count), shared(count), part(count);
        std::vector<float> wide;
        for (int i = 0; i < ranks; ++i) wide.insert(wide.end(), mine.begin(), mine.end());
        DeviceArray<float> wide_in(wide);
        EXPECT_NCCL(ncclAllReduce(in.data(), sum.data(), count, ncclFloat32, ncclSum, self.comm,
                                  self.stream));
        EXPECT_NCCL(
            ncclAllGather(in.data(), gathered.data(), count, ncclFloat32, self.comm, self.stream));
        EXPECT_NCCL(ncclBroadcast(in.data(), shared.data(), count, ncclFloat32, ranks - 1,
                                  self.comm, self.stream));
        EXPECT_NCCL(ncclReduceScatter(wide_in.data(), part.data(), count, ncclFloat32, ncclMax,
                                      self.comm, self.stream));
        EXPECT_CUDA(cudaStreamSynchronize(self.stream));
        const auto total = sum.values(), all = gathered.values(), last = shared.values(),
                   largest = part.values();
        for (std::size_t i = 0; i < count; i += 1 + count / 50) {
          const float base = static_cast<float>(i % 97);
          EXPECT_EQ(total[i], base * static_cast<float>(ranks) +
                                  500.0f * static_cast<float>(ranks * (ranks - 1)));
          EXPECT_EQ(all[me * count + i], mine[i]);
          EXPECT_EQ(all[i], base);
          EXPECT_EQ(last[i], base + 1000.0f * static_cast<float>(ranks - 1));
          EXPECT_EQ(largest[i], base + 1000.0f * static_cast<float>(ranks - 1));
        }
      });
    }
  }
}

TEST(Nccl, ASumHasAnOrderOfItsOwnAndIsTheSameEverywhere) {
  std::vector<std::vector<float>> results(3);
  on_ranks(3, [&](Rank& self) {
    // In the order of the ranks each sum would be 1 + 2^-24 + 2^-24, rounded twice.
    const float value = self.rank == 0 ? 1.0f : std::ldexp(1.0f, -24);
    DeviceArray<float> data(std::vector<float>(9, value));
    EXPECT_NCCL(
        ncclAllReduce(data.data(), data.data(), 9, ncclFloat32, ncclSum, self.comm, self.stream));
    EXPECT_CUDA(cudaStreamSynchronize(self.stream));
    results[static_cast<std::size_t>(self.rank)] = data.values();
  });
  EXPECT_EQ(results[0], results[1]);
  EXPECT_EQ(results[0], results[2]);
  EXPECT_GT(std::set<float>(results[0].begin(), results[0].end()).size(), 1u);
}

TEST(Nccl, CollectivesAreWorkOfTheStream) {
  std::atomic<int> arrived{0};
  on_ranks(2, [&](Rank& self) {
    DeviceArray<float> data(std::vector<float>{1});
    EXPECT_NCCL(
        ncclAllReduce(data.data(), data.data(), 1, ncclFloat32, ncclSum, self.comm, self.stream));
    ++arrived;
    wait_until([&] { return arrived == 2; });
    EXPECT_EQ(data.values()[0], 1);  // on the legacy stream: nothing has waited for ours
    EXPECT_EQ(cudaStreamQuery(self.stream), cudaErrorNotReady);
    wait_until([&] { return cudaStreamQuery(self.stream) == cudaSuccess; });
    cudaGetLastError();
    EXPECT_EQ(data.values()[0], 2);
  });
}

TEST(Nccl, MessagesOfAGroupGoBothWays) {
  on_ranks(3, [&](Rank& self) {
    const std::size_t count = 100000;
    const int next = (self.rank + 1) % 3, before = (self.rank + 2) % 3;
    DeviceArray<float> out(ramp(count, self.rank)), in(count);
    EXPECT_NCCL(ncclGroupStart());
    EXPECT_NCCL(ncclSend(out.data(), count, ncclFloat32, next, self.comm, self.stream));
    EXPECT_NCCL(ncclRecv(in.data(), count, ncclFloat32, before, self.comm, self.stream));
    EXPECT_NCCL(ncclGroupEnd());
    EXPECT_CUDA(cudaStreamSynchronize(self.stream));
    EXPECT_EQ(in.values(), ramp(count, before));
  });
}

TEST(Nccl, CollectivesReplayInGraphs) {
  on_ranks(2, [&](Rank& self) {
    DeviceArray<__nv_bfloat16> data(std::vector<__nv_bfloat16>{__float2bfloat16(1.0f)});
    cudaGraph_t graph = nullptr;
    cudaGraphExec_t executable = nullptr;
    EXPECT_CUDA(cudaStreamBeginCapture(self.stream, cudaStreamCaptureModeThreadLocal));
    EXPECT_NCCL(
        ncclAllReduce(data.data(), data.data(), 1, ncclBfloat16, ncclSum, self.comm, self.stream));
    EXPECT_CUDA(cudaStreamEndCapture(self.stream, &graph));
    EXPECT_CUDA(cudaGraphInstantiate(&executable, graph));
    for (int i = 0; i < 3; ++i) EXPECT_CUDA(cudaGraphLaunch(executable, self.stream));
    EXPECT_CUDA(cudaStreamSynchronize(self.stream));
    EXPECT_EQ(__bfloat162float(data.values()[0]), 8);
    EXPECT_CUDA(cudaGraphExecDestroy(executable));
    EXPECT_CUDA(cudaGraphDestroy(graph));
  });
}

TEST(Nccl, SplitsByColorInTheOrderOfTheKeys) {
  on_ranks(3, [&](Rank& self) {
    for (int again = 0; again < 3; ++again) {
      ncclComm_t split = nullptr;
      const int color = self.rank == 1 ? NCCL_SPLIT_NOCOLOR : 5;
      EXPECT_NCCL(ncclCommSplit(self.comm, color, -self.rank, &split, nullptr));
      if (self.rank == 1) {
        EXPECT_EQ(split, nullptr);
        continue;
      }
      int rank = -1, count = -1;
      EXPECT_NCCL(ncclCommUserRank(split, &rank));
      EXPECT_NCCL(ncclCommCount(split, &count));
      EXPECT_EQ(rank, self.rank == 2 ? 0 : 1);
      EXPECT_EQ(count, 2);
      DeviceArray<int> data(std::vector<int>{self.rank});
      EXPECT_NCCL(
          ncclAllReduce(data.data(), data.data(), 1, ncclInt32, ncclMax, split, self.stream));
      EXPECT_CUDA(cudaStreamSynchronize(self.stream));
      EXPECT_EQ(data.values()[0], 2);
      EXPECT_NCCL(ncclCommDestroy(split));
    }
  });
}

TEST(Nccl, WithoutBlockingEverythingIsPolled) {
  on_ranks(
      2,
      [&](Rank& self) {
        EXPECT_EQ(final_result(self.comm), ncclSuccess);
        DeviceArray<float> data(std::vector<float>{1});
        const auto reduce = [&] {
          return ncclAllReduce(data.data(), data.data(), 1, ncclFloat32, ncclSum, self.comm,
                               self.stream);
        };
        EXPECT_EQ(reduce(), ncclInProgress);
        EXPECT_EQ(reduce(), ncclInvalidArgument);  // before it was polled
        EXPECT_EQ(final_result(self.comm), ncclSuccess);
        EXPECT_EQ(reduce(), ncclSuccess);
        EXPECT_EQ(ncclCommFinalize(self.comm), ncclInProgress);
        EXPECT_EQ(final_result(self.comm), ncclSuccess);
        EXPECT_EQ(data.values()[0], 4);
      },
      0);
}

TEST(Nccl, AnAbortEndsAWait) {
  on_ranks(2, [&](Rank& self) {
    if (self.rank == 1) return;  // never enters
    DeviceArray<float> data(std::vector<float>{1});
    EXPECT_NCCL(
        ncclAllReduce(data.data(), data.data(), 1, ncclFloat32, ncclSum, self.comm, self.stream));
    std::thread watch([&] {
      std::this_thread::sleep_for(std::chrono::milliseconds(20));
      EXPECT_NCCL(ncclCommAbort(self.comm));
      self.comm = nullptr;
    });
    EXPECT_CUDA(cudaStreamSynchronize(self.stream));
    watch.join();
  });
}

TEST(Nccl, RefusesTwoRanksOnOneDeviceOfAHost) {
  for (const bool other_host : {false, true}) {
    ncclUniqueId id;
    EXPECT_NCCL(ncclGetUniqueId(&id));
    ncclComm_t comms[2] = {};
    for (int rank = 0; rank < 2; ++rank) {
      if (other_host) setenv("NCCL_HOSTID", rank == 0 ? "a" : "b", 1);
      ncclConfig_t config = NCCL_CONFIG_INITIALIZER;
      config.blocking = 0;
      EXPECT_CUDA(cudaSetDevice(0));
      EXPECT_EQ(ncclCommInitRankConfig(&comms[rank], 2, id, rank, &config), ncclInProgress);
    }
    unsetenv("NCCL_HOSTID");
    for (ncclComm_t comm : comms) {
      EXPECT_EQ(final_result(comm), other_host ? ncclSuccess : ncclInvalidUsage);
      if (!other_host) {
        EXPECT_STREQ(ncclGetLastError(comm),
                     "Duplicate GPU detected : rank 0 and rank 1 both on CUDA device 1000");
      }
    }
    for (ncclComm_t comm : comms) EXPECT_NCCL(ncclCommAbort(comm));
  }
}

TEST(Nccl, IsStrictAboutBuffersAndStreams) {
  on_ranks(2, [&](Rank& self) {
    DeviceArray<float> data(4);
    std::vector<float> host(4);
    const auto reduce = [&](const void* from, std::size_t count, cudaStream_t stream) {
      return ncclAllReduce(from, data.data(), count, ncclFloat32, ncclSum, self.comm, stream);
    };
    EXPECT_EQ(reduce(data.data(), 5, self.stream), ncclInvalidArgument);
    EXPECT_EQ(reduce(host.data(), 4, self.stream), ncclInvalidArgument);
    cudaStream_t other = nullptr;
    EXPECT_CUDA(cudaSetDevice(2));
    EXPECT_CUDA(cudaStreamCreateWithFlags(&other, cudaStreamNonBlocking));
    EXPECT_EQ(reduce(data.data(), 4, other), ncclInvalidArgument);
    EXPECT_CUDA(cudaStreamDestroy(other));
    EXPECT_CUDA(cudaSetDevice(self.rank));
  });
}

TEST(Nccl, RanksMayBeProcesses) {
  ncclUniqueId id;
  ASSERT_EQ(ncclGetUniqueId(&id), ncclSuccess);
  std::vector<pid_t> children;
  for (int rank = 0; rank < 2; ++rank) {
    const pid_t child = fork();
    if (child == 0) {
      ncclComm_t comm = nullptr;
      cudaSetDevice(rank);
      bool good = ncclCommInitRank(&comm, 2, id, rank) == ncclSuccess;
      {
        DeviceArray<int> data(std::vector<int>{rank + 1});
        good = good && ncclAllReduce(data.data(), data.data(), 1, ncclInt32, ncclSum, comm,
                                     nullptr) == ncclSuccess;
        good = good && data.values()[0] == 3;
      }
      ncclCommDestroy(comm);
      _exit(good ? 0 : 1);
    }
    children.push_back(child);
  }
  for (const pid_t child : children) {
    int status = -1;
    waitpid(child, &status, 0);
    EXPECT_EQ(status, 0);
  }
}

}  // namespace
}  // namespace cuda_emulator::testing
