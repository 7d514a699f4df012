#pragma once

#include <cstdint>
#include <string>

namespace cuda_emulator {

/// The name of the function at an address of this program, also one that the dynamic linker does
/// not know; else the address.
std::string symbol_name(const void* function);

/// Where the program lies in memory.
std::uintptr_t load_address();

}  // namespace cuda_emulator
