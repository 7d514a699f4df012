#include "tests/support/cuda_emulator/src/nccl_reduction.h"

#include <algorithm>
#include <cstdint>
#include <cuda_bf16.h>

namespace cuda_emulator {
namespace {

/// Calls `f` with a null pointer to the C++ type of the element type.
template <class F>
void with_type(ncclDataType_t type, F f) {
  switch (type) {
    case ncclInt8:
      return f(static_cast<std::int8_t*>(nullptr));
    case ncclUint8:
      return f(static_cast<std::uint8_t*>(nullptr));
    case ncclInt32:
      return f(static_cast<std::int32_t*>(nullptr));
    case ncclUint32:
      return f(static_cast<std::uint32_t*>(nullptr));
    case ncclInt64:
      return f(static_cast<std::int64_t*>(nullptr));
    case ncclUint64:
      return f(static_cast<std::uint64_t*>(nullptr));
    case ncclFloat32:
      return f(static_cast<float*>(nullptr));
    case ncclFloat64:
      return f(static_cast<double*>(nullptr));
    case ncclBfloat16:
      return f(static_cast<__nv_bfloat16*>(nullptr));
    default:
      return;
  }
}

template <class T>
T combine(T a, T b, ncclRedOp_t op) {
  switch (op) {
    case ncclProd:
      return static_cast<T>(a * b);
    case ncclMax:
      return std::max(a, b);
    case ncclMin:
      return std::min(a, b);
    default:
      return static_cast<T>(a + b);
  }
}

__nv_bfloat16 combine(__nv_bfloat16 a, __nv_bfloat16 b, ncclRedOp_t op) {
  return __float2bfloat16_rn(combine(__bfloat162float(a), __bfloat162float(b), op));
}

}  // namespace

std::size_t size_of(ncclDataType_t type) {
  std::size_t bytes = 0;
  with_type(type, [&](auto* null) { bytes = sizeof *null; });
  return bytes;
}

void reduce_into(void* accumulator, const void* operand, std::size_t count, ncclDataType_t type,
                 ncclRedOp_t op) {
  with_type(type, [&]<class T>(T*) {
    auto* to = static_cast<T*>(accumulator);
    const auto* from = static_cast<const T*>(operand);
    for (std::size_t i = 0; i < count; ++i) to[i] = combine(to[i], from[i], op);
  });
}

void divide(void* values, std::size_t count, ncclDataType_t type, int by) {
  with_type(type, [&]<class T>(T*) {
    auto* to = static_cast<T*>(values);
    for (std::size_t i = 0; i < count; ++i) {
      if constexpr (std::is_same_v<T, __nv_bfloat16>) {
        to[i] = __float2bfloat16_rn(__bfloat162float(to[i]) / static_cast<float>(by));
      } else {
        to[i] = static_cast<T>(to[i] / static_cast<T>(by));
      }
    }
  });
}

}  // namespace cuda_emulator
