#pragma once

#include <cstddef>
#include <nccl.h>

namespace cuda_emulator {

/// 0 for types that are not emulated.
std::size_t size_of(ncclDataType_t type);

/// accumulator = accumulator op operand, element by element, each rounded to the type.
void reduce_into(void* accumulator, const void* operand, std::size_t count, ncclDataType_t type,
                 ncclRedOp_t op);
/// The last step of ncclAvg.
void divide(void* values, std::size_t count, ncclDataType_t type, int by);

}  // namespace cuda_emulator
