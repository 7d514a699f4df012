#pragma once

#include "parallel/comm/communicator.h"

#include <functional>
#include <string>

namespace retinue::runtime {

/// Runs `work` on rank 0 alone; what it throws, every rank throws. Collective. For reading what one
/// rank reads for all: a fault of the user's must end all ranks alike.
void on_coordinator(Communicator& world, const std::function<void()>& work);

/// Messages between the ranks of a job, on the world. They come in between at any time, so they are
/// looked for and never waited for.
enum class JobTag : int { kCounts = 1, kStop = 2, kEnd = 3 };

/// Rank 0 tells every other rank that the job is over, with its exit code.
void announce_end(Communicator& world, int exit_code);

/// On all but rank 0: waits for announce_end, however long the others still run.
int await_end(Communicator& world);

}  // namespace retinue::runtime
