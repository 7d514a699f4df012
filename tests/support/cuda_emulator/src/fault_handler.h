#pragma once

#include <cstddef>

namespace cuda_emulator {

/// Explains faults in the given range of device memory, and those of emulated threads, and ends the
/// program; leaves other faults to the handler that was installed before.
void install_fault_handler(const char* base, std::size_t bytes);

/// Gives the calling thread a stack for the handler, which must work when an emulated thread's
/// stack is full.
void use_fault_stack();

}  // namespace cuda_emulator
