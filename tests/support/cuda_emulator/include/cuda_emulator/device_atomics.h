#pragma once

#include <atomic>
#include <type_traits>

/// Atomic operations of device code; each returns the old value. They are atomic across devices,
/// too.

namespace cuda_emulator {

template <class T, class Change>
T atomic_change(T* address, Change change) {
  std::atomic_ref<T> value(*address);
  T old = value.load();
  while (!value.compare_exchange_weak(old, change(old))) {
  }
  return old;
}

}  // namespace cuda_emulator

template <class T>
T atomicAdd(T* address, std::type_identity_t<T> operand) {
  return cuda_emulator::atomic_change(address,
                                      [&](T old) { return static_cast<T>(old + operand); });
}
template <class T>
T atomicSub(T* address, std::type_identity_t<T> operand) {
  return cuda_emulator::atomic_change(address,
                                      [&](T old) { return static_cast<T>(old - operand); });
}
template <class T>
T atomicMin(T* address, std::type_identity_t<T> operand) {
  static_assert(std::is_integral_v<T>, "CUDA has no atomicMin of this type");
  return cuda_emulator::atomic_change(address,
                                      [&](T old) { return operand < old ? operand : old; });
}
template <class T>
T atomicMax(T* address, std::type_identity_t<T> operand) {
  static_assert(std::is_integral_v<T>, "CUDA has no atomicMax of this type");
  return cuda_emulator::atomic_change(address,
                                      [&](T old) { return old < operand ? operand : old; });
}
template <class T>
T atomicExch(T* address, std::type_identity_t<T> operand) {
  return cuda_emulator::atomic_change(address, [&](T) { return operand; });
}
template <class T>
T atomicAnd(T* address, std::type_identity_t<T> operand) {
  return cuda_emulator::atomic_change(address, [&](T old) { return old & operand; });
}
template <class T>
T atomicOr(T* address, std::type_identity_t<T> operand) {
  return cuda_emulator::atomic_change(address, [&](T old) { return old | operand; });
}
template <class T>
T atomicXor(T* address, std::type_identity_t<T> operand) {
  return cuda_emulator::atomic_change(address, [&](T old) { return old ^ operand; });
}
template <class T>
T atomicCAS(T* address, std::type_identity_t<T> compare, std::type_identity_t<T> operand) {
  static_assert(std::is_integral_v<T>);
  std::atomic_ref<T> value(*address);
  value.compare_exchange_strong(compare, operand);
  return compare;
}
/// (old >= limit) ? 0 : old + 1
inline unsigned atomicInc(unsigned* address, unsigned limit) {
  return cuda_emulator::atomic_change(address,
                                      [&](unsigned old) { return old >= limit ? 0u : old + 1; });
}
