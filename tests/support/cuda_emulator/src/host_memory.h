#pragma once

#include <cstddef>

/// Page-locked memory of the host. To the emulator it is memory with a name: copies read and write
/// it when they run, and not when they are asked for.
namespace cuda_emulator {

void* allocate_host_memory(std::size_t bytes);
/// Whether `pointer` was allocated.
bool release_host_memory(void* pointer);
/// Whether it was not registered yet.
bool register_host_memory(void* pointer, std::size_t bytes);
bool unregister_host_memory(void* pointer);
bool is_page_locked(const void* pointer);

}  // namespace cuda_emulator
