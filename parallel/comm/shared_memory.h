#pragma once

#include <string>
#include <string_view>

namespace retinue {

/// What to do where the ranks of a host have too little memory to share.
inline constexpr std::string_view kSharedMemoryAdvice =
    "Ranks of a host exchange messages through /dev/shm: give the container more (docker "
    "--shm-size, --ipc=host), or remove what killed jobs left there.";

/// "/dev/shm has 1.0 MiB free of 64.0 MiB. ", then the advice.
std::string shared_memory_state();

}  // namespace retinue
