#pragma once

#include "cuda_emulator/simt.h"

/// Loads and stores with a hint for the caches. The emulator checks their alignment and ignores the
/// hint.

namespace cuda_emulator {

template <class T>
T checked_load(const T* from) {
  require_aligned(from, alignof(T), "a load");
  return *from;
}
template <class T>
void checked_store(T* to, T value) {
  require_aligned(to, alignof(T), "a store");
  *to = value;
}

}  // namespace cuda_emulator

template <class T>
T __ldg(const T* from) {
  return cuda_emulator::checked_load(from);
}
template <class T>
T __ldca(const T* from) {
  return cuda_emulator::checked_load(from);
}
template <class T>
T __ldcg(const T* from) {
  return cuda_emulator::checked_load(from);
}
template <class T>
T __ldcs(const T* from) {
  return cuda_emulator::checked_load(from);
}
template <class T>
T __ldlu(const T* from) {
  return cuda_emulator::checked_load(from);
}
template <class T>
T __ldcv(const T* from) {
  return cuda_emulator::checked_load(from);
}
template <class T>
void __stwb(T* to, T value) {
  cuda_emulator::checked_store(to, value);
}
template <class T>
void __stcg(T* to, T value) {
  cuda_emulator::checked_store(to, value);
}
template <class T>
void __stcs(T* to, T value) {
  cuda_emulator::checked_store(to, value);
}
template <class T>
void __stwt(T* to, T value) {
  cuda_emulator::checked_store(to, value);
}
