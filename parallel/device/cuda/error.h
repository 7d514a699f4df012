#pragma once

// Tested through tests/parallel/comm/nccl/nccl_communicator_test.cpp.

#include <cuda_runtime.h>

namespace retinue::cuda {

/// Throws: SystemError "[cuda] WHAT: cudaErrorName: text" unless `error` is success.
void check_cuda(cudaError_t error, const char* what);

}  // namespace retinue::cuda
