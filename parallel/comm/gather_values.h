#pragma once

// Tested through tests/parallel/comm/sweep_test.cpp.

#include "parallel/comm/communicator.h"

#include <type_traits>
#include <vector>

namespace retinue {

/// Every rank's value of a trivially copyable T, in the order of ranks. Collective; host
/// communicators only.
template <class T>
std::vector<T> gather_values(Communicator& comm, const T& mine) {
  static_assert(std::is_trivially_copyable_v<T>);
  std::vector<T> all(static_cast<std::size_t>(comm.size()));
  const auto row = static_cast<std::int64_t>(sizeof(T));
  comm.all_gather(
      Stream{Device{}},
      ConstTensorView(reinterpret_cast<const std::byte*>(&mine), DType::kU8, Shape{1, row}),
      TensorView(reinterpret_cast<std::byte*>(all.data()), DType::kU8, Shape{comm.size(), row}),
      std::vector<std::int64_t>(all.size(), 1));
  return all;
}

}  // namespace retinue
