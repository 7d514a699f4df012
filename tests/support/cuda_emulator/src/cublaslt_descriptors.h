#pragma once

#include <cublasLt.h>

/// The object behind cuBLASLt's opaque handle; descriptors are in cuda_emulator/cublaslt_types.h,
/// since callers may own them.

struct cublasLtContext {
  int device = 0;
};
