#pragma once

// Tested through tests/parallel/comm/communicator_conformance_test.cpp.

#include "parallel/comm/communicator.h"

#include <cstddef>
#include <cstdint>
#include <span>

namespace retinue::detail {

/// The checks of every transport before it moves a byte.   Throws: BugError.
void check_all_reduce(const Communicator& comm, const Stream& stream, DeviceType device,
                      ConstTensorView x);
void check_broadcast(const Communicator& comm, const Stream& stream, DeviceType device,
                     ConstTensorView x, int root);
/// `receives`: false on ranks that ignore recv.
void check_gather(const Communicator& comm, const Stream& stream, DeviceType device,
                  ConstTensorView send, ConstTensorView recv,
                  std::span<const std::int64_t> rows_per_rank, bool receives);
void check_message(const Communicator& comm, const Stream& stream, DeviceType device,
                   ConstTensorView x, int peer, int tag);

/// Bytes of one row of dimension 0; 0 for an empty row.
std::size_t row_bytes(ConstTensorView x);

/// Elements [begin, end): part `index` of `parts` of `count` elements. Parts are whole cache lines
/// of f32, so that no two ranks write the same line.
struct SliceOfCount {
  std::int64_t begin = 0;
  std::int64_t end = 0;
};
constexpr SliceOfCount slice_of_count(std::int64_t count, int index, int parts) {
  constexpr std::int64_t kLine = 16;
  const std::int64_t each = ((count + parts - 1) / parts + kLine - 1) / kLine * kLine;
  const auto at_most_count = [&](std::int64_t at) { return at < count ? at : count; };
  return {at_most_count(each * index), at_most_count(each * (index + 1))};
}

}  // namespace retinue::detail
