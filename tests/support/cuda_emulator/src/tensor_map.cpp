#include "tests/support/cuda_emulator/src/tensor_map.h"

#include "cuda_emulator/runtime_api.h"
#include "cuda_emulator/simt.h"
#include "tests/support/cuda_emulator/src/device.h"

#include <algorithm>
#include <cstring>
#include <cudaTypedefs.h>
#include <span>

namespace cuda_emulator {
namespace {

constexpr std::uint8_t kElementBytes[] = {1, 2, 4, 4, 8, 8, 2, 4, 8, 2};

template <class T>
bool multiple_of(T value, std::uint64_t of) {
  return static_cast<std::uint64_t>(value) % of == 0;
}

/// Whether the driver accepts the tensor: cuda.h, "cuTensorMapEncodeTiled".
bool is_tensor(std::span<const cuuint64_t> dimensions, std::span<const cuuint64_t> strides,
               const void* address) {
  const auto is_dimension = [](cuuint64_t n) { return n >= 1 && n <= std::uint64_t{1} << 32; };
  const auto is_stride = [](cuuint64_t bytes) {
    return multiple_of(bytes, 16) && bytes < std::uint64_t{1} << 40;
  };
  return std::all_of(dimensions.begin(), dimensions.end(), is_dimension) &&
         std::all_of(strides.begin(), strides.end(), is_stride) &&
         multiple_of(reinterpret_cast<std::uintptr_t>(address), 16);
}

bool is_box(std::span<const cuuint32_t> box, std::uint32_t element_bytes,
            CUtensorMapSwizzle swizzle) {
  if (std::any_of(box.begin(), box.end(), [](cuuint32_t n) { return n < 1 || n > 256; }))
    return false;
  const std::uint32_t row = box[0] * element_bytes;
  const bool fits = swizzle == CU_TENSOR_MAP_SWIZZLE_NONE || row <= 16u << swizzle;
  return fits && multiple_of(row, 16);
}

CUresult encode(CUtensorMap* map, CUtensorMapDataType type, cuuint32_t rank, void* address,
                const cuuint64_t* dimensions, const cuuint64_t* strides, const cuuint32_t* box,
                const cuuint32_t* element_strides, CUtensorMapInterleave interleave,
                CUtensorMapSwizzle swizzle, CUtensorMapL2promotion promotion,
                CUtensorMapFloatOOBfill fill) {
  if (capability().major < 9) return CUDA_ERROR_NOT_SUPPORTED;
  if (!multiple_of(reinterpret_cast<std::uintptr_t>(map), 64) || rank < 1 ||
      rank > TensorMap::kMostDimensions || type > CU_TENSOR_MAP_DATA_TYPE_BFLOAT16 ||
      swizzle > CU_TENSOR_MAP_SWIZZLE_128B || promotion > CU_TENSOR_MAP_L2_PROMOTION_L2_256B) {
    return CUDA_ERROR_INVALID_VALUE;
  }
  const std::uint8_t element_bytes = kElementBytes[type];
  if (!is_tensor({dimensions, rank}, {strides, rank - 1}, address) ||
      !is_box({box, rank}, element_bytes, swizzle)) {
    return CUDA_ERROR_INVALID_VALUE;
  }
  for (cuuint32_t i = 0; i < rank; ++i)
    if (element_strides[i] < 1 || element_strides[i] > 8) return CUDA_ERROR_INVALID_VALUE;
  const bool every_element =
      std::all_of(element_strides, element_strides + rank, [](cuuint32_t n) { return n == 1; });
  if (interleave != CU_TENSOR_MAP_INTERLEAVE_NONE || fill != CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE ||
      !every_element) {
    fail("the emulator has tensor maps without interleaving, strides of elements and NaN as fill");
  }
  TensorMap made{.mark = TensorMap::kMark,
                 .rank = static_cast<std::uint8_t>(rank),
                 .element_bytes = element_bytes,
                 .swizzle = static_cast<std::uint8_t>(swizzle),
                 .address = static_cast<const char*>(address)};
  for (cuuint32_t i = 0; i < rank; ++i) {
    made.last[i] = static_cast<std::uint32_t>(dimensions[i] - 1);
    made.box[i] = static_cast<std::uint16_t>(box[i]);
    if (i > 0) made.strides[i - 1] = strides[i - 1];
  }
  std::memcpy(static_cast<void*>(map), &made, sizeof made);
  return CUDA_SUCCESS;
}

}  // namespace

TensorMap read_map(const CUtensorMap* map) {
  require_aligned(map, 64, "a tensor map");
  TensorMap made;
  std::memcpy(static_cast<void*>(&made), map, sizeof made);
  if (made.mark != TensorMap::kMark) fail("a copy by a tensor map that was not made");
  if (made.rank != 2) fail("a copy of two dimensions by a tensor map of %d", int{made.rank});
  return made;
}

}  // namespace cuda_emulator

cudaError_t cudaGetDriverEntryPointByVersion(const char* symbol, void** function,
                                             unsigned int version, unsigned long long,
                                             cudaDriverEntryPointQueryResult* result) {
  cudaDriverEntryPointQueryResult found = cudaDriverEntryPointSuccess;
  *function = nullptr;
  if (std::strcmp(symbol, "cuTensorMapEncodeTiled") != 0) {
    found = cudaDriverEntryPointSymbolNotFound;
  } else if (version < 12000) {
    found = cudaDriverEntryPointVersionNotSufficent;
  } else {
    const PFN_cuTensorMapEncodeTiled_v12000 encode = cuda_emulator::encode;
    *function = reinterpret_cast<void*>(encode);
  }
  if (result != nullptr) *result = found;
  return cudaSuccess;
}
