#pragma once

#include <cstddef>

/// Page-locked memory of the host. The emulator only keeps a list of it: copies read and write it
/// when they run, and not when they are requested.
namespace cuda_emulator {

void* allocate_host_memory(std::size_t bytes);
/// Whether `pointer` was allocated.
bool release_host_memory(void* pointer);
/// False where it was registered already.
bool register_host_memory(void* pointer, std::size_t bytes);
bool unregister_host_memory(void* pointer);
bool is_page_locked(const void* pointer);

}  // namespace cuda_emulator
