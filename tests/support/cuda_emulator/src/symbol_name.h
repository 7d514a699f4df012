#pragma once

#include <string>

namespace cuda_emulator {

/// The name of the function at an address of this program, or the address: also of functions that
/// the dynamic linker does not know.
std::string symbol_name(const void* function);

}  // namespace cuda_emulator
