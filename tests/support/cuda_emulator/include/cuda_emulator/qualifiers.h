#pragma once

// Standard headers that use __attribute__((__noinline__)) are included before it becomes a macro.
#include <memory>

/// CUDA's qualifiers for a host compiler.
#define __global__
#define __device__
#define __host__
#define __constant__
#define __grid_constant__
#define __managed__
#define __noinline__ __attribute__((noinline))
#define __forceinline__ inline __attribute__((always_inline))
#define __align__(bytes) __attribute__((aligned(bytes)))
#define __launch_bounds__(...)
#define __cluster_dims__(...)

/// The blocks of a launch run one after the other on one thread of the host. An alignment is
/// written as `__shared__ __align__(16)` or `alignas(16) __shared__`. Without constinit, arrays of
/// classes have a guard variable, which threads would race for.
#define __shared__ static constinit thread_local

#define __builtin_assume(condition) static_cast<void>(0)
