#pragma once

#include "cuda_emulator/error_codes.h"

namespace cuda_emulator {

/// Remembers an error for cudaGetLastError of this thread, and returns it.
cudaError_t finish(cudaError_t error);

}  // namespace cuda_emulator
