#include "layers/kernels/cuda/ptx.cuh"
#include "tests/support/cuda_emulator/tests/launch.h"

#include <gtest/gtest.h>

#include <cstdint>

namespace cuda_emulator::testing {
namespace {

using retinue::cuda::copy_async_16;
using retinue::cuda::copy_async_commit;
using retinue::cuda::copy_async_wait;
using retinue::cuda::dynamic_shared;
using retinue::cuda::load_matrix_x4;

template <class... P>
void run_now(const LaunchShape& shape, void (*kernel)(P...), P... arguments) {
  EXPECT_CUDA(launch(shape, kernel, arguments...));
  EXPECT_CUDA(cudaDeviceSynchronize());
}

struct Races : ::testing::Test {
  void SetUp() override { GTEST_FLAG_SET(death_test_style, "threadsafe"); }

  DeviceArray<int> in{std::vector<int>(4096, 1)}, out{std::vector<int>(4096, 0)};
};
using RacesDeathTest = Races;

/// What is said of two accesses, whichever came first on the emulator.
constexpr const char* kInShared =
    "(reads|writes) byte .* of (static|dynamic) shared memory, which thread .* (read|wrote), and";

/// The second warp reads what the first one wrote.
__global__ void static_neighbours(int* out, bool with_barrier) {
  __shared__ int values[64];
  values[threadIdx.x] = 1;
  if (with_barrier) __syncthreads();
  if (threadIdx.x >= 32) out[blockIdx.x * 64 + threadIdx.x] = values[threadIdx.x - 32];
}
__global__ void dynamic_neighbours(int* out, bool with_barrier) {
  auto* values = dynamic_shared<int>();
  values[threadIdx.x] = 1;
  if (with_barrier) __syncthreads();
  if (threadIdx.x >= 32) out[blockIdx.x * 64 + threadIdx.x] = values[threadIdx.x - 32];
}

TEST_F(RacesDeathTest, AReadOfSharedMemoryWithoutABarrierIsFound) {
  EXPECT_DEATH(run_now({dim3(1), dim3(64)}, static_neighbours, out.data(), false), kInShared);
  EXPECT_DEATH(
      run_now({dim3(3), dim3(64), 256}, dynamic_neighbours, out.data(), false),
      "a race: thread \\(32, 0, 0\\) of block \\(0, 0, 0\\) reads byte 0 of dynamic shared "
      "memory, which thread \\(0, 0, 0\\) of block \\(0, 0, 0\\) wrote, and nothing orders "
      "the two \\(addr2line -Cifpe .*races_test 0x[0-9a-f]+ 0x[0-9a-f]+\\). "
      "kernel .*dynamic_neighbours.*, block \\(0, 0, 0\\), thread \\(32, 0, 0\\)");
}

TEST_F(Races, ABarrierOrdersABlock) {
  run_now({dim3(3), dim3(64)}, static_neighbours, out.data(), true);
  run_now({dim3(3), dim3(64), 256}, dynamic_neighbours, out.data(), true);
}

/// All threads read a value that one of them then replaces.
__global__ void all_read(int* out, unsigned writer, bool with_barrier) {
  __shared__ int value;
  if (threadIdx.x == 0) value = 1;
  __syncthreads();
  out[blockIdx.x * 128 + threadIdx.x] = value;
  if (with_barrier) __syncthreads();
  if (threadIdx.x == writer) value = 2;
}

TEST_F(RacesDeathTest, AWriteOfWhatAnyThreadMayStillReadIsFound) {
  for (const unsigned writer : {0U, 1U, 31U, 32U, 127U}) {
    EXPECT_DEATH(run_now({dim3(1), dim3(128)}, all_read, out.data(), writer, false), kInShared);
    run_now({dim3(2), dim3(128)}, all_read, out.data(), writer, true);
  }
}

/// A block reads what the block before it wrote, or what an earlier launch did.
__global__ void block_before(const int* in, int* out) { out[blockIdx.x + 1] = in[blockIdx.x] + 1; }
__global__ void all_blocks_write(int* out) { *out = 7; }

TEST_F(RacesDeathTest, BlocksOfALaunchHaveNoOrder) {
  EXPECT_DEATH(
      run_now({dim3(4), dim3(1)}, block_before, static_cast<const int*>(out.data()), out.data()),
      "a race: thread \\(0, 0, 0\\) of block \\(1, 0, 0\\) reads byte 4 of an allocation of "
      "16384 bytes of device memory, which thread \\(0, 0, 0\\) of block \\(0, 0, 0\\) wrote");
  EXPECT_DEATH(run_now({dim3(2), dim3(1)}, all_blocks_write, out.data()),
               "of block \\(1, 0, 0\\) writes byte 0 of .*block \\(0, 0, 0\\) wrote");
}

TEST_F(Races, LaunchesAreOrdered) {
  run_now({dim3(4), dim3(1)}, block_before, static_cast<const int*>(in.data()), out.data());
  run_now({dim3(4), dim3(1)}, block_before, static_cast<const int*>(out.data()), in.data());
  run_now({dim3(1), dim3(1)}, all_blocks_write, out.data());
}

enum class Between { kNothing, kShuffle, kWarp, kQuarters };

/// Each lane reads what its neighbour among four wrote.
__global__ void lanes(int* out, Between between) {
  auto* values = dynamic_shared<int>();
  const unsigned lane = threadIdx.x % 32, four = lane / 4 * 4;
  values[threadIdx.x] = 0;
  __syncthreads();
  values[threadIdx.x] = static_cast<int>(lane);
  if (between == Between::kShuffle) __shfl_xor_sync(0xFFFFFFFFU, 1, 1);
  if (between == Between::kWarp) __syncwarp();
  if (between == Between::kQuarters) __syncwarp(0xFU << four);
  out[blockIdx.x * 64 + threadIdx.x] = values[threadIdx.x / 32 * 32 + four + (lane + 1) % 4];
}
__global__ void lanes_beyond_their_mask(int* out) {
  auto* values = dynamic_shared<int>();
  values[threadIdx.x] = 0;
  __syncwarp();
  values[threadIdx.x] = 1;
  __syncwarp(threadIdx.x < 16 ? 0x0000FFFFU : 0xFFFF0000U);
  out[threadIdx.x] = values[31 - threadIdx.x];
}

TEST_F(RacesDeathTest, LanesOfAWarpAreOrderedBySyncwarpAlone) {
  for (const Between between : {Between::kNothing, Between::kShuffle}) {
    EXPECT_DEATH(run_now({dim3(1), dim3(64), 256}, lanes, out.data(), between), kInShared);
  }
  for (const Between between : {Between::kWarp, Between::kQuarters})
    run_now({dim3(2), dim3(64), 256}, lanes, out.data(), between);
  EXPECT_DEATH(run_now({dim3(1), dim3(32), 128}, lanes_beyond_their_mask, out.data()), kInShared);
}

__global__ void lanes_write_one_place(int* out) { out[threadIdx.x / 2] = 5; }
__global__ void bytes_side_by_side(std::uint8_t* out) { out[threadIdx.x] = 5; }

TEST_F(RacesDeathTest, TwoLanesThatWriteOnePlaceAreFoundThoughTheValueIsTheSame) {
  EXPECT_DEATH(run_now({dim3(1), dim3(32)}, lanes_write_one_place, out.data()),
               "thread \\(1, 0, 0\\) of block .* writes byte 0 of .*thread \\(0, 0, 0\\) of block "
               "\\(0, 0, 0\\) wrote");
  run_now({dim3(1), dim3(32)}, bytes_side_by_side, reinterpret_cast<std::uint8_t*>(out.data()));
}

struct Large {
  int at[12];
};
/// Lane 1 copies a struct whose last element lane 0 wrote.
__global__ void struct_copy(int* out, bool with_barrier) {
  auto* both = reinterpret_cast<Large*>(out);
  if (threadIdx.x == 0) both[0].at[11] = 1;
  if (with_barrier) __syncthreads();
  if (threadIdx.x == 1) both[1] = both[0];
}

TEST_F(RacesDeathTest, CopiesOfStructsAreSeen) {
  EXPECT_DEATH(run_now({dim3(1), dim3(2)}, struct_copy, out.data(), false),
               "reads byte 44 of an allocation");
  run_now({dim3(1), dim3(2)}, struct_copy, out.data(), true);
}

/// Each thread copies 16 bytes; the second warp reads what the first one copied.
__global__ void staged(const int* in, int* out, bool waits, bool with_barrier) {
  auto* stage = dynamic_shared<int>();
  copy_async_16(stage + threadIdx.x * 4, in + threadIdx.x * 4);
  copy_async_commit();
  if (waits) copy_async_wait<0>();
  if (with_barrier) __syncthreads();
  if (threadIdx.x >= 32) out[threadIdx.x] = stage[(threadIdx.x - 32) * 4];
}
/// A thread reads what it has asked to be replaced.
__global__ void read_while_replaced(const int* in, int* out) {
  auto* stage = dynamic_shared<int>();
  for (int i = 0; i < 4; ++i) stage[i] = 1;
  out[0] = stage[0];
  copy_async_16(stage, in);
  out[1] = stage[0];
}
/// The stage is filled again while it may still be read.
__global__ void refilled(const int* in, int* out, bool with_barrier) {
  auto* stage = dynamic_shared<int>();
  for (int round = 0; round < 2; ++round) {
    copy_async_16(stage + threadIdx.x * 4, in + threadIdx.x * 4);
    copy_async_commit();
    copy_async_wait<0>();
    __syncthreads();
    out[threadIdx.x] = stage[(threadIdx.x + 1) % 64 * 4];
    if (with_barrier) __syncthreads();
  }
}

TEST_F(RacesDeathTest, ACopyIsThereForOthersAfterAWaitAndABarrier) {
  const LaunchShape shape{dim3(1), dim3(64), 1024};
  const int* const from = in.data();
  EXPECT_DEATH(run_now(shape, staged, from, out.data(), false, true),
               "reads byte .* of dynamic shared memory, which thread .* has a copy under way to");
  EXPECT_DEATH(run_now(shape, staged, from, out.data(), true, false), kInShared);
  run_now(shape, staged, from, out.data(), true, true);
  EXPECT_DEATH(run_now({dim3(1), dim3(1), 16}, read_while_replaced, from, out.data()),
               "reads byte 0 of dynamic shared memory, which thread .* has a copy under way to");
  EXPECT_DEATH(run_now(shape, refilled, from, out.data(), false),
               "starts a copy to byte .* of dynamic shared memory, which thread .* read");
  run_now(shape, refilled, from, out.data(), true);
}

__global__ void counted(int* out, bool with_barrier) {
  __shared__ int count;
  if (threadIdx.x == 0) count = 0;
  __syncthreads();
  atomicAdd(&count, 1);
  if (with_barrier) __syncthreads();
  if (threadIdx.x == 0) out[blockIdx.x] = count;
  atomicAdd(&out[100], 1);
}

TEST_F(RacesDeathTest, AtomicsExcludeEachOtherAndOrderNothing) {
  EXPECT_DEATH(run_now({dim3(1), dim3(64)}, counted, out.data(), false),
               "changes atomically byte .* of static shared memory, which thread .* read|"
               "reads byte .* of static shared memory, which thread .* changed atomically");
  run_now({dim3(3), dim3(64)}, counted, out.data(), true);
  EXPECT_EQ(out.values()[1], 64);
  EXPECT_EQ(out.values()[100], 3 * 64);
}

__global__ void load_rows(std::uint32_t* out, bool with_barrier) {
  auto* rows = dynamic_shared<uint4>();
  rows[threadIdx.x] = {};
  __syncwarp();
  rows[threadIdx.x] = {threadIdx.x, 0, 0, 0};
  if (with_barrier) __syncwarp();
  std::uint32_t fragment[4];
  load_matrix_x4(fragment, rows + (threadIdx.x + 8) % 32);
  out[threadIdx.x] = fragment[0];
}

TEST_F(RacesDeathTest, LoadsOfMatricesReadTheirRows) {
  auto* const to = reinterpret_cast<std::uint32_t*>(out.data());
  EXPECT_DEATH(run_now({dim3(1), dim3(32), 512}, load_rows, to, false), kInShared);
  run_now({dim3(1), dim3(32), 512}, load_rows, to, true);
}

__global__ void unwritten(int* out, unsigned first) {
  __shared__ int values[32];
  if (threadIdx.x >= first) values[threadIdx.x] = 1;
  __syncthreads();
  out[blockIdx.x * 32 + threadIdx.x] = values[threadIdx.x];
}

TEST_F(RacesDeathTest, SharedMemoryThatItsBlockHasNotWrittenIsFound) {
  run_now({dim3(2), dim3(32)}, unwritten, out.data(), 0U);
  EXPECT_DEATH(run_now({dim3(1), dim3(32)}, unwritten, out.data(), 1U),
               "thread \\(0, 0, 0\\) of block \\(0, 0, 0\\) reads byte .* of static shared memory, "
               "which no thread of the block has written yet");
}

}  // namespace
}  // namespace cuda_emulator::testing
