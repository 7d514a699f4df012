#pragma once

#include "cuda_emulator/ranges.h"

/// The plain ranges of NVTX 3; cuda_emulator/ranges.h records them.
inline int nvtxRangePushA(const char* message) {
  cuda_emulator::open_range("", message);
  return cuda_emulator::open_range_depth() - 1;
}
inline int nvtxRangePop() { return cuda_emulator::close_range(); }
inline void nvtxMarkA(const char* message) { cuda_emulator::record_mark("", message); }
#define nvtxRangePush nvtxRangePushA
#define nvtxMark nvtxMarkA
