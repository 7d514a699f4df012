#pragma once

/// Includes the headers that nvcc gives every .cu without an #include; emulator builds pass -include, so
/// that it comes first.
#include "cuda_emulator/device_atomics.h"
#include "cuda_emulator/device_math.h"
#include "cuda_emulator/device_memory.h"
#include "cuda_emulator/device_warp.h"
#include "cuda_emulator/runtime_api.h"
