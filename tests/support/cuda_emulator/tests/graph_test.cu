#include "tests/support/cuda_emulator/tests/launch.h"

#include <gtest/gtest.h>

namespace cuda_emulator::testing {
namespace {

__global__ void add(int* out, int value) { *out += value; }
__global__ void multiply(int* out, int value) { *out *= value; }

struct Graphs : ::testing::Test {
  void SetUp() override {
    ASSERT_CUDA(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking));
    ASSERT_CUDA(cudaStreamCreateWithFlags(&side, cudaStreamNonBlocking));
    ASSERT_CUDA(cudaEventCreateWithFlags(&fork, cudaEventDisableTiming));
    ASSERT_CUDA(cudaEventCreateWithFlags(&join, cudaEventDisableTiming));
    ASSERT_CUDA(cudaMallocHost(&pinned, sizeof(int)));
  }
  void TearDown() override {
    EXPECT_CUDA(cudaStreamDestroy(stream));
    EXPECT_CUDA(cudaStreamDestroy(side));
    EXPECT_CUDA(cudaEventDestroy(fork));
    EXPECT_CUDA(cudaEventDestroy(join));
    EXPECT_CUDA(cudaFreeHost(pinned));
    cudaGetLastError();
  }
  void begin(cudaStreamCaptureMode mode = cudaStreamCaptureModeThreadLocal) {
    ASSERT_CUDA(cudaStreamBeginCapture(stream, mode));
  }
  cudaStream_t stream = nullptr, side = nullptr;
  cudaEvent_t fork = nullptr, join = nullptr;
  cudaGraph_t graph = nullptr;
  cudaGraphExec_t executable = nullptr;
  int* pinned = nullptr;
};

TEST_F(Graphs, ReplayTheCapturedWorkWithItsArguments) {
  DeviceArray<int> number(std::vector<int>{1});
  begin();
  int value = 3;
  ASSERT_CUDA(launch({dim3(1), dim3(1), 0, stream}, add, number.data(), value));
  value = 50;
  ASSERT_CUDA(launch({dim3(1), dim3(1), 0, stream}, multiply, number.data(), 2));
  ASSERT_CUDA(cudaMemcpyAsync(pinned, number.data(), sizeof(int), cudaMemcpyDeviceToHost, stream));
  ASSERT_CUDA(cudaStreamEndCapture(stream, &graph));
  std::size_t nodes = 0;
  ASSERT_CUDA(cudaGraphGetNodes(graph, nullptr, &nodes));
  EXPECT_EQ(nodes, 3u);
  ASSERT_CUDA(cudaGraphInstantiate(&executable, graph, 0));
  ASSERT_CUDA(cudaGraphDestroy(graph));
  EXPECT_EQ(number.values()[0], 1);
  for (const int expected : {8, 22}) {
    ASSERT_CUDA(cudaGraphLaunch(executable, stream));
    ASSERT_CUDA(cudaStreamSynchronize(stream));
    EXPECT_EQ(*pinned, expected);
  }
  ASSERT_CUDA(cudaGraphLaunch(executable, stream));
  ASSERT_CUDA(cudaGraphExecDestroy(executable));
  ASSERT_CUDA(cudaStreamSynchronize(stream));
  EXPECT_EQ(*pinned, 50);
}

TEST_F(Graphs, ForksAndJoinsFollowEvents) {
  for (const Schedule& schedule : some_schedules()) {
    const ScopedSchedule scope(schedule);
    DeviceArray<int> number(std::vector<int>{1, 1});
    begin();
    ASSERT_CUDA(launch({dim3(1), dim3(1), 0, stream}, add, number.data(), 1));
    ASSERT_CUDA(cudaEventRecord(fork, stream));
    ASSERT_CUDA(cudaStreamWaitEvent(side, fork));
    ASSERT_CUDA(launch({dim3(1), dim3(1), 0, side}, multiply, number.data(), 5));
    ASSERT_CUDA(launch({dim3(1), dim3(1), 0, stream}, add, number.data() + 1, 6));
    ASSERT_CUDA(cudaEventRecord(join, side));
    ASSERT_CUDA(cudaStreamWaitEvent(stream, join));
    ASSERT_CUDA(launch({dim3(1), dim3(1), 0, stream}, add, number.data(), 1));
    ASSERT_CUDA(cudaStreamEndCapture(stream, &graph));
    ASSERT_CUDA(cudaGraphInstantiate(&executable, graph, 0));
    ASSERT_CUDA(cudaGraphLaunch(executable, stream));
    ASSERT_CUDA(cudaStreamSynchronize(stream));
    EXPECT_EQ(number.values(), (std::vector<int>{11, 7}));
    ASSERT_CUDA(cudaGraphExecDestroy(executable));
    ASSERT_CUDA(cudaGraphDestroy(graph));
  }
}

TEST_F(Graphs, AForkThatDoesNotJoinIsAnError) {
  DeviceArray<int> number(std::vector<int>{1});
  begin();
  ASSERT_CUDA(cudaEventRecord(fork, stream));
  ASSERT_CUDA(cudaStreamWaitEvent(side, fork));
  ASSERT_CUDA(launch({dim3(1), dim3(1), 0, side}, add, number.data(), 5));
  EXPECT_EQ(cudaStreamEndCapture(side, &graph), cudaErrorStreamCaptureUnmatched);
  EXPECT_EQ(cudaStreamEndCapture(stream, &graph), cudaErrorStreamCaptureUnjoined);
  EXPECT_EQ(graph, nullptr);
  EXPECT_CUDA(cudaStreamQuery(side));
}

TEST_F(Graphs, CallsThatWaitOrAllocateEndACapture) {
  DeviceArray<int> number(std::vector<int>{1});
  int pageable = 0;
  void* pointer = nullptr;
  const auto refused = [&](cudaError_t error, const char* what) {
    EXPECT_EQ(error, cudaErrorStreamCaptureUnsupported) << what;
    cudaStreamCaptureStatus status = cudaStreamCaptureStatusNone;
    EXPECT_CUDA(cudaStreamIsCapturing(stream, &status));
    EXPECT_EQ(status, cudaStreamCaptureStatusInvalidated) << what;
    EXPECT_EQ(launch({dim3(1), dim3(1), 0, stream}, add, number.data(), 5),
              cudaErrorStreamCaptureInvalidated);
    EXPECT_EQ(cudaStreamEndCapture(stream, &graph), cudaErrorStreamCaptureInvalidated) << what;
    begin();
  };
  begin();
  refused(cudaMalloc(&pointer, 4), "cudaMalloc");
  refused(cudaFree(number.data()), "cudaFree");
  refused(cudaMallocHost(&pointer, 4), "cudaMallocHost");
  refused(cudaStreamSynchronize(stream), "cudaStreamSynchronize");
  refused(cudaStreamQuery(stream), "cudaStreamQuery");
  refused(cudaDeviceSynchronize(), "cudaDeviceSynchronize");
  refused(cudaMemcpy(&pageable, number.data(), 4, cudaMemcpyDeviceToHost), "cudaMemcpy");
  refused(cudaMemcpyAsync(&pageable, number.data(), 4, cudaMemcpyDeviceToHost, stream),
          "to pageable");
  refused(cudaMemcpyAsync(number.data(), &pageable, 4, cudaMemcpyHostToDevice, stream),
          "from pageable");
  ASSERT_CUDA(cudaEventRecord(fork, stream));
  EXPECT_EQ(cudaEventSynchronize(fork), cudaErrorCapturedEvent);
  EXPECT_EQ(cudaStreamEndCapture(stream, &graph), cudaErrorStreamCaptureInvalidated);
}

TEST_F(Graphs, UncapturedEventsStayOutside) {
  ASSERT_CUDA(cudaEventRecord(fork, side));
  begin();
  EXPECT_EQ(cudaStreamWaitEvent(stream, fork), cudaErrorStreamCaptureIsolation);
  EXPECT_EQ(cudaStreamEndCapture(stream, &graph), cudaErrorStreamCaptureInvalidated);
}

TEST_F(Graphs, RelaxedCapturesAllowAllocations) {
  begin(cudaStreamCaptureModeRelaxed);
  void* pointer = nullptr;
  EXPECT_CUDA(cudaMalloc(&pointer, 4));
  EXPECT_CUDA(cudaStreamEndCapture(stream, &graph));
  EXPECT_CUDA(cudaGraphDestroy(graph));
  EXPECT_CUDA(cudaFree(pointer));
}

}  // namespace
}  // namespace cuda_emulator::testing
