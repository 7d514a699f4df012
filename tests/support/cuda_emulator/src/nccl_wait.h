#pragma once

#include <memory>
#include <nccl.h>

namespace cuda_emulator {

struct Communicator;

/// Polls until nothing is pending, or the communicator is aborted.
ncclResult_t wait_until_done(Communicator& communicator);

/// Between ncclGroupStart and ncclGroupEnd of this thread.
bool in_group();
/// ncclGroupEnd finishes it.
void finish_with_group(std::shared_ptr<Communicator> communicator);

}  // namespace cuda_emulator
