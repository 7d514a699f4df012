#pragma once

#include "parallel/device/cpu/isa.h"

#include <cstddef>
#include <functional>

namespace retinue::bench {

/// Seconds that `body` takes. With one thread it is that thread's CPU time, which a neighbour that
/// takes turns on the core does not lengthen; with several, time on the wall.
double seconds_of(int threads, const std::function<void()>& body);
/// body(i) on `threads` threads at once, i from 0.
void on_threads(int threads, const std::function<void(int)>& body);

/// Multiply-adds in registers only, in FLOP/s over all threads: what a core can do, whatever the
/// memory does. bf16: the pair product of AVX-512 BF16, where the machine has it; else as f32.
double register_peak(CpuIsa isa, bool bf16, int threads);
/// Bytes/s of reading `data` once, each thread its part in eight streams.
double read_bandwidth(const std::byte* data, std::size_t size_bytes, int threads);
/// Bytes/s, read and written together, of memcpy, each thread its part.
double copy_bandwidth(std::byte* to, const std::byte* from, std::size_t size_bytes, int threads);

}  // namespace retinue::bench
