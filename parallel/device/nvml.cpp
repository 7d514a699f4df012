#include "parallel/device/nvml.h"

#include <fmt/format.h>

#include <array>
#include <dlfcn.h>

namespace retinue {

namespace {

// From NVML's documentation: every function returns 0 for success, a device is an opaque pointer.
using Handle = void*;
constexpr int kSmClock = 1, kMemoryClock = 2;
constexpr int kUncorrected = 1, kVolatile = 0;
constexpr int kGpuTemperature = 0;

struct Memory {
  unsigned long long total, free, used;
};

}  // namespace

Nvml::Nvml(const std::string& library) : library_(dlopen(library.c_str(), RTLD_NOW | RTLD_LOCAL)) {
  if (library_ == nullptr) {
    absent_ = fmt::format("{} is not installed", library);
    return;
  }
  const int code = call("nvmlInit_v2");
  if (code == 0) return;
  absent_ = fmt::format("{} does not start (code {}): is the driver loaded?", library, code);
  dlclose(library_);
  library_ = nullptr;
}

Nvml::~Nvml() {
  if (library_ == nullptr) return;
  call("nvmlShutdown");
  dlclose(library_);
}

template <class... Arguments>
int Nvml::call(const char* name, Arguments... arguments) const {
  const auto function = library_ == nullptr ? nullptr : dlsym(library_, name);
  return function == nullptr ? -1 : reinterpret_cast<int (*)(Arguments...)>(function)(arguments...);
}

std::string Nvml::driver_version() const {
  std::array<char, 96> text{};
  const auto size = static_cast<unsigned>(text.size() - 1);
  return call("nvmlSystemGetDriverVersion", text.data(), size) == 0 ? text.data() : "";
}

NvmlFacts Nvml::facts(const std::string& pci_bus_id, std::string& error) const {
  NvmlFacts facts;
  error = absent_;
  if (!error.empty()) return facts;
  Handle device = nullptr;
  if (const int code = call("nvmlDeviceGetHandleByPciBusId_v2", pci_bus_id.c_str(), &device);
      code != 0) {
    error = fmt::format("NVML knows no GPU at {} (code {})", pci_bus_id, code);
    return facts;
  }
  // A fact that this driver or GPU does not give stays -1.
  const auto number = [&](int& to, const char* name, auto... which) {
    unsigned value = 0;
    if (call(name, device, which..., &value) == 0) to = static_cast<int>(value);
  };
  std::array<char, 96> text{};
  if (call("nvmlDeviceGetName", device, text.data(), static_cast<unsigned>(text.size() - 1)) == 0)
    facts.name = text.data();
  number(facts.sm_clock_mhz, "nvmlDeviceGetClockInfo", kSmClock);
  number(facts.most_sm_clock_mhz, "nvmlDeviceGetMaxClockInfo", kSmClock);
  number(facts.memory_clock_mhz, "nvmlDeviceGetClockInfo", kMemoryClock);
  number(facts.most_memory_clock_mhz, "nvmlDeviceGetMaxClockInfo", kMemoryClock);
  number(facts.celsius, "nvmlDeviceGetTemperature", kGpuTemperature);
  int milliwatts = -1, most_milliwatts = -1;
  number(milliwatts, "nvmlDeviceGetPowerUsage");
  number(most_milliwatts, "nvmlDeviceGetEnforcedPowerLimit");
  if (milliwatts >= 0) facts.watts = milliwatts / 1000.0;
  if (most_milliwatts >= 0) facts.most_watts = most_milliwatts / 1000.0;
  unsigned long long reasons = 0;
  if (call("nvmlDeviceGetCurrentClocksThrottleReasons", device, &reasons) == 0)
    facts.throttle_reasons = static_cast<std::int64_t>(reasons);
  unsigned now = 0, pending = 0;
  if (call("nvmlDeviceGetEccMode", device, &now, &pending) == 0) facts.ecc = static_cast<int>(now);
  unsigned long long errors = 0;
  if (call("nvmlDeviceGetTotalEccErrors", device, kUncorrected, kVolatile, &errors) == 0)
    facts.uncorrected_errors = static_cast<std::int64_t>(errors);
  Memory memory{};
  if (call("nvmlDeviceGetMemoryInfo", device, &memory) == 0) {
    facts.memory_bytes = static_cast<std::int64_t>(memory.total);
    facts.free_bytes = static_cast<std::int64_t>(memory.free);
  }
  return facts;
}

}  // namespace retinue
