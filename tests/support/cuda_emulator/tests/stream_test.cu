#include "tests/support/cuda_emulator/tests/launch.h"

#include <gtest/gtest.h>

#include <memory>

namespace cuda_emulator::testing {
namespace {

__global__ void put(int* out, int value) { *out = value; }
__global__ void add(int* out, int value) { *out += value; }

struct Streams : ::testing::Test {
  void SetUp() override {
    ASSERT_CUDA(cudaStreamCreateWithFlags(&one, cudaStreamNonBlocking));
    ASSERT_CUDA(cudaStreamCreateWithFlags(&two, cudaStreamNonBlocking));
    ASSERT_CUDA(cudaMallocHost(&pinned, sizeof(int)));
    *pinned = -1;
  }
  void TearDown() override {
    EXPECT_CUDA(cudaStreamDestroy(one));
    EXPECT_CUDA(cudaStreamDestroy(two));
    EXPECT_CUDA(cudaFreeHost(pinned));
    cudaGetLastError();
  }
  cudaStream_t one = nullptr, two = nullptr;
  int* pinned = nullptr;
};

TEST_F(Streams, NothingRunsUntilSomethingWaits) {
  DeviceArray<int> number(1);
  ASSERT_CUDA(launch({dim3(1), dim3(1), 0, one}, put, number.data(), 5));
  ASSERT_CUDA(cudaMemcpyAsync(pinned, number.data(), sizeof(int), cudaMemcpyDeviceToHost, one));
  EXPECT_EQ(*pinned, -1);
  ASSERT_CUDA(cudaStreamSynchronize(two));
  EXPECT_EQ(*pinned, -1);
  ASSERT_CUDA(cudaStreamSynchronize(one));
  EXPECT_EQ(*pinned, 5);
}

TEST_F(Streams, AQueryReportsUnfinishedWorkOnce) {
  DeviceArray<int> number(1);
  EXPECT_CUDA(cudaStreamQuery(one));
  ASSERT_CUDA(launch({dim3(1), dim3(1), 0, one}, put, number.data(), 5));
  EXPECT_EQ(cudaStreamQuery(one), cudaErrorNotReady);
  EXPECT_CUDA(cudaStreamQuery(one));
}

TEST_F(Streams, PinnedMemoryIsReadWhenTheCopyRunsAndPageableInTheCall) {
  DeviceArray<int> number(2);
  int pageable = 7;
  *pinned = 7;
  ASSERT_CUDA(cudaMemcpyAsync(number.data(), pinned, sizeof(int), cudaMemcpyHostToDevice, one));
  ASSERT_CUDA(
      cudaMemcpyAsync(number.data() + 1, &pageable, sizeof(int), cudaMemcpyHostToDevice, one));
  *pinned = pageable = 8;
  ASSERT_CUDA(cudaStreamSynchronize(one));
  EXPECT_EQ(number.values(), (std::vector<int>{8, 7}));
}

TEST_F(Streams, ACopyToPageableMemoryIsDoneWhenItReturns) {
  DeviceArray<int> number(1);
  int pageable = -1;
  ASSERT_CUDA(launch({dim3(1), dim3(1), 0, one}, put, number.data(), 5));
  ASSERT_CUDA(cudaMemcpyAsync(&pageable, number.data(), sizeof(int), cudaMemcpyDeviceToHost, one));
  EXPECT_EQ(pageable, 5);
}

TEST_F(Streams, EventsOrderStreams) {
  for (const bool with_event : {true, false}) {
    DeviceArray<int> number(std::vector<int>{0});
    cudaEvent_t event = nullptr;
    ASSERT_CUDA(cudaEventCreate(&event));
    ASSERT_CUDA(launch({dim3(1), dim3(1), 0, one}, put, number.data(), 5));
    ASSERT_CUDA(cudaEventRecord(event, one));
    ASSERT_CUDA(launch({dim3(1), dim3(1), 0, one}, put, number.data(), 100));  // after the event
    if (with_event) {
      ASSERT_CUDA(cudaStreamWaitEvent(two, event));
    }
    ASSERT_CUDA(launch({dim3(1), dim3(1), 0, two}, add, number.data(), 1));
    ASSERT_CUDA(cudaMemcpyAsync(pinned, number.data(), sizeof(int), cudaMemcpyDeviceToHost, two));
    ASSERT_CUDA(cudaStreamSynchronize(two));
    EXPECT_EQ(*pinned, with_event ? 6 : 1);
    EXPECT_EQ(cudaStreamQuery(one), cudaErrorNotReady);
    ASSERT_CUDA(cudaEventDestroy(event));
  }
}

TEST_F(Streams, EventsMeasureTimeOnceTheyAreReached) {
  DeviceArray<int> number(1);
  cudaEvent_t start = nullptr, end = nullptr, plain = nullptr;
  ASSERT_CUDA(cudaEventCreate(&start));
  ASSERT_CUDA(cudaEventCreate(&end));
  ASSERT_CUDA(cudaEventCreateWithFlags(&plain, cudaEventDisableTiming));
  EXPECT_CUDA(cudaEventQuery(start));  // never recorded
  float milliseconds = -1;
  EXPECT_EQ(cudaEventElapsedTime(&milliseconds, start, end), cudaErrorInvalidResourceHandle);
  ASSERT_CUDA(cudaEventRecord(start, one));
  ASSERT_CUDA(launch({dim3(1), dim3(1), 0, one}, put, number.data(), 5));
  ASSERT_CUDA(cudaEventRecord(end, one));
  ASSERT_CUDA(cudaEventRecord(plain, one));
  EXPECT_EQ(cudaEventElapsedTime(&milliseconds, start, end), cudaErrorNotReady);
  EXPECT_EQ(cudaEventQuery(end), cudaErrorNotReady);
  EXPECT_CUDA(cudaEventSynchronize(end));
  EXPECT_CUDA(cudaEventElapsedTime(&milliseconds, start, end));
  EXPECT_GE(milliseconds, 0);
  EXPECT_CUDA(cudaEventSynchronize(plain));
  EXPECT_EQ(cudaEventElapsedTime(&milliseconds, start, plain), cudaErrorInvalidResourceHandle);
  for (cudaEvent_t event : {start, end, plain}) EXPECT_CUDA(cudaEventDestroy(event));
  EXPECT_EQ(cudaEventQuery(start), cudaErrorInvalidResourceHandle);
}

TEST_F(Streams, TheLegacyStreamWaitsForBlockingStreamsAndTheyForIt) {
  cudaStream_t blocking = nullptr;
  ASSERT_CUDA(cudaStreamCreate(&blocking));
  DeviceArray<int> number(std::vector<int>{0});
  ASSERT_CUDA(launch({dim3(1), dim3(1), 0, blocking}, put, number.data(), 5));
  ASSERT_CUDA(launch({dim3(1), dim3(1)}, add, number.data(), 10));
  ASSERT_CUDA(launch({dim3(1), dim3(1), 0, blocking}, add, number.data(), 100));
  ASSERT_CUDA(cudaStreamSynchronize(blocking));
  EXPECT_EQ(number.values()[0], 115);
  ASSERT_CUDA(cudaStreamDestroy(blocking));
}

TEST_F(Streams, WorkOfADestroyedStreamStillRuns) {
  DeviceArray<int> number(1);
  cudaStream_t gone = nullptr;
  ASSERT_CUDA(cudaStreamCreateWithFlags(&gone, cudaStreamNonBlocking));
  ASSERT_CUDA(launch({dim3(1), dim3(1), 0, gone}, put, number.data(), 5));
  ASSERT_CUDA(cudaStreamDestroy(gone));
  EXPECT_EQ(launch({dim3(1), dim3(1), 0, gone}, put, number.data(), 6),
            cudaErrorInvalidResourceHandle);
  ASSERT_CUDA(cudaDeviceSynchronize());
  EXPECT_EQ(number.values()[0], 5);
}

TEST_F(Streams, HostFunctionsRunInOrderAndMayNotCallCuda) {
  struct Seen {
    int* pinned;
    int value = 0;
    cudaError_t error = cudaSuccess;
  } seen{pinned};
  DeviceArray<int> number(1);
  ASSERT_CUDA(launch({dim3(1), dim3(1), 0, one}, put, number.data(), 5));
  ASSERT_CUDA(cudaMemcpyAsync(pinned, number.data(), sizeof(int), cudaMemcpyDeviceToHost, one));
  ASSERT_CUDA(cudaLaunchHostFunc(
      one,
      [](void* data) {
        auto& s = *static_cast<Seen*>(data);
        s.value = *s.pinned;
        s.error = cudaDeviceSynchronize();
      },
      &seen));
  EXPECT_EQ(seen.value, 0);
  ASSERT_CUDA(cudaStreamSynchronize(one));
  EXPECT_EQ(seen.value, 5);
  EXPECT_EQ(seen.error, cudaErrorNotPermitted);
}

}  // namespace
}  // namespace cuda_emulator::testing
