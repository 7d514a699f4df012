#pragma once

#include "cuda_emulator/error_codes.h"

#include <cstddef>
#include <span>

/// Memory of the emulated devices. All of it lies in one reserved range of addresses, one part per
/// device. It can be read or written only while it is open, that is while the emulator runs a
/// kernel or a copy; between allocations lies memory that can never be touched.
namespace cuda_emulator {

struct Allocation {
  char* data = nullptr;
  std::size_t bytes = 0;
  int device = 0;
};

int device_count();
std::size_t device_memory_bytes();
std::size_t device_memory_free(int device);

cudaError_t allocate_device_memory(int device, std::size_t bytes, void** pointer);
/// cudaErrorInvalidValue where `pointer` is no allocation. Ends the program when bytes past its end
/// were written.
cudaError_t release_device_memory(void* pointer);

/// The allocation that contains an address; `data` is null where there is none.
Allocation find_allocation(const void* pointer);
/// The device whose range contains an address, or -1.
int device_of(const void* pointer);
/// The addresses of all devices.
std::span<const char> device_addresses();

/// Keeps the memory of a device open.
class DeviceAccess {
 public:
  explicit DeviceAccess(int device);
  DeviceAccess(const DeviceAccess&) = delete;
  DeviceAccess& operator=(const DeviceAccess&) = delete;
  ~DeviceAccess();

 private:
  int device_;
};

}  // namespace cuda_emulator
