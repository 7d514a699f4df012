#include "parallel/device/cuda/runtime.h"

#include "parallel/base/check.h"
#include "parallel/device/cuda/error.h"

#include <fmt/format.h>

#include <array>
#include <utility>

namespace retinue::cuda {

namespace {

cudaStream_t stream_of(void* stream) { return static_cast<cudaStream_t>(stream); }
cudaEvent_t event_of(void* event) { return static_cast<cudaEvent_t>(event); }

}  // namespace

void check_cuda(cudaError_t error, const char* what) {
  if (error == cudaSuccess) return;
  // A launch or an allocation that failed leaves its error behind for the next caller.
  (void)cudaGetLastError();
  throw DeviceError(
      fmt::format("[cuda] {}: {}: {}", what, cudaGetErrorName(error), cudaGetErrorString(error)));
}

Availability availability() {
  int count = 0;
  const cudaError_t error = cudaGetDeviceCount(&count);
  if (error == cudaSuccess && count > 0) return {count, ""};
  (void)cudaGetLastError();
  if (error == cudaSuccess || error == cudaErrorNoDevice)
    return {0, "no CUDA device is visible (cudaErrorNoDevice)"};
  return {0, fmt::format("{}: {}", cudaGetErrorName(error), cudaGetErrorString(error))};
}

void use_device(int index) { check_cuda(cudaSetDevice(index), "cudaSetDevice"); }

int driver_version() {
  int version = 0;
  check_cuda(cudaDriverGetVersion(&version), "cudaDriverGetVersion");
  return version;
}

int runtime_version() {
  int version = 0;
  check_cuda(cudaRuntimeGetVersion(&version), "cudaRuntimeGetVersion");
  return version;
}

std::string pci_bus_id(int index) {
  std::array<char, 32> bus{};
  check_cuda(cudaDeviceGetPCIBusId(bus.data(), static_cast<int>(bus.size()), index),
             "cudaDeviceGetPCIBusId");
  // sysfs writes it in lower case.
  std::string id = bus.data();
  for (char& c : id)
    if (c >= 'A' && c <= 'F') c = static_cast<char>(c - 'A' + 'a');
  return id;
}

bool can_access_peer(int from, int to) {
  int can = 0;
  check_cuda(cudaDeviceCanAccessPeer(&can, from, to), "cudaDeviceCanAccessPeer");
  return can != 0;
}

DeviceFacts device_facts(int index) {
  cudaDeviceProp properties{};
  check_cuda(cudaGetDeviceProperties(&properties, index), "cudaGetDeviceProperties");
  DeviceFacts facts;
  facts.name = properties.name;
  facts.major = properties.major, facts.minor = properties.minor;
  facts.multiprocessors = properties.multiProcessorCount;
  facts.l2_bytes = properties.l2CacheSize;
  facts.memory_bytes = static_cast<std::int64_t>(properties.totalGlobalMem);
  facts.pci_bus_id = pci_bus_id(index);
  return facts;
}

std::pair<int, int> compute_capability(int index) {
  int major = 0, minor = 0;
  check_cuda(cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, index),
             "cudaDeviceGetAttribute");
  check_cuda(cudaDeviceGetAttribute(&minor, cudaDevAttrComputeCapabilityMinor, index),
             "cudaDeviceGetAttribute");
  return {major, minor};
}

std::int64_t free_bytes(int index) {
  use_device(index);
  std::size_t free = 0, total = 0;
  check_cuda(cudaMemGetInfo(&free, &total), "cudaMemGetInfo");
  return static_cast<std::int64_t>(free);
}

void* allocate(int device, std::size_t size_bytes) {
  use_device(device);
  void* data = nullptr;
  const cudaError_t error = cudaMalloc(&data, size_bytes);
  if (error == cudaErrorMemoryAllocation) {
    (void)cudaGetLastError();
    return nullptr;
  }
  check_cuda(error, "cudaMalloc");
  return data;
}

void release(int device, void* data) noexcept {
  // At the end of a process the runtime may be gone before its users.
  (void)cudaSetDevice(device);
  (void)cudaFree(data);
}

void* allocate_pinned(std::size_t size_bytes) {
  void* data = nullptr;
  const cudaError_t error = cudaHostAlloc(&data, size_bytes, cudaHostAllocPortable);
  if (error == cudaErrorMemoryAllocation) {
    (void)cudaGetLastError();
    return nullptr;
  }
  check_cuda(error, "cudaHostAlloc");
  return data;
}

void release_pinned(void* data) noexcept { (void)cudaFreeHost(data); }

std::shared_ptr<void> make_stream(int device, bool background) {
  use_device(device);
  int least = 0, greatest = 0;
  check_cuda(cudaDeviceGetStreamPriorityRange(&least, &greatest),
             "cudaDeviceGetStreamPriorityRange");
  cudaStream_t stream = nullptr;
  check_cuda(
      cudaStreamCreateWithPriority(&stream, cudaStreamNonBlocking, background ? least : greatest),
      "cudaStreamCreateWithPriority");
  return {static_cast<void*>(stream), [](void* s) { (void)cudaStreamDestroy(stream_of(s)); }};
}

void copy(void* stream, void* to, const void* from, std::size_t size_bytes) {
  check_cuda(cudaMemcpyAsync(to, from, size_bytes, cudaMemcpyDefault, stream_of(stream)),
             "cudaMemcpyAsync");
}

void copy_rows(void* stream, void* to, std::size_t to_pitch, const void* from,
               std::size_t from_pitch, std::size_t size_bytes, std::size_t rows) {
  check_cuda(cudaMemcpy2DAsync(to, to_pitch, from, from_pitch, size_bytes, rows, cudaMemcpyDefault,
                               stream_of(stream)),
             "cudaMemcpy2DAsync");
}

void zero(void* stream, void* to, std::size_t size_bytes) {
  check_cuda(cudaMemsetAsync(to, 0, size_bytes, stream_of(stream)), "cudaMemsetAsync");
}

bool finished(void* stream) {
  const cudaError_t error = cudaStreamQuery(stream_of(stream));
  if (error == cudaErrorNotReady) {
    (void)cudaGetLastError();
    return false;
  }
  check_cuda(error, "cudaStreamQuery");
  return true;
}

void synchronize(void* stream) {
  check_cuda(cudaStreamSynchronize(stream_of(stream)), "cudaStreamSynchronize");
}

std::shared_ptr<void> make_event(int device) {
  use_device(device);
  cudaEvent_t event = nullptr;
  check_cuda(cudaEventCreate(&event), "cudaEventCreate");
  return {static_cast<void*>(event), [](void* e) { (void)cudaEventDestroy(event_of(e)); }};
}

void record(void* event, void* stream) {
  check_cuda(cudaEventRecord(event_of(event), stream_of(stream)), "cudaEventRecord");
}

void hold(void* stream, void* event) {
  check_cuda(cudaStreamWaitEvent(stream_of(stream), event_of(event), 0), "cudaStreamWaitEvent");
}

bool passed(void* event) {
  const cudaError_t error = cudaEventQuery(event_of(event));
  if (error == cudaErrorNotReady) {
    (void)cudaGetLastError();
    return false;
  }
  check_cuda(error, "cudaEventQuery");
  return true;
}

void synchronize_event(void* event) {
  check_cuda(cudaEventSynchronize(event_of(event)), "cudaEventSynchronize");
}

double seconds_between(void* begin, void* end) {
  float milliseconds = 0;
  check_cuda(cudaEventElapsedTime(&milliseconds, event_of(begin), event_of(end)),
             "cudaEventElapsedTime");
  return static_cast<double>(milliseconds) * 1e-3;
}

std::shared_ptr<void> capture(void* stream, const std::function<void()>& work) {
  // Thread-local: other threads of the process may allocate and copy meanwhile.
  check_cuda(cudaStreamBeginCapture(stream_of(stream), cudaStreamCaptureModeThreadLocal),
             "cudaStreamBeginCapture");
  cudaGraph_t graph = nullptr;
  try {
    work();
  } catch (...) {
    if (cudaStreamEndCapture(stream_of(stream), &graph) == cudaSuccess && graph != nullptr)
      (void)cudaGraphDestroy(graph);
    (void)cudaGetLastError();
    throw;
  }
  check_cuda(cudaStreamEndCapture(stream_of(stream), &graph), "cudaStreamEndCapture");
  cudaGraphExec_t executable = nullptr;
  const cudaError_t error = cudaGraphInstantiate(&executable, graph, 0);
  (void)cudaGraphDestroy(graph);
  check_cuda(error, "cudaGraphInstantiate");
  return {static_cast<void*>(executable),
          [](void* g) { (void)cudaGraphExecDestroy(static_cast<cudaGraphExec_t>(g)); }};
}

void launch(void* graph, void* stream) {
  check_cuda(cudaGraphLaunch(static_cast<cudaGraphExec_t>(graph), stream_of(stream)),
             "cudaGraphLaunch");
}

void check_launch(const char* op) {
  const cudaError_t error = cudaGetLastError();
  if (error != cudaSuccess) check_cuda(error, op);
}

}  // namespace retinue::cuda
