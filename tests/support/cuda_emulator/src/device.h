#pragma once

namespace cuda_emulator {

/// The device that the calling thread has chosen with cudaSetDevice; 0 at first.
int current_device();

/// What all devices claim to be. RETINUE_EMULATOR_CAPABILITY sets it at any time, 9.0 is the default.
struct Capability {
  int major = 9, minor = 0;
};
Capability capability();

/// The most dynamic shared memory of a thread block of that capability.
int shared_bytes_per_block(Capability capability);

}  // namespace cuda_emulator
