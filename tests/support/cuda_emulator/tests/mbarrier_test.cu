#include "layers/kernels/cuda/ptx_hopper.cuh"
#include "tests/support/cuda_emulator/tests/boxes.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <cstdlib>

namespace cuda_emulator::testing {
namespace {

using namespace retinue::cuda;

struct MbarrierTest : ::testing::Test {
  void SetUp() override { GTEST_FLAG_SET(death_test_style, "threadsafe"); }

  DeviceArray<int> out{std::vector<int>(64, 0)};
};
using MbarrierDeathTest = MbarrierTest;

constexpr int kRounds = 9, kStages = 3;

/// The first warp passes numbers to the second one through a ring of places.
__global__ void ring(int* out) {
  __shared__ Mbarrier full[kStages], empty[kStages];
  auto* const places = dynamic_shared<int>();
  if (threadIdx.x == 0)
    for (int i = 0; i < kStages; ++i) {
      mbarrier_init(&full[i], 32);
      mbarrier_init(&empty[i], 32);
    }
  __syncthreads();
  const int lane = static_cast<int>(threadIdx.x % 32);
  for (int round = 0; round < kRounds; ++round) {
    const int stage = round % kStages, parity = round / kStages % 2;
    if (threadIdx.x < 32) {
      mbarrier_wait(&empty[stage], parity ^ 1);
      places[stage * 32 + lane] = round * 100 + lane;
      mbarrier_arrive(&full[stage]);
    } else {
      mbarrier_wait(&full[stage], parity);
      out[lane] += places[stage * 32 + (lane + round) % 32];
      mbarrier_arrive(&empty[stage]);
    }
  }
}

TEST_F(MbarrierTest, PhasesPassARingFromWarpToWarp) {
  for (const Schedule& schedule : some_schedules()) {
    const ScopedSchedule scoped(schedule);
    EXPECT_CUDA(cudaMemset(out.data(), 0, out.bytes()));
    run_now({dim3(1), dim3(64), kStages * 128}, ring, out.data());
    const std::vector<int> sums = out.values();
    for (int lane = 0; lane < 32; ++lane) {
      int want = 0;
      for (int round = 0; round < kRounds; ++round) want += round * 100 + (lane + round) % 32;
      EXPECT_EQ(sums[static_cast<std::size_t>(lane)], want);
    }
  }
}

enum class Mistake {
  kNone,
  kNoInit,
  kNoBarrier,
  kTwice,
  kMisaligned,
  kNoArrivals,
  kMissingArrival,
  kTooMany,
  kSameParity,
  kWrongFirstParity,
  kNoParity,
  kOverwritten,
  kMissingBytes,
  kBytesAtTheEnd,
  kManyBytes,
  kUseAfterInvalidate,
};

/// Thread 0 arrives twice and thread 32 waits, with one mistake.
__global__ void with_mistake(int* out, Mistake mistake) {
  __shared__ Mbarrier storage[2];
  Mbarrier* const barrier = mistake == Mistake::kMisaligned
                                ? reinterpret_cast<Mbarrier*>(reinterpret_cast<char*>(storage) + 4)
                                : storage;
  if (threadIdx.x == 0 && mistake != Mistake::kNoInit)
    mbarrier_init(barrier, mistake == Mistake::kNoArrivals ? 0 : 2);
  if (threadIdx.x == 0 && mistake == Mistake::kTwice) mbarrier_init(barrier, 2);
  if (mistake != Mistake::kNoBarrier) __syncthreads();
  if (threadIdx.x == 0) {
    if (mistake == Mistake::kOverwritten) *barrier = 0;
    if (mistake == Mistake::kManyBytes)
      mbarrier_arrive_expect(barrier, 1 << 20);
    else if (mistake == Mistake::kMissingBytes || mistake == Mistake::kBytesAtTheEnd)
      mbarrier_arrive_expect(barrier, 16);
    else
      mbarrier_arrive(barrier);
    if (mistake != Mistake::kMissingArrival) mbarrier_arrive(barrier);
    if (mistake == Mistake::kMissingBytes) mbarrier_arrive(barrier);
  }
  if (threadIdx.x == 32 && mistake != Mistake::kBytesAtTheEnd) {
    mbarrier_wait(barrier, mistake == Mistake::kNoParity           ? 2
                           : mistake == Mistake::kWrongFirstParity ? 1
                                                                   : 0);
    if (mistake == Mistake::kWrongFirstParity || mistake == Mistake::kSameParity)
      mbarrier_wait(barrier, 0);
    if (mistake == Mistake::kWrongFirstParity) mbarrier_wait(barrier, 1);
    *out = 1;
    if (mistake == Mistake::kUseAfterInvalidate) {
      mbarrier_invalidate(barrier);
      mbarrier_arrive(barrier);
    }
  }
}

TEST_F(MbarrierDeathTest, WhatTheIsaLeavesUndefinedEndsTheProgram) {
  const auto run = [&](Mistake mistake) {
    // Thread 32 first: it comes to its wait while thread 0 has not arrived.
    set_schedule({Order::kDescending, 0});
    run_now({dim3(1), dim3(64)}, with_mistake, out.data(), mistake);
  };
  run(Mistake::kNone);
  EXPECT_DEATH(run(Mistake::kNoInit), "no mbarrier was initialised there. kernel .*with_mistake");
  EXPECT_DEATH(run(Mistake::kNoBarrier), "mbarrier_wait: no mbarrier was initialised there");
  EXPECT_DEATH(run(Mistake::kTwice), "mbarrier_init of an mbarrier that is in use");
  EXPECT_DEATH(run(Mistake::kMisaligned), "an mbarrier: .* is not a multiple of 8");
  EXPECT_DEATH(run(Mistake::kNoArrivals), "an mbarrier of 0 arrivals");
  EXPECT_DEATH(
      run(Mistake::kMissingArrival),
      "for ever. kernel .*with_mistake.*thread \\(32, 0, 0\\) waits at mbarrier_wait: phase 0 "
      "of an mbarrier lacks 1 of 2 arrivals and 0 bytes");
  EXPECT_DEATH(run(Mistake::kSameParity), "the parity 0 twice; a thread's waits alternate");
  EXPECT_DEATH(run(Mistake::kWrongFirstParity), "phase 1 of an mbarrier lacks 2 of 2 arrivals");
  EXPECT_DEATH(run(Mistake::kNoParity), "the parity 2; wanted 0 or 1");
  EXPECT_DEATH(run(Mistake::kOverwritten), "the bytes of the mbarrier were overwritten");
  EXPECT_DEATH(run(Mistake::kMissingBytes), "more than the 2 arrivals of a phase");
  EXPECT_DEATH(run(Mistake::kBytesAtTheEnd),
               "a block ends, and phase 0 of an mbarrier lacks 0 of 2 arrivals and 16 bytes");
  EXPECT_DEATH(run(Mistake::kManyBytes), "expects more than 2\\^20 - 1 bytes");
  EXPECT_DEATH(run(Mistake::kUseAfterInvalidate), "no mbarrier was initialised there");
}

__global__ void used_at_once() {
  __shared__ Mbarrier barrier;
  if (threadIdx.x == 0) mbarrier_init(&barrier, 1);
  if (threadIdx.x == 1) mbarrier_arrive(&barrier);
}

TEST_F(MbarrierDeathTest, OthersUseItAfterABarrierAlone) {
  EXPECT_DEATH(run_now({dim3(1), dim3(32)}, used_at_once),
               "mbarrier_arrive: no __syncthreads\\(\\) is between mbarrier_init and its use");
}

TEST_F(MbarrierDeathTest, AnotherGpuHasNone) {
  EXPECT_DEATH(
      {
        setenv("RETINUE_EMULATOR_CAPABILITY", "8.9", 1);
        run_now({dim3(1), dim3(64), kStages * 128}, ring, out.data());
      },
      "mbarrier_init on a GPU of compute capability 8.9; Hopper alone has it");
}

}  // namespace
}  // namespace cuda_emulator::testing
