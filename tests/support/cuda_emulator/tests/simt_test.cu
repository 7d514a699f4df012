#include "layers/kernels/cuda/ptx.cuh"
#include "tests/support/cuda_emulator/tests/launch.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <cstdlib>
#include <numeric>
#include <set>

namespace cuda_emulator::testing {
namespace {

using retinue::cuda::copy_async_16;
using retinue::cuda::copy_async_16_or_zero;
using retinue::cuda::copy_async_commit;
using retinue::cuda::copy_async_wait;
using retinue::cuda::dynamic_shared;

constexpr unsigned kAll = 0xFFFFFFFFu;

__global__ void places(int4* out) {
  const unsigned block = blockIdx.x + gridDim.x * (blockIdx.y + gridDim.y * blockIdx.z);
  const unsigned thread = threadIdx.x + blockDim.x * (threadIdx.y + blockDim.y * threadIdx.z);
  const unsigned threads = blockDim.x * blockDim.y * blockDim.z;
  out[block * threads + thread] =
      make_int4(static_cast<int>(blockIdx.y), static_cast<int>(threadIdx.x),
                static_cast<int>(threadIdx.y), static_cast<int>(threadIdx.z));
}

TEST(Simt, EveryThreadOfEveryBlockRunsOnceAndKnowsItsPlace) {
  for (const Schedule& schedule : some_schedules()) {
    const ScopedSchedule scope(schedule);
    DeviceArray<int4> out(6 * 30);
    ASSERT_CUDA(launch({dim3(2, 3), dim3(5, 3, 2)}, places, out.data()));
    const auto values = out.values();
    EXPECT_EQ(values[0].x, 0);
    EXPECT_EQ(values[5 * 30 + 29].x, 2);
    EXPECT_EQ(values[5 * 30 + 29].y, 4);
    EXPECT_EQ(values[5 * 30 + 29].z, 2);
    EXPECT_EQ(values[5 * 30 + 29].w, 1);
  }
}

template <int kThreads>
__global__ void block_sum(const float* in, float* out, bool with_barrier) {
  __shared__ float partial[kThreads];
  const unsigned i = threadIdx.x;
  partial[i] = in[blockIdx.x * kThreads + i];
  for (unsigned half = kThreads / 2; half > 0; half /= 2) {
    if (with_barrier) __syncthreads();
    if (i < half) partial[i] += partial[i + half];
  }
  if (i == 0) out[blockIdx.x] = partial[0];
}

std::vector<std::vector<float>> sums_by_schedule(bool with_barrier) {
  std::vector<float> in(4 * 128);
  std::iota(in.begin(), in.end(), 1.0f);
  std::vector<std::vector<float>> all;
  for (const Schedule& schedule : some_schedules()) {
    const ScopedSchedule scope(schedule);
    DeviceArray<float> input(in), output(4);
    EXPECT_CUDA(
        launch({dim3(4), dim3(128)}, block_sum<128>, input.data(), output.data(), with_barrier));
    all.push_back(output.values());
  }
  return all;
}

TEST(Simt, BarriersMakeAKernelIndependentOfTheSchedule) {
  const auto all = sums_by_schedule(true);
  EXPECT_EQ(all[0][0], 128 * 129 / 2);
  EXPECT_EQ(std::set<std::vector<float>>(all.begin(), all.end()).size(), 1u);
}

TEST(Simt, SchedulesRevealAMissingBarrier) {
  const auto all = sums_by_schedule(false);
  EXPECT_GT(std::set<std::vector<float>>(all.begin(), all.end()).size(), 1u);
}

__global__ void warp_operations(int* out) {
  const int lane = static_cast<int>(threadIdx.x % 32);
  int* mine = out + threadIdx.x * 14;
  mine[0] = __shfl_sync(kAll, lane * 10, 7);
  mine[1] = __shfl_up_sync(kAll, lane, 3);
  mine[2] = __shfl_down_sync(kAll, lane, 3);
  mine[3] = __shfl_xor_sync(kAll, lane, 5);
  mine[4] = __shfl_sync(kAll, lane, 1, 8);
  mine[5] = __shfl_down_sync(kAll, lane, 3, 8);
  mine[6] = static_cast<int>(__ballot_sync(kAll, lane % 3 == 0));
  mine[7] = __any_sync(kAll, lane == 31);
  mine[8] = __all_sync(kAll, lane < 31);
  mine[9] = __reduce_add_sync(kAll, lane - 16);
  mine[10] = __reduce_min_sync(kAll, lane - 16);
  mine[11] = __reduce_max_sync(kAll, lane - 16);
  mine[12] = static_cast<int>(__reduce_max_sync(kAll, static_cast<unsigned>(lane - 16)));
  // The two halves of a warp, each by itself.
  const unsigned half = lane < 16 ? 0x0000FFFFu : 0xFFFF0000u;
  mine[13] = lane < 16 ? __reduce_add_sync(half, 1) : __reduce_add_sync(half, 100);
}

TEST(Simt, WarpOperationsFollowTheProgrammingGuide) {
  for (const Schedule& schedule : some_schedules()) {
    const ScopedSchedule scope(schedule);
    DeviceArray<int> out(64 * 14);
    ASSERT_CUDA(launch({dim3(1), dim3(64)}, warp_operations, out.data()));
    const auto values = out.values();
    for (int thread = 0; thread < 64; ++thread) {
      const int lane = thread % 32;
      const int* mine = values.data() + thread * 14;
      EXPECT_EQ(mine[0], 70);
      EXPECT_EQ(mine[1], lane < 3 ? lane : lane - 3);
      EXPECT_EQ(mine[2], lane > 28 ? lane : lane + 3);
      EXPECT_EQ(mine[3], lane ^ 5);
      EXPECT_EQ(mine[4], lane / 8 * 8 + 1);
      EXPECT_EQ(mine[5], lane % 8 > 4 ? lane : lane + 3);
      EXPECT_EQ(static_cast<unsigned>(mine[6]), 0x49249249u);
      EXPECT_EQ(mine[7], 1);
      EXPECT_EQ(mine[8], 0);
      EXPECT_EQ(mine[9], -16);
      EXPECT_EQ(mine[10], -16);
      EXPECT_EQ(mine[11], 15);
      EXPECT_EQ(mine[12], -1);
      EXPECT_EQ(mine[13], lane < 16 ? 16 : 1600);
    }
  }
}

__global__ void block_votes(int* out) {
  const int count = __syncthreads_count(threadIdx.x < 5);
  const int all = __syncthreads_and(1);
  const int any = __syncthreads_or(threadIdx.x == 99);
  if (threadIdx.x == 42) {
    out[0] = count;
    out[1] = all;
    out[2] = any;
  }
}

TEST(Simt, BarriersCountAndVote) {
  DeviceArray<int> out(3);
  ASSERT_CUDA(launch({dim3(1), dim3(100)}, block_votes, out.data()));
  EXPECT_EQ(out.values(), (std::vector<int>{5, 1, 1}));
}

__global__ void some_leave_before_the_barrier() {
  if (threadIdx.x >= 40) return;
  __syncthreads();
}
__global__ void half_a_warp_shuffles(int* out) {
  if (threadIdx.x < 16) *out = __shfl_xor_sync(kAll, 1, 16);
}
__global__ void barrier_against_shuffle() {
  if (threadIdx.x < 32) {
    __syncthreads();
  } else {
    __shfl_sync(threadIdx.x < 48 ? kAll : 0xFFFF0000u, 1, 31);
  }
}
__global__ void caller_not_in_mask() { __syncwarp(1u << ((threadIdx.x + 1) % 32)); }
__global__ void shuffle_from_nowhere() {
  if (threadIdx.x < 8) __shfl_sync(0xFFu, 1, 9);
}

template <class... P>
void run_now(void (*kernel)(P...), unsigned threads, P... arguments) {
  (void)launch({dim3(1), dim3(threads)}, kernel, arguments...);
  cudaDeviceSynchronize();
}

TEST(SimtDeathTest, AHangIsExplained) {
  EXPECT_DEATH(run_now(some_leave_before_the_barrier, 64),
               "wait for each other for ever.*some_leave_before_the_barrier(.|\n)*"
               "thread \\(0, 0, 0\\) waits at __syncthreads(.|\n)*thread \\(40, 0, 0\\) has ended");
  DeviceArray<int> out(1);
  EXPECT_DEATH(run_now(half_a_warp_shuffles, 32, out.data()),
               "__shfl_xor_sync, mask 0xffffffff; missing lanes: 16 17 18");
  EXPECT_DEATH(run_now(barrier_against_shuffle, 64),
               "__shfl_sync, mask 0xffffffff; missing lanes: 16");
  EXPECT_DEATH(run_now(caller_not_in_mask, 32), "leaves out its caller");
  EXPECT_DEATH(run_now(shuffle_from_nowhere, 32), "reads? from lane 9|shuffles from lane 9");
}

__global__ void last_block(float* parts, unsigned* tickets, float* out) {
  parts[blockIdx.x] = static_cast<float>(blockIdx.x);
  __threadfence();
  if (atomicInc(tickets, gridDim.x - 1) == gridDim.x - 1) {
    float sum = 0;
    for (unsigned i = 0; i < gridDim.x; ++i) sum += parts[i];
    *out = sum;
  }
}

TEST(Simt, TheLastBlockSeesWhatOthersWrote) {
  for (const Schedule& schedule : some_schedules()) {
    const ScopedSchedule scope(schedule);
    DeviceArray<float> parts(10), out(1);
    DeviceArray<unsigned> tickets(std::vector<unsigned>{0});
    ASSERT_CUDA(launch({dim3(10), dim3(1)}, last_block, parts.data(), tickets.data(), out.data()));
    EXPECT_EQ(out.values()[0], 45);
    EXPECT_EQ(tickets.values()[0], 0u);
  }
}

__global__ void spin(int* flag) {
  if (threadIdx.x == 0) {
    while (atomicAdd(flag, 0) == 0) __nanosleep(10);
  } else if (threadIdx.x == 33) {
    atomicExch(flag, 1);
  }
}

TEST(Simt, AThreadThatSleepsLetsOthersRun) {
  DeviceArray<int> flag(std::vector<int>{0});
  ASSERT_CUDA(launch({dim3(1), dim3(64)}, spin, flag.data()));
  EXPECT_EQ(flag.values()[0], 1);
}

__global__ void staged(const float4* in, float4* out, int groups, bool wait) {
  auto* stage = dynamic_shared<float4>();
  for (int g = 0; g < groups; ++g) {
    copy_async_16(stage + g, in + g);
    copy_async_commit();
  }
  copy_async_16_or_zero(stage + groups, nullptr, false);
  copy_async_commit();
  if (wait) {
    copy_async_wait<2>();
    out[0] = stage[groups - 2];  // landed
    out[1] = stage[groups - 1];  // still under way
    copy_async_wait<0>();
  }
  out[2] = stage[groups - 1];
  out[3] = stage[groups];
}

TEST(Simt, AsynchronousCopiesLandOnlyAtAWait) {
  std::vector<float4> in;
  for (int i = 0; i < 4; ++i) in.push_back(make_float4(1.0f + static_cast<float>(i), 0, 0, 0));
  DeviceArray<float4> input(in), output(4);
  ASSERT_CUDA(launch({dim3(1), dim3(1), 80}, staged, input.data(), output.data(), 4, true));
  auto values = output.values();
  EXPECT_EQ(values[0].x, 3);
  EXPECT_TRUE(std::isnan(values[1].x));
  EXPECT_EQ(values[2].x, 4);
  EXPECT_EQ(values[3].x, 0);
  ASSERT_CUDA(launch({dim3(1), dim3(1), 80}, staged, input.data(), output.data(), 4, false));
  values = output.values();
  EXPECT_TRUE(std::isnan(values[2].x));
  EXPECT_TRUE(std::isnan(values[3].x));
}

__global__ void misaligned(const float* in) { copy_async_16(dynamic_shared<char>(), in + 1); }
__global__ void past_shared(int step) { dynamic_shared<float>()[32 + step] = 1; }
__global__ void reads_unset(float* out) { *out = dynamic_shared<float>()[3]; }
__noinline__ int deep(int depth, int* seen) {
  volatile int room[1024];
  room[depth % 1024] = depth;
  return depth == 0 ? *seen : deep(depth - 1, seen) + room[depth % 1024];
}
__global__ void overflows(int* out) { *out = deep(1000, out); }

TEST(SimtDeathTest, MemoryFaultsNameTheKernel) {
  DeviceArray<float> array(8);
  EXPECT_DEATH((void)launch({dim3(1), dim3(1), 128}, misaligned, array.data());
               cudaDeviceSynchronize();
               , "global address of copy_async_16.*not a multiple of 16.*misaligned");
  EXPECT_DEATH((void)launch({dim3(1), dim3(1), 128}, past_shared, 0); cudaDeviceSynchronize();
               , "past the end of dynamic shared memory: kernel .*past_shared");
  EXPECT_DEATH((void)launch({dim3(1), dim3(1)}, past_shared, 0); cudaDeviceSynchronize();
               , "was not asked for at launch");
  DeviceArray<int> number(1);
  EXPECT_DEATH((void)launch({dim3(1), dim3(1)}, overflows, number.data()); cudaDeviceSynchronize();
               , "stack overflows: kernel .*overflows");
}

TEST(Simt, SharedMemoryStartsAsNaN) {
  DeviceArray<float> out(1);
  ASSERT_CUDA(launch({dim3(1), dim3(1), 128}, reads_unset, out.data()));
  EXPECT_TRUE(std::isnan(out.values()[0]));
}

struct Large {
  char bytes[5000];
};
__global__ void takes_large(Large) {}
__global__ void does_nothing() {}

TEST(Simt, LaunchesBeyondTheLimitsAreRefused) {
  EXPECT_EQ(launch({dim3(1), dim3(1025)}, does_nothing), cudaErrorInvalidConfiguration);
  EXPECT_EQ(launch({dim3(1), dim3(1, 1, 65)}, does_nothing), cudaErrorInvalidConfiguration);
  EXPECT_EQ(launch({dim3(0), dim3(1)}, does_nothing), cudaErrorInvalidConfiguration);
  EXPECT_EQ(launch({dim3(1, 65536), dim3(1)}, does_nothing), cudaErrorInvalidConfiguration);
  EXPECT_EQ(launch({dim3(1), dim3(1)}, takes_large, Large{}), cudaErrorInvalidValue);
  EXPECT_EQ(launch({dim3(1), dim3(1), 49 << 10}, does_nothing), cudaErrorInvalidValue);
  EXPECT_CUDA(
      cudaFuncSetAttribute(does_nothing, cudaFuncAttributeMaxDynamicSharedMemorySize, 227 << 10));
  EXPECT_CUDA(launch({dim3(1), dim3(1), 227 << 10}, does_nothing));
  EXPECT_EQ(
      cudaFuncSetAttribute(does_nothing, cudaFuncAttributeMaxDynamicSharedMemorySize, 228 << 10),
      cudaErrorInvalidValue);
  setenv("RETINUE_EMULATOR_CAPABILITY", "8.9", 1);
  EXPECT_CUDA(
      cudaFuncSetAttribute(does_nothing, cudaFuncAttributeMaxDynamicSharedMemorySize, 99 << 10));
  EXPECT_EQ(
      cudaFuncSetAttribute(does_nothing, cudaFuncAttributeMaxDynamicSharedMemorySize, 100 << 10),
      cudaErrorInvalidValue);
  unsetenv("RETINUE_EMULATOR_CAPABILITY");
  EXPECT_CUDA(cudaDeviceSynchronize());
  cudaGetLastError();
}

}  // namespace
}  // namespace cuda_emulator::testing
