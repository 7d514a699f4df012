#pragma once
// Tested through tests/runtime/jobs/verbs_test.cpp.

#include <cstdint>

namespace retinue::runtime {

/// The memory that is free on this host now, or that its cgroup still allows, if this is less.
std::int64_t free_host_memory();

/// The bytes that one of `local_ranks` ranks of this host may plan with: its part of four fifths of
/// free_host_memory(). Call it before any of these ranks allocates.
std::int64_t memory_per_rank(int local_ranks);

}  // namespace retinue::runtime
