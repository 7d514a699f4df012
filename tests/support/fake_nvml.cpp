// A fake libnvidia-ml.so.1 with one GPU at 0000:17:00.0. RETINUE_FAKE_NVML=broken: initialisation
// fails; old: most queries fail, as on old GPUs.
#include <cstdlib>
#include <cstring>
#include <string_view>

namespace {
int gpu = 0;
bool is(const char* state) {
  const char* set = std::getenv("RETINUE_FAKE_NVML");
  return set != nullptr && std::string_view(set) == state;
}
constexpr int kNotSupported = 3, kNotFound = 6, kNotLoaded = 9;
struct Memory {
  unsigned long long total, free, used;
};
}  // namespace

extern "C" {
int nvmlInit_v2() { return is("broken") ? kNotLoaded : 0; }
int nvmlShutdown() { return 0; }
int nvmlSystemGetDriverVersion(char* text, unsigned size) {
  std::strncpy(text, "560.35.03", size);
  return 0;
}
int nvmlDeviceGetHandleByPciBusId_v2(const char* id, void** device) {
  *device = &gpu;
  return std::string_view(id) == "0000:17:00.0" ? 0 : kNotFound;
}
int nvmlDeviceGetName(void*, char* text, unsigned size) {
  std::strncpy(text, "NVIDIA Something", size);
  return 0;
}
int nvmlDeviceGetClockInfo(void*, int kind, unsigned* mhz) {
  *mhz = kind == 1 ? 1200 : kind == 2 ? 2619 : 1;
  return 0;
}
int nvmlDeviceGetMaxClockInfo(void*, int kind, unsigned* mhz) {
  *mhz = kind == 1 ? 1980 : kind == 2 ? 2620 : 1;
  return is("old") ? kNotSupported : 0;
}
int nvmlDeviceGetTemperature(void*, int, unsigned* celsius) {
  *celsius = 61;
  return 0;
}
int nvmlDeviceGetPowerUsage(void*, unsigned* milliwatts) {
  *milliwatts = 312500;
  return 0;
}
int nvmlDeviceGetEnforcedPowerLimit(void*, unsigned* milliwatts) {
  *milliwatts = 700000;
  return 0;
}
int nvmlDeviceGetCurrentClocksThrottleReasons(void*, unsigned long long* reasons) {
  *reasons = 0x44;
  return 0;
}
int nvmlDeviceGetEccMode(void*, unsigned* now, unsigned* pending) {
  *now = 1, *pending = 0;
  return is("old") ? kNotSupported : 0;
}
int nvmlDeviceGetTotalEccErrors(void*, int kind, int counter, unsigned long long* errors) {
  *errors = kind == 1 && counter == 0 ? 4 : 1000;
  return is("old") ? kNotSupported : 0;
}
int nvmlDeviceGetMemoryInfo(void*, Memory* memory) {
  *memory = {80'000'000'000, 79'000'000'000, 1'000'000'000};
  return 0;
}
}
