#include "tests/support/cuda_emulator/src/async_proxy.h"

#include "cuda_emulator/simt.h"

#include <algorithm>
#include <cstring>

namespace cuda_emulator {
namespace {

constexpr int kNaNByte = 0xFF;

/// The box without swizzle: row after row, zeros beyond the tensor.
std::vector<char> read_box(const BoxCopy& copy) {
  const TensorMap& map = copy.map;
  std::vector<char> box(copy.bytes());
  const std::int64_t columns = std::int64_t{map.last[0]} + 1, rows = std::int64_t{map.last[1]} + 1;
  const std::int64_t first = std::max(copy.column, 0);
  const std::int64_t end = std::min(columns, std::int64_t{copy.column} + map.box[0]);
  for (std::int64_t i = 0; i < map.box[1] && first < end; ++i) {
    const std::int64_t row = copy.row + i;
    if (row < 0 || row >= rows) continue;
    const char* const from = map.address + row * static_cast<std::int64_t>(map.strides[0]);
    std::memcpy(box.data() + i * map.row_bytes() + (first - copy.column) * map.element_bytes,
                from + first * map.element_bytes,
                static_cast<std::size_t>((end - first) * map.element_bytes));
  }
  return box;
}

}  // namespace

void AsyncProxy::begin_block(std::span<char> dynamic_shared) {
  shared_ = dynamic_shared;
  view_.clear();
  copies_.clear();
}

void AsyncProxy::end_block() const {
  if (!copies_.empty()) fail("a block ends while %zu of its copies are under way", copies_.size());
}

void AsyncProxy::make_view() {
  if (view_.empty()) view_.assign(shared_.size(), static_cast<char>(kNaNByte));
}

void AsyncProxy::fence() {
  make_view();
  std::copy(shared_.begin(), shared_.end(), view_.begin());
}

void AsyncProxy::require_visible(const char* at, std::size_t bytes, const char* operation) {
  make_view();
  if (at < shared_.data() || at + bytes > shared_.data() + shared_.size())
    fail("%s: %zu bytes that are not all dynamic shared memory", operation, bytes);
  if (std::memcmp(at, view_of(at), bytes) != 0)
    fail("%s: threads wrote to the shared memory without fence_proxy_async behind it", operation);
}

void AsyncProxy::start(const BoxCopy& copy) {
  const TensorMap& map = copy.map;
  if (map.swizzle != 0 && map.row_bytes() != 16u << map.swizzle)
    fail("copy_box_2d: the emulator has rows of %u bytes for this swizzle, not of %u",
         16u << map.swizzle, map.row_bytes());
  require_aligned(copy.to, map.pattern_bytes(), "the shared address of copy_box_2d");
  require_visible(copy.to, copy.bytes(), "copy_box_2d");
  for (const BoxCopy& other : copies_)
    if (copy.to < other.to + other.bytes() && other.to < copy.to + copy.bytes())
      fail("copy_box_2d: another copy to the same bytes is under way");
  std::memset(copy.to, kNaNByte, copy.bytes());
  std::memset(view_of(copy.to), kNaNByte, copy.bytes());
  copies_.push_back(copy);
}

BoxCopy AsyncProxy::land(std::size_t index) {
  const BoxCopy copy = copies_[index];
  copies_.erase(copies_.begin() + static_cast<std::ptrdiff_t>(index));
  const char* const end = copy.to + copy.bytes();
  if (std::any_of(static_cast<const char*>(copy.to), end,
                  [](char byte) { return byte != static_cast<char>(kNaNByte); }))
    fail("threads wrote to the shared memory to which a copy is under way");
  const std::vector<char> box = read_box(copy);
  const std::uint32_t span = 16u << copy.map.swizzle;
  for (std::uint32_t at = 0; at < box.size(); at += 16)
    std::memcpy(copy.to + swizzled(at, span), box.data() + at, 16);
  std::memcpy(view_of(copy.to), copy.to, copy.bytes());
  return copy;
}

}  // namespace cuda_emulator
