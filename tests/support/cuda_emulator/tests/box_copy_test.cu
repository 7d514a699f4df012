#include "layers/kernels/cuda/ptx_hopper.cuh"
#include "tests/support/cuda_emulator/tests/boxes.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>
#include <cstdlib>

namespace cuda_emulator::testing {
namespace {

using namespace retinue::cuda;

constexpr int kColumns = 136, kRows = 21;  // of the tensor

struct BoxCopyTest : ::testing::Test {
  void SetUp() override {
    GTEST_FLAG_SET(death_test_style, "threadsafe");
    std::vector<std::uint16_t> values(kColumns * kRows);
    for (std::size_t i = 0; i < values.size(); ++i) values[i] = static_cast<std::uint16_t>(i + 1);
    EXPECT_CUDA(cudaMemcpy(tensor.data(), values.data(), tensor.bytes(), cudaMemcpyHostToDevice));
  }
  [[nodiscard]] Matrix matrix(CUtensorMapSwizzle swizzle, cuuint32_t columns,
                              cuuint32_t rows = 16) const {
    return {tensor.data(), kColumns, kRows, kColumns * 2, columns, rows, swizzle};
  }

  DeviceArray<std::uint16_t> tensor{kColumns * kRows}, out{64 * 32};
};
using BoxCopyDeathTest = BoxCopyTest;

/// Brings one box and writes what lies in shared memory.
__global__ void bring(const __grid_constant__ CUtensorMap map, int column, int row, int elements,
                      std::uint16_t* out, bool waits) {
  __shared__ Mbarrier there;
  auto* const box = shared_pattern<std::uint16_t>();
  if (threadIdx.x == 0) {
    mbarrier_init(&there, 1);
    mbarrier_init_fence();
  }
  __syncthreads();
  if (threadIdx.x == 0) {
    mbarrier_arrive_expect(&there, elements * 2);
    copy_box_2d(box, &map, column, row, &there);
  }
  if (!waits) __syncthreads();
  if (waits) mbarrier_wait(&there, 0);
  for (int i = static_cast<int>(threadIdx.x); i < elements; i += 32) out[i] = box[i];
  if (!waits) mbarrier_wait(&there, 0);
}

/// Where element `column` of a row lies in shared memory, as the CUDA guide draws the patterns: of each
/// 8 rows of 128 bytes the pieces of 16 bytes change places.
int place_in_box(CUtensorMapSwizzle swizzle, int row, int column, int columns) {
  const int piece = column / 8;
  const int moved = swizzle == CU_TENSOR_MAP_SWIZZLE_128B  ? piece ^ row % 8
                    : swizzle == CU_TENSOR_MAP_SWIZZLE_64B ? piece ^ row / 2 % 4
                    : swizzle == CU_TENSOR_MAP_SWIZZLE_32B ? piece ^ row / 4 % 2
                                                           : piece;
  return row * columns + moved * 8 + column % 8;
}

TEST_F(BoxCopyTest, EachSwizzlePutsPiecesWhereTheGuideSaysAndZerosBeyondTheTensor) {
  for (const Schedule& schedule : some_schedules()) {
    const ScopedSchedule scoped(schedule);
    for (const auto& [swizzle, columns] : {std::pair{CU_TENSOR_MAP_SWIZZLE_NONE, 24},
                                           {CU_TENSOR_MAP_SWIZZLE_32B, 16},
                                           {CU_TENSOR_MAP_SWIZZLE_64B, 32},
                                           {CU_TENSOR_MAP_SWIZZLE_128B, 64}}) {
      const CUtensorMap map = map_of(matrix(swizzle, static_cast<cuuint32_t>(columns)));
      for (const auto& [column, row] :
           {std::pair{0, 0}, {8, 3}, {3, 1}, {120, 9}, {-8, -3}, {200, 0}, {0, 40}, {-100, 0}}) {
        SCOPED_TRACE(::testing::Message() << swizzle << ": " << column << ", " << row);
        run_now({dim3(1), dim3(32), kToPattern + 4096}, bring, map, column, row, columns * 16,
                out.data(), true);
        const std::vector<std::uint16_t> got = out.values();
        for (int r = 0; r < 16; ++r)
          for (int c = 0; c < columns; ++c) {
            const bool inside =
                row + r >= 0 && row + r < kRows && column + c >= 0 && column + c < kColumns;
            ASSERT_EQ(got[static_cast<std::size_t>(place_in_box(swizzle, r, c, columns))],
                      inside ? (row + r) * kColumns + column + c + 1 : 0)
                << r << ", " << c;
          }
      }
    }
  }
}

TEST_F(BoxCopyTest, ReadBeforeTheWaitItIsNaN) {
  for (const Order order : {Order::kAscending, Order::kDescending}) {
    const ScopedSchedule scoped({order, 0});
    run_now({dim3(1), dim3(32), kToPattern + 4096}, bring,
            map_of(matrix(CU_TENSOR_MAP_SWIZZLE_128B, 64)), 0, 0, 1024, out.data(), false);
    const std::vector<std::uint16_t> got = out.values();
    for (std::size_t i = 0; i < 1024; ++i) ASSERT_EQ(got[i], 0xFFFF);
  }
}

/// Starts two copies and looks at the first when the second has landed.
__global__ void second_first(const __grid_constant__ CUtensorMap map, std::uint16_t* out) {
  __shared__ Mbarrier there[2];
  auto* const box = shared_pattern<std::uint16_t>();
  if (threadIdx.x == 0) {
    for (Mbarrier& barrier : there) mbarrier_init(&barrier, 1);
    mbarrier_init_fence();
    for (int i = 0; i < 2; ++i) {
      mbarrier_arrive_expect(&there[i], 2048);
      copy_box_2d(box + i * 1024, &map, 0, i, &there[i]);
    }
    mbarrier_wait(&there[1], 0);
    *out = *box;
    mbarrier_wait(&there[0], 0);
  }
}

TEST_F(BoxCopyTest, CopiesLandInTheOrderOfTheSchedule) {
  const CUtensorMap map = map_of(matrix(CU_TENSOR_MAP_SWIZZLE_128B, 64));
  const auto first = [&](Schedule schedule) {
    const ScopedSchedule scoped(schedule);
    run_now({dim3(1), dim3(32), kToPattern + 4096}, second_first, map, out.data());
    return out.values()[0];
  };
  EXPECT_EQ(first({Order::kAscending, 0}), 1);
  EXPECT_EQ(first({Order::kDescending, 0}), 0xFFFF);
  int early = 0;
  for (std::uint64_t seed = 1; seed <= 32; ++seed) early += first({Order::kRandom, seed}) == 1;
  EXPECT_GT(early, 0);
  EXPECT_LT(early, 32);
}

TEST_F(BoxCopyTest, TheDriverRefusesWhatTheHeaderSays) {
  const Matrix good = matrix(CU_TENSOR_MAP_SWIZZLE_128B, 64);
  alignas(128) CUtensorMap maps[2];
  EXPECT_EQ(encode(good, maps), CUDA_SUCCESS);
  const auto refused = [&](auto change) {
    Matrix m = good;
    change(m);
    return encode(m, maps) == CUDA_ERROR_INVALID_VALUE;
  };
  EXPECT_TRUE(refused([](Matrix& m) { m.address = static_cast<char*>(m.address) + 8; }));
  EXPECT_TRUE(refused([](Matrix& m) { m.row_bytes += 8; }));
  EXPECT_TRUE(refused([](Matrix& m) { m.row_bytes = cuuint64_t{1} << 40; }));
  EXPECT_TRUE(refused([](Matrix& m) { m.rows = 0; }));
  EXPECT_TRUE(refused([](Matrix& m) { m.columns = (cuuint64_t{1} << 32) + 1; }));
  EXPECT_TRUE(refused([](Matrix& m) { m.box_rows = 257; }));
  EXPECT_TRUE(refused([](Matrix& m) { m.box_rows = 0; }));
  EXPECT_TRUE(refused([](Matrix& m) { m.box_columns = 72; }));  // wider than the swizzle
  EXPECT_TRUE(refused([](Matrix& m) { m.box_columns = 60; }));  // 120 bytes
  EXPECT_TRUE(refused([](Matrix& m) { m.swizzle = CU_TENSOR_MAP_SWIZZLE_64B; }));
  EXPECT_FALSE(refused([](Matrix& m) { m.swizzle = CU_TENSOR_MAP_SWIZZLE_NONE; }));
  auto* const between = reinterpret_cast<CUtensorMap*>(reinterpret_cast<char*>(maps) + 32);
  EXPECT_EQ(encode(good, between), CUDA_ERROR_INVALID_VALUE);
  const cuuint64_t dimensions[6] = {64, 4, 4, 4, 4, 4}, strides[5] = {128, 512, 2048, 8192, 32768};
  const cuuint32_t box[6] = {64, 2, 2, 2, 2, 2}, every[6] = {1, 1, 1, 1, 1, 1};
  const auto of_rank = [&](cuuint32_t rank, const cuuint32_t* steps) {
    return encoder()(maps, CU_TENSOR_MAP_DATA_TYPE_BFLOAT16, rank, tensor.data(), dimensions,
                     strides, box, steps, CU_TENSOR_MAP_INTERLEAVE_NONE, CU_TENSOR_MAP_SWIZZLE_128B,
                     CU_TENSOR_MAP_L2_PROMOTION_NONE, CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE);
  };
  for (const cuuint32_t rank : {1U, 2U, 3U, 4U, 5U}) EXPECT_EQ(of_rank(rank, every), CUDA_SUCCESS);
  for (const cuuint32_t rank : {0U, 6U}) EXPECT_EQ(of_rank(rank, every), CUDA_ERROR_INVALID_VALUE);
  const cuuint32_t steps[] = {1, 9};
  EXPECT_EQ(of_rank(2, steps), CUDA_ERROR_INVALID_VALUE);
  setenv("RETINUE_EMULATOR_CAPABILITY", "8.0", 1);
  EXPECT_EQ(encode(good, maps), CUDA_ERROR_NOT_SUPPORTED);
  unsetenv("RETINUE_EMULATOR_CAPABILITY");
}

TEST_F(BoxCopyTest, OnlyThatFunctionOfTheDriverIsFound) {
  void* function = &function;
  cudaDriverEntryPointQueryResult found{};
  EXPECT_CUDA(cudaGetDriverEntryPointByVersion("cuInit", &function, 12000, 0, &found));
  EXPECT_EQ(found, cudaDriverEntryPointSymbolNotFound);
  EXPECT_EQ(function, nullptr);
  EXPECT_CUDA(
      cudaGetDriverEntryPointByVersion("cuTensorMapEncodeTiled", &function, 11080, 0, &found));
  EXPECT_EQ(found, cudaDriverEntryPointVersionNotSufficent);
}

enum class Mistake {
  kNone,
  kMisaligned,
  kOffThePattern,
  kNoInitFence,
  kNoProxyFence,
  kOverlap,
  kWrittenWhileUnderWay,
  kNoWait,
  kMoreBytes,
  kFewerBytes,
  kPastTheEnd,
  kNoMap,
};

/// Writes shared memory as threads do, brings a box over it and waits, with one mistake.
__global__ void with_mistake(const __grid_constant__ CUtensorMap map, std::uint16_t* out,
                             Mistake mistake) {
  __shared__ Mbarrier there;
  auto* box = shared_pattern<std::uint16_t>();
  box[3] = 7;
  if (mistake == Mistake::kMisaligned) box += 32;
  if (mistake == Mistake::kOffThePattern) box += 64;
  if (mistake == Mistake::kPastTheEnd) box += 2048;
  mbarrier_init(&there, 1);
  if (mistake != Mistake::kNoInitFence && mistake != Mistake::kNoProxyFence) fence_proxy_async();
  if (mistake == Mistake::kNoProxyFence) mbarrier_init_fence();
  const bool twice = mistake == Mistake::kOverlap;
  mbarrier_arrive_expect(&there, mistake == Mistake::kFewerBytes  ? 2032
                                 : mistake == Mistake::kMoreBytes ? 2064
                                 : twice                          ? 4096
                                                                  : 2048);
  CUtensorMap none{};
  copy_box_2d(box, mistake == Mistake::kNoMap ? &none : &map, 0, 0, &there);
  if (twice) copy_box_2d(box + 512, &map, 0, 0, &there);
  if (mistake == Mistake::kWrittenWhileUnderWay) box[5] = 1;
  if (mistake == Mistake::kNoWait) return;
  mbarrier_wait(&there, 0);
  *out = *box;
}

TEST_F(BoxCopyDeathTest, WhatTheIsaLeavesUndefinedEndsTheProgram) {
  const auto run = [&](Mistake mistake) {
    run_now({dim3(1), dim3(1), kToPattern + 4096}, with_mistake,
            map_of(matrix(CU_TENSOR_MAP_SWIZZLE_128B, 64)), out.data(), mistake);
  };
  run(Mistake::kNone);
  EXPECT_EQ(out.values()[0], 1);
  EXPECT_DEATH(
      run(Mistake::kMisaligned),
      "shared address of copy_box_2d: .* is not a multiple of 1024. kernel .*with_mistake");
  EXPECT_DEATH(run(Mistake::kOffThePattern), "is not a multiple of 1024");
  EXPECT_DEATH(run(Mistake::kNoInitFence), "mbarrier_init without mbarrier_init_fence behind it");
  EXPECT_DEATH(run(Mistake::kNoProxyFence),
               "copy_box_2d: threads wrote to the shared memory without fence_proxy_async");
  EXPECT_DEATH(run(Mistake::kOverlap), "another copy to the same bytes is under way");
  EXPECT_DEATH(run(Mistake::kWrittenWhileUnderWay),
               "threads wrote to the shared memory to which a copy is under way");
  EXPECT_DEATH(run(Mistake::kNoWait), "a block ends while 1 of its copies are under way");
  EXPECT_DEATH(run(Mistake::kMoreBytes), "for ever.*lacks 0 of 1 arrivals and 16 bytes");
  EXPECT_DEATH(run(Mistake::kFewerBytes), "got 16 bytes more than it expects");
  EXPECT_DEATH(run(Mistake::kPastTheEnd), "2048 bytes that are not all dynamic shared memory");
  EXPECT_DEATH(run(Mistake::kNoMap), "a copy by a tensor map that was not made");
}

}  // namespace
}  // namespace cuda_emulator::testing
