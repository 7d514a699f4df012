#include "layers/kernels/cuda/ptx_hopper.cuh"
#include "tests/support/cuda_emulator/tests/boxes.h"

#include <gtest/gtest.h>

#include <cstdint>

namespace cuda_emulator::testing {
namespace {

using namespace retinue::cuda;

/// One mistake in a ring of stages between threads.
enum class Mistake {
  kNone,
  kReadsWithoutWait,     ///< one thread does not wait until a stage is full
  kWritesWithoutWait,    ///< the producer does not wait until a stage is empty
  kArrivesBeforeReading  ///< a stage is called empty while it is still read
};

struct AsyncRaces : ::testing::Test {
  void SetUp() override { GTEST_FLAG_SET(death_test_style, "threadsafe"); }

  static constexpr int kBoxes = 5;
  DeviceArray<std::uint16_t> tensor{std::vector<std::uint16_t>(kBoxes * 64 * 64, 0x3F80)};
  DeviceArray<float> out{std::vector<float>(4096, 0)};
  CUtensorMap map =
      map_of({tensor.data(), kBoxes * 64, 64, kBoxes * 128, 64, 64, CU_TENSOR_MAP_SWIZZLE_128B});
};
using AsyncRacesDeathTest = AsyncRaces;

constexpr const char* kRace = "a race: .* shared memory, which .*, and nothing orders the two";

/// Warp 0 writes numbers, warp 1 reads its neighbours'.
__global__ void numbers(float* out, Mistake mistake) {
  __shared__ Mbarrier full[2], empty[2];
  auto* const places = dynamic_shared<float>();
  if (threadIdx.x == 0)
    for (int i = 0; i < 2; ++i) {
      mbarrier_init(&full[i], 32);
      mbarrier_init(&empty[i], 32);
    }
  __syncthreads();
  const int lane = static_cast<int>(threadIdx.x % 32);
  for (int round = 0; round < 6; ++round) {
    const int stage = round % 2, parity = round / 2 % 2;
    float* const place = places + stage * 32;
    if (threadIdx.x < 32) {
      if (mistake != Mistake::kWritesWithoutWait) mbarrier_wait(&empty[stage], parity ^ 1);
      place[lane] = static_cast<float>(round);
      mbarrier_arrive(&full[stage]);
    } else {
      if (mistake != Mistake::kReadsWithoutWait || lane != 5) mbarrier_wait(&full[stage], parity);
      if (mistake == Mistake::kArrivesBeforeReading) mbarrier_arrive(&empty[stage]);
      out[lane] += place[(lane + 1) % 32];
      if (mistake != Mistake::kArrivesBeforeReading) mbarrier_arrive(&empty[stage]);
    }
  }
}

TEST_F(AsyncRacesDeathTest, AnMbarrierOrdersItsArrivalsBeforeItsWaits) {
  const auto run = [&](Mistake mistake) {
    run_now({dim3(2), dim3(64), 256}, numbers, out.data() + 0, mistake);
  };
  const auto one_block = [&](Mistake mistake) {
    run_now({dim3(1), dim3(64), 256}, numbers, out.data() + 0, mistake);
  };
  one_block(Mistake::kNone);
  for (const Mistake mistake :
       {Mistake::kReadsWithoutWait, Mistake::kWritesWithoutWait, Mistake::kArrivesBeforeReading})
    EXPECT_DEATH(one_block(mistake), kRace);
  EXPECT_DEATH(run(Mistake::kNone), "of device memory, which thread .* of block \\(0, 0, 0\\)");
}

/// Warp 0 brings boxes, warp 1 reads them.
__global__ void boxes(const __grid_constant__ CUtensorMap map, float* out, Mistake mistake) {
  __shared__ Mbarrier full[2], empty[2];
  auto* const stages = shared_pattern<std::uint16_t>();
  if (threadIdx.x == 0) {
    for (int i = 0; i < 2; ++i) {
      mbarrier_init(&full[i], 1);
      mbarrier_init(&empty[i], mistake == Mistake::kWritesWithoutWait ? 31 : 32);
    }
    mbarrier_init_fence();
  }
  __syncthreads();
  const int lane = static_cast<int>(threadIdx.x % 32);
  for (int box = 0; box < 5; ++box) {
    const int stage = box % 2, parity = box / 2 % 2;
    if (threadIdx.x == 0) {
      mbarrier_wait(&empty[stage], parity ^ 1);
      mbarrier_arrive_expect(&full[stage], 64 * 128);
      copy_box_2d(stages + stage * 4096, &map, box * 64, 0, &full[stage]);
    } else if (threadIdx.x >= 32) {
      if (mistake != Mistake::kReadsWithoutWait || lane != 5) mbarrier_wait(&full[stage], parity);
      // Lane 5 reads after the others know that the box is there; it does not.
      if (mistake == Mistake::kReadsWithoutWait) __shfl_sync(0xFFFFFFFFU, lane, 0);
      out[lane] += static_cast<float>(stages[stage * 4096 + lane * 64]);
      if (mistake != Mistake::kWritesWithoutWait || lane != 5) mbarrier_arrive(&empty[stage]);
    }
  }
}

TEST_F(AsyncRacesDeathTest, ACopyIsOrderedByItsMbarrierAlone) {
  const auto run = [&](Mistake mistake) {
    run_now({dim3(1), dim3(64), kToPattern + 2 * 8192}, boxes, map, out.data() + 0, mistake);
  };
  run(Mistake::kNone);
  EXPECT_DEATH(run(Mistake::kReadsWithoutWait),
               "thread \\(37, 0, 0\\) of block .* reads byte .* of dynamic shared memory, which a "
               "copy of a box by block \\(0, 0, 0\\) wrote, and nothing orders the two");
  EXPECT_DEATH(run(Mistake::kWritesWithoutWait),
               "thread \\(0, 0, 0\\) of block .* starts a copy to byte .* which thread "
               "\\(37, 0, 0\\) of block .* read");
}

/// Warps 0 to 3 multiply boxes that warp 4 brings.
__global__ void products(const __grid_constant__ CUtensorMap map, float* out, Mistake mistake) {
  __shared__ Mbarrier full[2], empty[2];
  auto* const stages = shared_pattern<std::uint16_t>();
  if (threadIdx.x == 0) {
    for (int i = 0; i < 2; ++i) {
      mbarrier_init(&full[i], 1);
      mbarrier_init(&empty[i], mistake == Mistake::kWritesWithoutWait ? 3 : 4);
    }
    mbarrier_init_fence();
  }
  __syncthreads();
  const unsigned warp = threadIdx.x / 32, lane = threadIdx.x % 32;
  float sums[32];
  for (int box = 0; box < 5; ++box) {
    const int stage = box % 2, parity = box / 2 % 2;
    std::uint16_t* const matrix = stages + stage * 8192;  // a, then b
    if (threadIdx.x == 128) {
      mbarrier_wait(&empty[stage], parity ^ 1);
      mbarrier_arrive_expect(&full[stage], 2 * 64 * 128);
      copy_box_2d(matrix, &map, box * 64, 0, &full[stage]);
      copy_box_2d(matrix + 4096, &map, box * 64, 0, &full[stage]);
    } else if (warp < 4) {
      mbarrier_wait(&full[stage], parity);
      wgmma_fence();
      wgmma_m64k16(sums, shared_matrix(matrix, Swizzle::k128Bytes, 1024),
                   shared_matrix(matrix + 4096, Swizzle::k128Bytes, 1024), box > 0);
      wgmma_commit();
      const bool counts = mistake != Mistake::kWritesWithoutWait || warp != 1;
      const bool early = mistake == Mistake::kArrivesBeforeReading;
      if (early && lane == 0) mbarrier_arrive(&empty[stage]);
      wgmma_wait<0>();
      if (!early && lane == 0 && counts) mbarrier_arrive(&empty[stage]);
    }
  }
  if (warp < 4) out[threadIdx.x] = sums[0];
}

TEST_F(AsyncRacesDeathTest, AWgmmaReadsUntilItIsWaitedFor) {
  const auto run = [&](Mistake mistake, Order order) {
    set_schedule({order, 3});
    run_now({dim3(1), dim3(160), kToPattern + 4 * 8192}, products, map, out.data() + 0, mistake);
  };
  for (const Order order : {Order::kAscending, Order::kDescending, Order::kRandom}) {
    run(Mistake::kNone, order);
    EXPECT_EQ(out.values()[0], 5 * 16);
    EXPECT_DEATH(run(Mistake::kWritesWithoutWait, order), kRace);
    EXPECT_DEATH(run(Mistake::kArrivesBeforeReading, order), kRace);
  }
  set_schedule({});
}

}  // namespace
}  // namespace cuda_emulator::testing
