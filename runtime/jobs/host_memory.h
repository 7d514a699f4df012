#pragma once

#include <cstdint>

namespace retinue::runtime {

/// Bytes that one of `local_ranks` ranks of this host may plan with: its part of nine tenths of the
/// memory that host and cgroup allow. What is in use by others is not taken off, so that the same
/// command plans the same.
std::int64_t memory_per_rank(int local_ranks);

}  // namespace retinue::runtime
