#pragma once

#include <cstdint>

namespace retinue::runtime {

/// What is free on this host now, or less, where a cgroup allows less.
std::int64_t free_host_memory();

/// Bytes that one of `local_ranks` ranks of this host may plan with: its part of four fifths of
/// what is free now, or that its cgroup allows. To be asked before any of these ranks allocates.
std::int64_t memory_per_rank(int local_ranks);

}  // namespace retinue::runtime
