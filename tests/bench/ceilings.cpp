#include "tests/bench/ceilings.h"

#include <cstdint>
#include <cstring>
#include <ctime>
#include <immintrin.h>
#include <thread>
#include <vector>

namespace retinue::bench {

namespace {

constexpr std::int64_t kSteps = 1 << 20;
/// Number of independent sums: more than latency times instructions per cycle.
constexpr int kSums = 16;

// The empty asm hides a value from the compiler, which would else see that all sums are equal.
__attribute__((target("avx512f,avx512bw,avx512vl,avx512dq,avx512bf16"))) double bf16_flops() {
  __m512 sum[kSums] = {};
  for (__m512& s : sum) __asm__ volatile("" : "+v"(s));
  __m512i a = _mm512_set1_epi32(0x3F803F80), b = _mm512_set1_epi32(0x3F003F00);
  for (std::int64_t i = 0; i < kSteps; ++i) {
    __asm__ volatile("" : "+v"(a), "+v"(b));
#pragma GCC unroll 16
    for (__m512& s : sum)
      s = _mm512_dpbf16_ps(s, reinterpret_cast<__m512bh>(a), reinterpret_cast<__m512bh>(b));
  }
  for (__m512& s : sum) __asm__ volatile("" : "+v"(s));
  return 64.0 * kSums * kSteps;
}
__attribute__((target("avx512f"))) double avx512_flops() {
  __m512 sum[kSums] = {};
  for (__m512& s : sum) __asm__ volatile("" : "+v"(s));
  __m512 a = _mm512_set1_ps(1), b = _mm512_set1_ps(0.5F);
  for (std::int64_t i = 0; i < kSteps; ++i) {
    __asm__ volatile("" : "+v"(a), "+v"(b));
#pragma GCC unroll 16
    for (__m512& s : sum) s = _mm512_fmadd_ps(a, b, s);
  }
  for (__m512& s : sum) __asm__ volatile("" : "+v"(s));
  return 32.0 * kSums * kSteps;
}
__attribute__((target("avx2,fma"))) double avx2_flops() {
  constexpr int kFew = 12;
  __m256 sum[kFew] = {};
  for (__m256& s : sum) __asm__ volatile("" : "+x"(s));
  __m256 a = _mm256_set1_ps(1), b = _mm256_set1_ps(0.5F);
  for (std::int64_t i = 0; i < kSteps; ++i) {
    __asm__ volatile("" : "+x"(a), "+x"(b));
#pragma GCC unroll 16
    for (__m256& s : sum) s = _mm256_fmadd_ps(a, b, s);
  }
  for (__m256& s : sum) __asm__ volatile("" : "+x"(s));
  return 16.0 * kFew * kSteps;
}
double sse_flops() {
  constexpr int kFew = 8;
  __m128 sum[kFew] = {};
  for (__m128& s : sum) __asm__ volatile("" : "+x"(s));
  __m128 a = _mm_set1_ps(1), b = _mm_set1_ps(0.5F);
  for (std::int64_t i = 0; i < kSteps; ++i) {
    __asm__ volatile("" : "+x"(a), "+x"(b));
#pragma GCC unroll 8
    for (__m128& s : sum) s = _mm_add_ps(s, _mm_mul_ps(a, b));
  }
  for (__m128& s : sum) __asm__ volatile("" : "+x"(s));
  return 8.0 * kFew * kSteps;
}

/// Eight streams with a sum each, so that neither dependencies nor the width of loads is a limit.
template <class Vector>
__attribute__((always_inline)) inline void read_streams(const std::byte* data,
                                                        std::size_t size_bytes) {
  constexpr int kStreams = 8;
  constexpr std::size_t kLine = 64;
  const std::size_t per_stream = size_bytes / kStreams / kLine * kLine;
  Vector sum[kStreams] = {};
  for (std::size_t i = 0; i < per_stream; i += kLine)
#pragma GCC unroll 8
    for (int s = 0; s < kStreams; ++s)
      for (std::size_t part = 0; part < kLine; part += sizeof(Vector))
        sum[s] ^= *reinterpret_cast<const Vector*>(data + static_cast<std::size_t>(s) * per_stream +
                                                   i + part);
  for (Vector& x : sum) __asm__ volatile("" : : "m"(x));
}
using Wide = long long __attribute__((vector_size(64), aligned(16), may_alias));
using Narrow = long long __attribute__((vector_size(16), aligned(16), may_alias));
__attribute__((target("avx512f"))) void read_wide(const std::byte* data, std::size_t size_bytes) {
  read_streams<Wide>(data, size_bytes);
}
void read_narrow(const std::byte* data, std::size_t size_bytes) {
  read_streams<Narrow>(data, size_bytes);
}

}  // namespace

double seconds_of(int threads, const std::function<void()>& body) {
  const auto now = [&] {
    timespec t;
    clock_gettime(threads == 1 ? CLOCK_THREAD_CPUTIME_ID : CLOCK_MONOTONIC, &t);
    return static_cast<double>(t.tv_sec) + 1e-9 * static_cast<double>(t.tv_nsec);
  };
  const double start = now();
  body();
  return now() - start;
}

void on_threads(int threads, const std::function<void(int)>& body) {
  std::vector<std::thread> others;
  for (int i = 1; i < threads; ++i) others.emplace_back(body, i);
  body(0);
  for (std::thread& other : others) other.join();
}

double register_peak(CpuIsa isa, bool bf16, int threads) {
  const auto kernel = bf16 && isa == CpuIsa::kAvx512Bf16 ? bf16_flops
                      : isa >= CpuIsa::kAvx512           ? avx512_flops
                      : isa == CpuIsa::kAvx2             ? avx2_flops
                                                         : sse_flops;
  double flops = 0;
  const double seconds = seconds_of(threads, [&] {
    on_threads(threads, [&](int i) {
      const double done = kernel();
      if (i == 0) flops = done * threads;
    });
  });
  return flops / seconds;
}

double read_bandwidth(const std::byte* data, std::size_t size_bytes, int threads) {
  const std::size_t part = size_bytes / static_cast<std::size_t>(threads);
  const auto read = detect_cpu_isa() >= CpuIsa::kAvx512 ? read_wide : read_narrow;
  const double seconds = seconds_of(threads, [&] {
    on_threads(threads, [&](int i) { read(data + static_cast<std::size_t>(i) * part, part); });
  });
  return static_cast<double>(part) * threads / seconds;
}

double copy_bandwidth(std::byte* to, const std::byte* from, std::size_t size_bytes, int threads) {
  const std::size_t part = size_bytes / static_cast<std::size_t>(threads);
  const double seconds = seconds_of(threads, [&] {
    on_threads(threads, [&](int i) {
      std::memcpy(to + static_cast<std::size_t>(i) * part,
                  from + static_cast<std::size_t>(i) * part, part);
    });
  });
  return 2 * static_cast<double>(part) * threads / seconds;
}

}  // namespace retinue::bench
