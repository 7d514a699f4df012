#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace retinue {

/// The driver's facts about one GPU. Unknown numbers are -1.
struct NvmlFacts {
  std::string name;
  int sm_clock_mhz = -1, most_sm_clock_mhz = -1;
  int memory_clock_mhz = -1, most_memory_clock_mhz = -1;
  /// Bits of nvmlClocksThrottleReasons: kHeldBack and others.
  std::int64_t throttle_reasons = -1;
  int ecc = -1;                          ///< 0 off, 1 on
  std::int64_t uncorrected_errors = -1;  ///< memory errors since the driver was loaded
  std::int64_t memory_bytes = -1, free_bytes = -1;
  int celsius = -1;
  double watts = -1, most_watts = -1;  ///< now, and the limit set
};

/// Throttle reasons that show a fault or a limit of the machine: hardware slowdown 0x8, thermal
/// 0x20 and 0x40, power brake 0x80. Idleness (0x1) and the usual power cap (0x4) are normal.
inline constexpr std::int64_t kHeldBack = 0xE8;

/// The NVIDIA management library, loaded at run time and not linked, so that machines without it
/// run the same program.  https://docs.nvidia.com/deploy/nvml-api
class Nvml {
 public:
  /// `library`: another file for tests.
  explicit Nvml(const std::string& library = "libnvidia-ml.so.1");
  ~Nvml();
  Nvml(const Nvml&) = delete;
  Nvml& operator=(const Nvml&) = delete;

  /// Why the library is not available; empty when it is.
  [[nodiscard]] const std::string& absent() const { return absent_; }
  /// "560.35.03"; empty when absent.
  [[nodiscard]] std::string driver_version() const;
  /// The GPU at "0000:17:00.0". `error`: why no fact is known, else empty.
  [[nodiscard]] NvmlFacts facts(const std::string& pci_bus_id, std::string& error) const;

 private:
  /// Calls a function of the library; returns its code, -1 where the library lacks it. Argument
  /// types are those of NVML's declaration.
  template <class... Arguments>
  int call(const char* name, Arguments... arguments) const;

  void* library_ = nullptr;
  std::string absent_;
};

}  // namespace retinue
