#pragma once

#include <cstdint>

namespace cuda_emulator {

/// The order in which the emulator runs work that a GPU would run at once: blocks of a grid,
/// threads of a block between two rendezvous, independent nodes of a graph. A correct kernel gives
/// the same bits in every order; one that lacks a __syncthreads() does not.
enum class Order { kAscending, kDescending, kRandom };

struct Schedule {
  Order order = Order::kAscending;
  std::uint64_t seed = 0;  // of kRandom
};

/// The current schedule. RETINUE_EMULATOR_SCHEDULE sets the first: ascending (default), descending
/// or a number, the seed.
Schedule schedule();

/// Applies to all kernels that any thread starts from now on.
void set_schedule(Schedule schedule);

}  // namespace cuda_emulator
