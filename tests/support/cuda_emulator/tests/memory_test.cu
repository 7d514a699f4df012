#include "tests/support/cuda_emulator/tests/launch.h"

#include <gtest/gtest.h>

#include <cmath>
#include <numeric>

namespace cuda_emulator::testing {
namespace {

__global__ void put_at(float* out, long index) { out[index] = 1; }

void put_now(float* out, long index) {
  (void)launch({dim3(1), dim3(1)}, put_at, out, index);
  cudaDeviceSynchronize();
}

TEST(Memory, FreshMemoryIsNaN) {
  for (const std::size_t count : {std::size_t{3}, std::size_t{1} << 20, std::size_t{20} << 20}) {
    const DeviceArray<float> array(count);
    for (const float value : array.values()) ASSERT_TRUE(std::isnan(value));
  }
}

TEST(Memory, LargeAllocationsKeepTheirContents) {
  for (const std::size_t count : {std::size_t{1} << 20, std::size_t{20} << 20}) {
    std::vector<float> values(count);
    std::iota(values.begin(), values.end(), 0.0f);
    const DeviceArray<float> array(values);
    EXPECT_EQ(array.values(), values);
  }
}

TEST(Memory, IsCountedAndGivenBack) {
  std::size_t before = 0, during = 0, after = 0, total = 0;
  ASSERT_CUDA(cudaMemGetInfo(&before, &total));
  {
    const DeviceArray<char> array(std::size_t{1} << 20);
    ASSERT_CUDA(cudaMemGetInfo(&during, &total));
  }
  ASSERT_CUDA(cudaMemGetInfo(&after, &total));
  EXPECT_EQ(before - during, std::size_t{1} << 20);
  EXPECT_EQ(before, after);
  void* pointer = nullptr;
  EXPECT_EQ(cudaMalloc(&pointer, total + 1), cudaErrorMemoryAllocation);
  EXPECT_EQ(cudaGetLastError(), cudaErrorMemoryAllocation);
  EXPECT_EQ(cudaGetLastError(), cudaSuccess);
  EXPECT_EQ(cudaFree(&pointer), cudaErrorInvalidValue);
  cudaGetLastError();
}

TEST(Memory, PointersKnowWhereTheyAre) {
  const DeviceArray<float> array(8);
  float* pinned = nullptr;
  ASSERT_CUDA(cudaMallocHost(&pinned, 64));
  cudaPointerAttributes attributes;
  ASSERT_CUDA(cudaPointerGetAttributes(&attributes, array.data() + 3));
  EXPECT_EQ(attributes.type, cudaMemoryTypeDevice);
  ASSERT_CUDA(cudaPointerGetAttributes(&attributes, pinned + 3));
  EXPECT_EQ(attributes.type, cudaMemoryTypeHost);
  ASSERT_CUDA(cudaPointerGetAttributes(&attributes, &attributes));
  EXPECT_EQ(attributes.type, cudaMemoryTypeUnregistered);
  ASSERT_CUDA(cudaFreeHost(pinned));
}

TEST(Memory, CopiesRowsAndFills) {
  const DeviceArray<int> array(std::vector<int>{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11});
  std::vector<int> host(6, -1);
  ASSERT_CUDA(cudaMemcpy2D(host.data(), 3 * sizeof(int), array.data() + 1, 4 * sizeof(int),
                           2 * sizeof(int), 2, cudaMemcpyDeviceToHost));
  EXPECT_EQ(host, (std::vector<int>{1, 2, -1, 5, 6, -1}));
  ASSERT_CUDA(cudaMemset(array.data() + 1, 0, 2 * sizeof(int)));
  EXPECT_EQ(array.values(), (std::vector<int>{0, 0, 0, 3, 4, 5, 6, 7, 8, 9, 10, 11}));
}

TEST(Memory, CopiesThatDoNotFitAreRefused) {
  const DeviceArray<int> array(4);
  std::vector<int> host(8);
  EXPECT_EQ(cudaMemcpy(array.data(), host.data(), 20, cudaMemcpyHostToDevice),
            cudaErrorInvalidValue);
  EXPECT_EQ(cudaMemcpy(array.data(), host.data(), 16, cudaMemcpyDeviceToHost),
            cudaErrorInvalidMemcpyDirection);
  EXPECT_EQ(cudaMemset(host.data(), 0, 16), cudaErrorInvalidValue);
  EXPECT_EQ(cudaMemcpy2D(host.data(), 4, array.data(), 4, 8, 1, cudaMemcpyDeviceToHost),
            cudaErrorInvalidPitchValue);
  cudaGetLastError();
}

TEST(MemoryDeathTest, HostCodeMayNotTouchDeviceMemory) {
  const DeviceArray<float> array(8);
  EXPECT_DEATH(array.data()[0] = 1, "host code touched device memory at 0x");
  EXPECT_DEATH(
      {
        put_now(array.data(), 0);
        array.data()[0] = 1;
      },
      "host code touched device memory");
  put_now(array.data(), 0);
  EXPECT_EQ(array.values()[0], 1);
}

TEST(MemoryDeathTest, KernelsMayNotLeaveTheirAllocations) {
  const DeviceArray<float> array(64), other(64);  // 256 bytes: the end is exact
  EXPECT_DEATH(put_now(array.data(), 64), "kernel touched device memory at .*nothing.*put_at");
  EXPECT_DEATH(put_now(array.data(), 1 << 24), "kernel touched device memory at .*put_at");
  float* freed = nullptr;
  ASSERT_CUDA(cudaMalloc(&freed, 256));
  ASSERT_CUDA(cudaFree(freed));
  EXPECT_DEATH(put_now(freed, 0), "kernel touched device memory at .*put_at");
  EXPECT_DEATH(put_now(nullptr, 0), "fault at .*put_at");
}

TEST(MemoryDeathTest, FreeNoticesAWriteJustPastTheEnd) {
  float* data = nullptr;
  ASSERT_CUDA(cudaMalloc(&data, 60 * sizeof(float)));
  EXPECT_DEATH(
      {
        put_now(data, 60);
        cudaFree(data);
      },
      "written 0 bytes past the end of an allocation of 240 bytes");
  ASSERT_CUDA(cudaFree(data));
}

}  // namespace
}  // namespace cuda_emulator::testing
