#pragma once

namespace cuda_emulator {

/// The device that the calling thread has chosen with cudaSetDevice; 0 at first.
int current_device();

}  // namespace cuda_emulator
