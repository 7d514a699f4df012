#pragma once

// Tested through tests/layers/ops/matmul_tuning_test.cpp.

#include <string>

namespace retinue::cuda {

/// "13.1.0", of the library that is loaded. Defined in builds with a CUDA backend.
std::string cublaslt_version();

}  // namespace retinue::cuda
