#pragma once

// Tested through tests/layers/ops/matmul_test.cpp.

#include <cstdint>
#include <string_view>

namespace retinue {

/// Instruction sets that the CPU kernels are compiled for, each a superset of the one before. The
/// choice decides bits (it is in the numerics fingerprint), so all ranks of a job must agree.
enum class CpuIsa : std::uint8_t { kBaseline, kAvx2, kAvx512, kAvx512Bf16 };
inline constexpr int kCpuIsas = 4;

constexpr std::string_view name(CpuIsa isa) {
  switch (isa) {
    case CpuIsa::kBaseline:
      return "baseline";
    case CpuIsa::kAvx2:
      return "avx2";
    case CpuIsa::kAvx512:
      return "avx512";
    case CpuIsa::kAvx512Bf16:
      return "avx512_bf16";
  }
  return "?";
}

/// The widest one that this machine supports.
CpuIsa detect_cpu_isa();

}  // namespace retinue
