#include "cuda_emulator/runtime_api.h"
#include "cuda_emulator/simt.h"
#include "tests/support/cuda_emulator/src/capture.h"
#include "tests/support/cuda_emulator/src/device.h"
#include "tests/support/cuda_emulator/src/device_memory.h"
#include "tests/support/cuda_emulator/src/last_error.h"
#include "tests/support/cuda_emulator/src/stream.h"

#include <cstdio>
#include <cstdlib>
#include <cstring>

namespace cuda_emulator {
namespace {

thread_local int chosen_device = 0;

bool is_device(int device) { return device >= 0 && device < device_count(); }

// Sizes of a Hopper GPU, since programs adapt to them, but few multiprocessors, so that one kernel
// needs few blocks.
constexpr int kMultiprocessors = 8, kThreadsPerMultiprocessor = 2048, kRegisters = 65536;
constexpr int kSharedPerBlock = 48 << 10, kReservedPerBlock = 1 << 10;
constexpr int kL2Bytes = 4 << 20, kBlocksPerMultiprocessor = 32;

}  // namespace

int current_device() { return chosen_device; }

Capability capability() {
  const char* text = std::getenv("RETINUE_EMULATOR_CAPABILITY");
  if (text == nullptr || *text == '\0') return {};
  Capability claimed;
  int end = 0;
  if (std::sscanf(text, "%d.%d%n", &claimed.major, &claimed.minor, &end) != 2 ||
      text[end] != '\0') {
    fail("RETINUE_EMULATOR_CAPABILITY is \"%s\"; wanted two numbers such as 8.9", text);
  }
  return claimed;
}

// CUDA C++ Programming Guide, "Technical Specifications per Compute Capability".
int shared_bytes_per_block(Capability of) {
  if (of.major < 8) return (of.major == 7 && of.minor == 5 ? 64 : 96) << 10;
  if (of.major == 8) return (of.minor == 0 || of.minor == 7 ? 163 : 99) << 10;
  return (of.major < 12 ? 227 : 99) << 10;
}

}  // namespace cuda_emulator

using namespace cuda_emulator;

cudaError_t cudaDriverGetVersion(int* version) {
  *version = CUDART_VERSION;
  return cudaSuccess;
}
cudaError_t cudaRuntimeGetVersion(int* version) {
  *version = CUDART_VERSION;
  return cudaSuccess;
}

cudaError_t cudaGetDeviceCount(int* count) {
  *count = device_count();
  return finish(*count > 0 ? cudaSuccess : cudaErrorNoDevice);
}
cudaError_t cudaGetDevice(int* device) {
  *device = current_device();
  return cudaSuccess;
}
cudaError_t cudaSetDevice(int device) {
  if (device_count() == 0) return finish(cudaErrorNoDevice);
  if (!is_device(device)) return finish(cudaErrorInvalidDevice);
  chosen_device = device;
  return cudaSuccess;
}
cudaError_t cudaSetDeviceFlags(unsigned int) { return cudaSuccess; }
cudaError_t cudaInitDevice(int device, unsigned int, unsigned int) {
  return finish(is_device(device) ? cudaSuccess : cudaErrorInvalidDevice);
}
cudaError_t cudaDeviceSetLimit(cudaLimit, std::size_t) { return cudaSuccess; }

cudaError_t cudaGetDeviceProperties(cudaDeviceProp* properties, int device) {
  if (!is_device(device)) return finish(cudaErrorInvalidDevice);
  const Capability claimed = capability();
  cudaDeviceProp p = {};
  std::snprintf(p.name, sizeof p.name, "Emulated CUDA device (tests only)");
  std::snprintf(p.uuid.bytes, sizeof p.uuid.bytes, "emulated-%d", device);
  p.totalGlobalMem = device_memory_bytes();
  p.sharedMemPerBlock = kSharedPerBlock;
  p.sharedMemPerBlockOptin = static_cast<std::size_t>(shared_bytes_per_block(claimed));
  p.sharedMemPerMultiprocessor = p.sharedMemPerBlockOptin + kReservedPerBlock;
  p.reservedSharedMemPerBlock = kReservedPerBlock;
  p.regsPerBlock = p.regsPerMultiprocessor = kRegisters;
  p.warpSize = 32;
  p.memPitch = 0x7FFFFFFF;
  p.maxThreadsPerBlock = 1024;
  p.maxThreadsDim[0] = p.maxThreadsDim[1] = 1024;
  p.maxThreadsDim[2] = 64;
  p.maxGridSize[0] = 0x7FFFFFFF;
  p.maxGridSize[1] = p.maxGridSize[2] = 65535;
  p.totalConstMem = 64 << 10;
  p.major = claimed.major;
  p.minor = claimed.minor;
  p.multiProcessorCount = kMultiprocessors;
  p.maxThreadsPerMultiProcessor = kThreadsPerMultiprocessor;
  p.maxBlocksPerMultiProcessor = kBlocksPerMultiprocessor;
  p.canMapHostMemory = p.concurrentKernels = p.unifiedAddressing = 1;
  p.streamPrioritiesSupported = p.hostRegisterSupported = 1;
  p.pciBusID = device + 1;
  p.asyncEngineCount = 2;
  p.memoryBusWidth = 5120;
  p.l2CacheSize = kL2Bytes;
  *properties = p;
  return cudaSuccess;
}

cudaError_t cudaDeviceGetAttribute(int* value, cudaDeviceAttr attribute, int device) {
  cudaDeviceProp p;
  if (const cudaError_t error = cudaGetDeviceProperties(&p, device); error != cudaSuccess)
    return error;
  switch (attribute) {
    case cudaDevAttrMaxThreadsPerBlock:
      *value = p.maxThreadsPerBlock;
      break;
    case cudaDevAttrMaxBlockDimX:
      *value = p.maxThreadsDim[0];
      break;
    case cudaDevAttrMaxBlockDimY:
      *value = p.maxThreadsDim[1];
      break;
    case cudaDevAttrMaxBlockDimZ:
      *value = p.maxThreadsDim[2];
      break;
    case cudaDevAttrMaxGridDimX:
      *value = p.maxGridSize[0];
      break;
    case cudaDevAttrMaxGridDimY:
      *value = p.maxGridSize[1];
      break;
    case cudaDevAttrMaxGridDimZ:
      *value = p.maxGridSize[2];
      break;
    case cudaDevAttrMaxSharedMemoryPerBlock:
      *value = kSharedPerBlock;
      break;
    case cudaDevAttrMaxSharedMemoryPerBlockOptin:
      *value = static_cast<int>(p.sharedMemPerBlockOptin);
      break;
    case cudaDevAttrMaxSharedMemoryPerMultiprocessor:
      *value = static_cast<int>(p.sharedMemPerMultiprocessor);
      break;
    case cudaDevAttrReservedSharedMemoryPerBlock:
      *value = kReservedPerBlock;
      break;
    case cudaDevAttrTotalConstantMemory:
      *value = 64 << 10;
      break;
    case cudaDevAttrWarpSize:
      *value = p.warpSize;
      break;
    case cudaDevAttrMaxRegistersPerBlock:
    case cudaDevAttrMaxRegistersPerMultiprocessor:
      *value = kRegisters;
      break;
    case cudaDevAttrClockRate:
      *value = 1'980'000;
      break;
    case cudaDevAttrMemoryClockRate:
      *value = 2'619'000;
      break;
    case cudaDevAttrGlobalMemoryBusWidth:
      *value = p.memoryBusWidth;
      break;
    case cudaDevAttrMultiProcessorCount:
      *value = p.multiProcessorCount;
      break;
    case cudaDevAttrL2CacheSize:
      *value = p.l2CacheSize;
      break;
    case cudaDevAttrMaxThreadsPerMultiProcessor:
      *value = kThreadsPerMultiprocessor;
      break;
    case cudaDevAttrMaxBlocksPerMultiprocessor:
      *value = kBlocksPerMultiprocessor;
      break;
    case cudaDevAttrAsyncEngineCount:
      *value = p.asyncEngineCount;
      break;
    case cudaDevAttrConcurrentKernels:
    case cudaDevAttrUnifiedAddressing:
      *value = 1;
      break;
    case cudaDevAttrPciBusId:
      *value = p.pciBusID;
      break;
    case cudaDevAttrPciDeviceId:
    case cudaDevAttrPciDomainId:
      *value = 0;
      break;
    case cudaDevAttrComputeCapabilityMajor:
      *value = p.major;
      break;
    case cudaDevAttrComputeCapabilityMinor:
      *value = p.minor;
      break;
    case cudaDevAttrIntegrated:
    case cudaDevAttrEccEnabled:
    case cudaDevAttrPageableMemoryAccess:
    case cudaDevAttrCooperativeLaunch:
    case cudaDevAttrMemoryPoolsSupported:
      *value = 0;
      break;
    default:
      return finish(cudaErrorInvalidValue);
  }
  return cudaSuccess;
}

cudaError_t cudaDeviceGetPCIBusId(char* bus_id, int length, int device) {
  if (!is_device(device)) return finish(cudaErrorInvalidDevice);
  const int needed =
      std::snprintf(bus_id, static_cast<std::size_t>(length), "0000:%02X:00.0", device + 1);
  return finish(needed < length ? cudaSuccess : cudaErrorInvalidValue);
}

cudaError_t cudaDeviceGetByPCIBusId(int* device, const char* bus_id) {
  for (int i = 0; i < device_count(); ++i) {
    char name[16];
    cudaDeviceGetPCIBusId(name, sizeof name, i);
    if (strcasecmp(name, bus_id) == 0) {
      *device = i;
      return cudaSuccess;
    }
  }
  return finish(cudaErrorInvalidValue);
}

cudaError_t cudaDeviceGetStreamPriorityRange(int* least, int* greatest) {
  if (least != nullptr) *least = 0;
  if (greatest != nullptr) *greatest = -5;
  return cudaSuccess;
}

cudaError_t cudaDeviceCanAccessPeer(int* can, int device, int peer) {
  if (!is_device(device) || !is_device(peer)) return finish(cudaErrorInvalidDevice);
  *can = 0;
  return cudaSuccess;
}

cudaError_t cudaDeviceSynchronize() {
  if (const cudaError_t error = refuse_while_capturing(); error != cudaSuccess)
    return finish(error);
  wait_for_device(current_device());
  return cudaSuccess;
}

cudaError_t cudaDeviceReset() { return cudaDeviceSynchronize(); }
