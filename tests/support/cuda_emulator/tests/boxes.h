#pragma once

#include "tests/support/cuda_emulator/tests/launch.h"

#include <cudaTypedefs.h>
#include <cuda_bf16.h>

namespace cuda_emulator::testing {

/// The driver's function that describes a tensor; null where it is not found.
inline PFN_cuTensorMapEncodeTiled_v12000 encoder() {
  void* function = nullptr;
  cudaDriverEntryPointQueryResult found{};
  EXPECT_CUDA(cudaGetDriverEntryPointByVersion("cuTensorMapEncodeTiled", &function, 12000,
                                               cudaEnableDefault, &found));
  EXPECT_EQ(found, cudaDriverEntryPointSuccess);
  return reinterpret_cast<PFN_cuTensorMapEncodeTiled_v12000>(function);
}

/// A matrix of bf16 and the box of it that a copy brings.
struct Matrix {
  void* address = nullptr;
  cuuint64_t columns = 0, rows = 0, row_bytes = 0;
  cuuint32_t box_columns = 0, box_rows = 0;
  CUtensorMapSwizzle swizzle = CU_TENSOR_MAP_SWIZZLE_NONE;
};

inline CUresult encode(const Matrix& m, CUtensorMap* map) {
  const cuuint64_t dimensions[] = {m.columns, m.rows};
  const cuuint32_t box[] = {m.box_columns, m.box_rows}, every[] = {1, 1};
  return encoder()(map, CU_TENSOR_MAP_DATA_TYPE_BFLOAT16, 2, m.address, dimensions, &m.row_bytes,
                   box, every, CU_TENSOR_MAP_INTERLEAVE_NONE, m.swizzle,
                   CU_TENSOR_MAP_L2_PROMOTION_NONE, CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE);
}

inline CUtensorMap map_of(const Matrix& m) {
  CUtensorMap map{};
  EXPECT_EQ(encode(m, &map), CUDA_SUCCESS);
  return map;
}

/// Dynamic shared memory from a multiple of 1024 bytes on, which all swizzles want.
constexpr std::size_t kToPattern = 1024;
template <class T>
T* shared_pattern() {
  const auto address = reinterpret_cast<std::uintptr_t>(cuda_emulator::dynamic_shared_memory());
  return reinterpret_cast<T*>((address + kToPattern - 1) / kToPattern * kToPattern);
}

/// Runs a kernel to its end, with as much dynamic shared memory as it asks for.
template <class... P>
void run_now(const LaunchShape& shape, void (*kernel)(P...), P... arguments) {
  EXPECT_CUDA(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize,
                                   static_cast<int>(shape.shared_bytes)));
  EXPECT_CUDA(launch(shape, kernel, arguments...));
  EXPECT_CUDA(cudaDeviceSynchronize());
}

}  // namespace cuda_emulator::testing
