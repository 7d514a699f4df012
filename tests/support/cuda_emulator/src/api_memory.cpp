#include "cuda_emulator/runtime_api.h"
#include "cuda_emulator/simt.h"
#include "tests/support/cuda_emulator/src/capture.h"
#include "tests/support/cuda_emulator/src/device.h"
#include "tests/support/cuda_emulator/src/device_memory.h"
#include "tests/support/cuda_emulator/src/host_memory.h"
#include "tests/support/cuda_emulator/src/last_error.h"
#include "tests/support/cuda_emulator/src/stream.h"

#include <cstring>
#include <memory>
#include <vector>

namespace cuda_emulator {
namespace {

/// Rows of bytes. A plain copy is one row.
struct Rows {
  char* data;
  std::size_t pitch, width, height;

  std::size_t extent() const { return height == 0 ? 0 : (height - 1) * pitch + width; }
};

enum class Place { kDevice, kPageLocked, kPageable };

Place place_of(const void* pointer) {
  if (device_of(pointer) >= 0) return Place::kDevice;
  return is_page_locked(pointer) ? Place::kPageLocked : Place::kPageable;
}

/// Whether rows of device memory lie in one allocation.
bool fits(const Rows& rows) {
  if (device_of(rows.data) < 0) return true;
  const Allocation allocation = find_allocation(rows.data);
  return allocation.data != nullptr &&
         rows.data + rows.extent() <= allocation.data + allocation.bytes;
}

bool matches(cudaMemcpyKind kind, Place to, Place from) {
  const bool to_device = to == Place::kDevice, from_device = from == Place::kDevice;
  switch (kind) {
    case cudaMemcpyHostToHost:
      return !to_device && !from_device;
    case cudaMemcpyHostToDevice:
      return to_device && !from_device;
    case cudaMemcpyDeviceToHost:
      return !to_device && from_device;
    case cudaMemcpyDeviceToDevice:
      return to_device && from_device;
    case cudaMemcpyDefault:
      return true;
  }
  return false;
}

void copy_rows(const Rows& to, const Rows& from) {
  const DeviceAccess access_to(device_of(to.data)), access_from(device_of(from.data));
  for (std::size_t i = 0; i < to.height; ++i) {
    std::memmove(to.data + i * to.pitch, from.data + i * from.pitch, to.width);
  }
}

cudaError_t copy(Rows to, Rows from, cudaMemcpyKind kind, cudaStream_t handle, bool blocking) {
  if (inside_host_function()) return cudaErrorNotPermitted;
  if (to.width == 0 || to.height == 0) return cudaSuccess;
  if (to.data == nullptr || from.data == nullptr) return cudaErrorInvalidValue;
  if (to.pitch < to.width || from.pitch < from.width) return cudaErrorInvalidPitchValue;
  const auto stream = find_stream(handle);
  if (stream == nullptr) return cudaErrorInvalidResourceHandle;
  const Place to_place = place_of(to.data), from_place = place_of(from.data);
  if (!matches(kind, to_place, from_place)) return cudaErrorInvalidMemcpyDirection;
  if (!fits(to) || !fits(from)) return cudaErrorInvalidValue;
  if (blocking) {
    if (const cudaError_t error = refuse_while_capturing(); error != cudaSuccess) return error;
  }
  const bool pageable = to_place == Place::kPageable || from_place == Place::kPageable;
  if (stream->capture && pageable) {
    stream->capture->invalidate();
    return cudaErrorStreamCaptureUnsupported;
  }
  std::shared_ptr<std::vector<char>> staged;
  if (from_place == Place::kPageable && to_place == Place::kDevice) {
    // Read in the call: the caller may change the source as soon as it returns.
    staged = std::make_shared<std::vector<char>>(to.width * to.height);
    Rows staging{staged->data(), to.width, to.width, to.height};
    copy_rows(staging, from);
    from = staging;
  }
  Work work = work_once("a copy", [to, from, staged] { copy_rows(to, from); });
  work.touches_device = false;  // it opens the memory it needs
  const cudaError_t error = enqueue(stream, std::move(work));
  if (error != cudaSuccess) return error;
  // Copies to pageable memory and within the host return when they are done.
  const bool waits = blocking || (pageable && (to_place != Place::kDevice));
  if (waits) wait(end_of(stream));
  return cudaSuccess;
}

Rows rows_of(const void* data, std::size_t pitch, std::size_t width, std::size_t height) {
  return {static_cast<char*>(const_cast<void*>(data)), pitch, width, height};
}

cudaError_t fill(void* to, int value, std::size_t bytes, cudaStream_t handle, bool blocking) {
  if (inside_host_function()) return cudaErrorNotPermitted;
  if (bytes == 0) return cudaSuccess;
  const auto stream = find_stream(handle);
  if (stream == nullptr) return cudaErrorInvalidResourceHandle;
  const Rows rows{static_cast<char*>(to), bytes, bytes, 1};
  if (place_of(to) == Place::kPageable || !fits(rows)) return cudaErrorInvalidValue;
  if (blocking) {
    if (const cudaError_t error = refuse_while_capturing(); error != cudaSuccess) return error;
  }
  Work work = work_once("a memset", [to, value, bytes] {
    const DeviceAccess access(device_of(to));
    std::memset(to, value, bytes);
  });
  const cudaError_t error = enqueue(stream, std::move(work));
  if (error == cudaSuccess && blocking) wait(end_of(stream));
  return error;
}

}  // namespace
}  // namespace cuda_emulator

using namespace cuda_emulator;

cudaError_t cudaMalloc(void** pointer, std::size_t bytes) {
  if (const cudaError_t error = refuse_while_capturing(); error != cudaSuccess)
    return finish(error);
  if (pointer == nullptr) return finish(cudaErrorInvalidValue);
  if (device_count() == 0) return finish(cudaErrorNoDevice);
  *pointer = nullptr;
  if (bytes == 0) return cudaSuccess;
  return finish(allocate_device_memory(current_device(), bytes, pointer));
}

cudaError_t cudaFree(void* pointer) {
  if (const cudaError_t error = refuse_while_capturing(); error != cudaSuccess)
    return finish(error);
  if (pointer == nullptr) return cudaSuccess;
  const int device = device_of(pointer);
  if (device < 0) return finish(cudaErrorInvalidValue);
  wait_for_device(device);
  return finish(release_device_memory(pointer));
}

cudaError_t cudaHostAlloc(void** pointer, std::size_t bytes, unsigned int) {
  if (const cudaError_t error = refuse_while_capturing(); error != cudaSuccess)
    return finish(error);
  if (pointer == nullptr) return finish(cudaErrorInvalidValue);
  *pointer = bytes == 0 ? nullptr : allocate_host_memory(bytes);
  return finish(bytes > 0 && *pointer == nullptr ? cudaErrorMemoryAllocation : cudaSuccess);
}
cudaError_t cudaMallocHost(void** pointer, std::size_t bytes) {
  return cudaHostAlloc(pointer, bytes, cudaHostAllocDefault);
}

cudaError_t cudaFreeHost(void* pointer) {
  if (const cudaError_t error = refuse_while_capturing(); error != cudaSuccess)
    return finish(error);
  if (pointer == nullptr) return cudaSuccess;
  if (!is_page_locked(pointer)) return finish(cudaErrorInvalidValue);
  wait_for_device(current_device());
  return finish(release_host_memory(pointer) ? cudaSuccess : cudaErrorInvalidValue);
}

cudaError_t cudaHostRegister(void* pointer, std::size_t bytes, unsigned int) {
  if (const cudaError_t error = refuse_while_capturing(); error != cudaSuccess)
    return finish(error);
  if (pointer == nullptr || bytes == 0) return finish(cudaErrorInvalidValue);
  return finish(register_host_memory(pointer, bytes) ? cudaSuccess
                                                     : cudaErrorHostMemoryAlreadyRegistered);
}
cudaError_t cudaHostUnregister(void* pointer) {
  if (const cudaError_t error = refuse_while_capturing(); error != cudaSuccess)
    return finish(error);
  return finish(unregister_host_memory(pointer) ? cudaSuccess : cudaErrorHostMemoryNotRegistered);
}
cudaError_t cudaHostGetDevicePointer(void** device_pointer, void* host_pointer, unsigned int) {
  if (!is_page_locked(host_pointer)) return finish(cudaErrorInvalidValue);
  *device_pointer = host_pointer;
  return cudaSuccess;
}

cudaError_t cudaMemGetInfo(std::size_t* free_bytes, std::size_t* total_bytes) {
  if (device_count() == 0) return finish(cudaErrorNoDevice);
  *free_bytes = device_memory_free(current_device());
  *total_bytes = device_memory_bytes();
  return cudaSuccess;
}

cudaError_t cudaPointerGetAttributes(cudaPointerAttributes* attributes, const void* pointer) {
  *attributes = {};
  void* const address = const_cast<void*>(pointer);
  if (const Allocation allocation = find_allocation(pointer); allocation.data != nullptr) {
    attributes->type = cudaMemoryTypeDevice;
    attributes->device = allocation.device;
    attributes->devicePointer = address;
  } else if (is_page_locked(pointer)) {
    attributes->type = cudaMemoryTypeHost;
    attributes->device = current_device();
    attributes->devicePointer = attributes->hostPointer = address;
  } else {
    attributes->type = cudaMemoryTypeUnregistered;
    attributes->device = -2;  // cudaInvalidDeviceId
    attributes->hostPointer = address;
  }
  return cudaSuccess;
}

cudaError_t cudaMemcpy(void* to, const void* from, std::size_t bytes, cudaMemcpyKind kind) {
  return finish(
      copy(rows_of(to, bytes, bytes, 1), rows_of(from, bytes, bytes, 1), kind, nullptr, true));
}
cudaError_t cudaMemcpyAsync(void* to, const void* from, std::size_t bytes, cudaMemcpyKind kind,
                            cudaStream_t stream) {
  return finish(
      copy(rows_of(to, bytes, bytes, 1), rows_of(from, bytes, bytes, 1), kind, stream, false));
}
cudaError_t cudaMemcpy2D(void* to, std::size_t to_pitch, const void* from, std::size_t from_pitch,
                         std::size_t width, std::size_t height, cudaMemcpyKind kind) {
  return finish(copy(rows_of(to, to_pitch, width, height), rows_of(from, from_pitch, width, height),
                     kind, nullptr, true));
}
cudaError_t cudaMemcpy2DAsync(void* to, std::size_t to_pitch, const void* from,
                              std::size_t from_pitch, std::size_t width, std::size_t height,
                              cudaMemcpyKind kind, cudaStream_t stream) {
  return finish(copy(rows_of(to, to_pitch, width, height), rows_of(from, from_pitch, width, height),
                     kind, stream, false));
}
cudaError_t cudaMemset(void* to, int value, std::size_t bytes) {
  return finish(fill(to, value, bytes, nullptr, true));
}
cudaError_t cudaMemsetAsync(void* to, int value, std::size_t bytes, cudaStream_t stream) {
  return finish(fill(to, value, bytes, stream, false));
}
