#include "cuda_emulator/schedule.h"

#include "cuda_emulator/simt.h"

#include <cstdlib>
#include <cstring>
#include <mutex>

namespace cuda_emulator {
namespace {

Schedule from_environment() {
  const char* text = std::getenv("RETINUE_EMULATOR_SCHEDULE");
  if (text == nullptr || std::strcmp(text, "ascending") == 0) return {};
  if (std::strcmp(text, "descending") == 0) return {.order = Order::kDescending};
  char* end = nullptr;
  const std::uint64_t seed = std::strtoull(text, &end, 10);
  if (end == text || *end != '\0') {
    fail("RETINUE_EMULATOR_SCHEDULE is \"%s\"; wanted ascending, descending or a number", text);
  }
  return {.order = Order::kRandom, .seed = seed};
}

std::mutex mutex;

Schedule& current() {
  static Schedule value = from_environment();
  return value;
}

}  // namespace

Schedule schedule() {
  std::lock_guard lock(mutex);
  return current();
}

void set_schedule(Schedule schedule) {
  std::lock_guard lock(mutex);
  current() = schedule;
}

}  // namespace cuda_emulator
