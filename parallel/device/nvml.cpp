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
  const auto start = reinterpret_cast<int (*)()>(symbol("nvmlInit_v2"));
  const int code = start == nullptr ? -1 : start();
  if (code == 0) return;
  absent_ = fmt::format("{} does not start (code {}): is the driver loaded?", library, code);
  dlclose(library_);
  library_ = nullptr;
}

Nvml::~Nvml() {
  if (library_ == nullptr) return;
  if (const auto stop = reinterpret_cast<int (*)()>(symbol("nvmlShutdown")); stop != nullptr)
    stop();
  dlclose(library_);
}

void* Nvml::symbol(const char* name) const {
  return library_ == nullptr ? nullptr : dlsym(library_, name);
}

std::string Nvml::driver_version() const {
  std::array<char, 96> text{};
  const auto get = reinterpret_cast<int (*)(char*, unsigned)>(symbol("nvmlSystemGetDriverVersion"));
  if (get == nullptr || get(text.data(), text.size() - 1) != 0) return "";
  return text.data();
}

NvmlFacts Nvml::facts(const std::string& pci_bus_id, std::string& error) const {
  NvmlFacts facts;
  error = absent_;
  if (!error.empty()) return facts;
  Handle device = nullptr;
  const auto find =
      reinterpret_cast<int (*)(const char*, Handle*)>(symbol("nvmlDeviceGetHandleByPciBusId_v2"));
  if (const int code = find == nullptr ? -1 : find(pci_bus_id.c_str(), &device); code != 0) {
    error = fmt::format("NVML knows no GPU at {} (code {})", pci_bus_id, code);
    return facts;
  }
  // A fact that this driver or GPU does not give stays -1.
  const auto number = [&](const char* name, int& to) {
    unsigned value = 0;
    const auto get = reinterpret_cast<int (*)(Handle, unsigned*)>(symbol(name));
    if (get != nullptr && get(device, &value) == 0) to = static_cast<int>(value);
  };
  const auto kind = [&](const char* name, int which, int& to) {
    unsigned value = 0;
    const auto get = reinterpret_cast<int (*)(Handle, int, unsigned*)>(symbol(name));
    if (get != nullptr && get(device, which, &value) == 0) to = static_cast<int>(value);
  };
  std::array<char, 96> text{};
  if (const auto get =
          reinterpret_cast<int (*)(Handle, char*, unsigned)>(symbol("nvmlDeviceGetName"));
      get != nullptr && get(device, text.data(), text.size() - 1) == 0)
    facts.name = text.data();
  kind("nvmlDeviceGetClockInfo", kSmClock, facts.sm_clock_mhz);
  kind("nvmlDeviceGetMaxClockInfo", kSmClock, facts.most_sm_clock_mhz);
  kind("nvmlDeviceGetClockInfo", kMemoryClock, facts.memory_clock_mhz);
  kind("nvmlDeviceGetMaxClockInfo", kMemoryClock, facts.most_memory_clock_mhz);
  kind("nvmlDeviceGetTemperature", kGpuTemperature, facts.celsius);
  int milliwatts = -1, most_milliwatts = -1;
  number("nvmlDeviceGetPowerUsage", milliwatts);
  number("nvmlDeviceGetEnforcedPowerLimit", most_milliwatts);
  if (milliwatts >= 0) facts.watts = milliwatts / 1000.0;
  if (most_milliwatts >= 0) facts.most_watts = most_milliwatts / 1000.0;
  unsigned long long reasons = 0;
  if (const auto get = reinterpret_cast<int (*)(Handle, unsigned long long*)>(
          symbol("nvmlDeviceGetCurrentClocksThrottleReasons"));
      get != nullptr && get(device, &reasons) == 0)
    facts.throttle_reasons = static_cast<std::int64_t>(reasons);
  unsigned now = 0, pending = 0;
  if (const auto get =
          reinterpret_cast<int (*)(Handle, unsigned*, unsigned*)>(symbol("nvmlDeviceGetEccMode"));
      get != nullptr && get(device, &now, &pending) == 0)
    facts.ecc = static_cast<int>(now);
  unsigned long long errors = 0;
  if (const auto get = reinterpret_cast<int (*)(Handle, int, int, unsigned long long*)>(
          symbol("nvmlDeviceGetTotalEccErrors"));
      get != nullptr && get(device, kUncorrected, kVolatile, &errors) == 0)
    facts.uncorrected_errors = static_cast<std::int64_t>(errors);
  Memory memory{};
  if (const auto get =
          reinterpret_cast<int (*)(Handle, Memory*)>(symbol("nvmlDeviceGetMemoryInfo"));
      get != nullptr && get(device, &memory) == 0) {
    facts.memory_bytes = static_cast<std::int64_t>(memory.total);
    facts.free_bytes = static_cast<std::int64_t>(memory.free);
  }
  return facts;
}

}  // namespace retinue
