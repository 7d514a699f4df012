// Named ranges on a profiler's time line: header-only NVTX, which costs nothing without a profiler.
#include "parallel/device/cuda/runtime.h"

#include <nvtx3/nvToolsExt.h>

namespace retinue::cuda {

void push_range(const char* name) { nvtxRangePushA(name); }
void pop_range() { nvtxRangePop(); }

}  // namespace retinue::cuda
