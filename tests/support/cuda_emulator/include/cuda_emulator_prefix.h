#pragma once

/// What nvcc gives every .cu without an #include; in emulator builds the compiler is told to
/// include it first.
#include "cuda_emulator/device_atomics.h"
#include "cuda_emulator/device_math.h"
#include "cuda_emulator/device_memory.h"
#include "cuda_emulator/device_warp.h"
#include "cuda_emulator/runtime_api.h"
