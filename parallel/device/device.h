#pragma once

// Tested through tests/parallel/device/memory_test.cpp.

#include <cstdint>
#include <string>

namespace retinue {

enum class DeviceType : std::uint8_t { kCpu, kCuda };

struct Device {
  DeviceType type = DeviceType::kCpu;
  int index = 0;

  friend bool operator==(Device, Device) = default;
};

/// "cpu" or "cuda:1".
std::string to_string(Device device);

/// Zero-sized tags: an op has one overload per backend and on_backend chooses it.
struct Cpu {};
struct Cuda {};

}  // namespace retinue
