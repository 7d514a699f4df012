#pragma once

// Tested through tests/parallel/base/clock_test.cpp.

#include <ctime>

namespace retinue {

/// Processor seconds that the calling thread has used so far.
inline double thread_cpu_s() {
  timespec time{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
  return static_cast<double>(time.tv_sec) + 1e-9 * static_cast<double>(time.tv_nsec);
}

}  // namespace retinue
