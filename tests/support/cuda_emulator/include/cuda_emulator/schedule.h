#pragma once

#include <cstdint>

namespace cuda_emulator {

/// The order in which the emulator runs what a GPU would run at once: blocks of a grid, threads of
/// a block between two rendezvous, independent nodes of a graph. A right kernel gives the same bits
/// in every order; one that lacks a __syncthreads() does not.
enum class Order { kAscending, kDescending, kRandom };

struct Schedule {
  Order order = Order::kAscending;
  std::uint64_t seed = 0;  // of kRandom
};

/// At first what RETINUE_EMULATOR_SCHEDULE says: ascending (default), descending or a number, a
/// seed.
Schedule schedule();

/// For all kernels that start from now on, of all threads.
void set_schedule(Schedule schedule);

}  // namespace cuda_emulator
