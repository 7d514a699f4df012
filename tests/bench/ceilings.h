#pragma once

#include "parallel/device/cpu/isa.h"

#include <cstddef>
#include <functional>

namespace retinue::bench {

/// Seconds that `body` takes: with one thread its CPU time, which another process on the core does
/// not lengthen; with several, wall time.
double seconds_of(int threads, const std::function<void()>& body);
/// Runs body(i) on `threads` threads at once, i from 0.
void on_threads(int threads, const std::function<void(int)>& body);

/// Multiply-adds in registers only, in FLOP/s over all threads: the cores' limit without memory.
/// bf16: the pair product of AVX-512 BF16, where the machine has it; else f32.
double register_peak(CpuIsa isa, bool bf16, int threads);
/// Bytes/s of reading `data` once; each thread reads its part in eight streams.
double read_bandwidth(const std::byte* data, std::size_t size_bytes, int threads);
/// Bytes/s of memcpy, read plus written; each thread copies its part.
double copy_bandwidth(std::byte* to, const std::byte* from, std::size_t size_bytes, int threads);

}  // namespace retinue::bench
