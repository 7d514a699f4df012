#pragma once

#include "cuda_emulator/qualifiers.h"

/// CUDA's small vectors, with its sizes and alignments.
#define CUDA_EMULATOR_VECTOR(name, element, alignment1, alignment2, alignment4)           \
  struct alignas(alignment1) name##1 {                                                    \
    element x;                                                                            \
  };                                                                                      \
  struct alignas(alignment2) name##2 {                                                    \
    element x, y;                                                                         \
  };                                                                                      \
  struct name##3 {                                                                        \
    element x, y, z;                                                                      \
  };                                                                                      \
  struct alignas(alignment4) name##4 {                                                    \
    element x, y, z, w;                                                                   \
  };                                                                                      \
  constexpr name##1 make_##name##1(element x) { return {x}; }                             \
  constexpr name##2 make_##name##2(element x, element y) { return {x, y}; }               \
  constexpr name##3 make_##name##3(element x, element y, element z) { return {x, y, z}; } \
  constexpr name##4 make_##name##4(element x, element y, element z, element w) {          \
    return {x, y, z, w};                                                                  \
  }

CUDA_EMULATOR_VECTOR(char, signed char, 1, 2, 4)
CUDA_EMULATOR_VECTOR(uchar, unsigned char, 1, 2, 4)
CUDA_EMULATOR_VECTOR(short, short, 2, 4, 8)
CUDA_EMULATOR_VECTOR(ushort, unsigned short, 2, 4, 8)
CUDA_EMULATOR_VECTOR(int, int, 4, 8, 16)
CUDA_EMULATOR_VECTOR(uint, unsigned int, 4, 8, 16)
CUDA_EMULATOR_VECTOR(float, float, 4, 8, 16)
CUDA_EMULATOR_VECTOR(long, long, 8, 16, 16)
CUDA_EMULATOR_VECTOR(ulong, unsigned long, 8, 16, 16)
CUDA_EMULATOR_VECTOR(longlong, long long, 8, 16, 16)
CUDA_EMULATOR_VECTOR(ulonglong, unsigned long long, 8, 16, 16)
CUDA_EMULATOR_VECTOR(double, double, 8, 16, 16)
#undef CUDA_EMULATOR_VECTOR

struct dim3 {
  unsigned int x = 1, y = 1, z = 1;
  constexpr dim3(unsigned int vx = 1, unsigned int vy = 1, unsigned int vz = 1)
      : x(vx), y(vy), z(vz) {}
  constexpr dim3(uint3 v) : x(v.x), y(v.y), z(v.z) {}
  constexpr operator uint3() const { return {x, y, z}; }
};
