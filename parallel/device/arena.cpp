#include "parallel/device/arena.h"

#include "parallel/base/check.h"

#include <fmt/format.h>

#include <algorithm>

namespace retinue {

std::byte* Arena::allocate(std::size_t size_bytes) {
  const std::size_t begin = used_;
  used_ += (size_bytes + kAlignment - 1) / kAlignment * kAlignment;
  peak_ = std::max(peak_, used_);
  // Not null, so that offsets into a planned view are defined; never dereferenced.
  if (planning_) return reinterpret_cast<std::byte*>(kAlignment) + begin;  // NOLINT
  if (used_ > buffer_.size_bytes())
    throw BugError(fmt::format("[arena] a step needs {} bytes of activations, the plan has {}",
                               used_, buffer_.size_bytes()));
  return buffer_.data() + begin;
}

void Arena::release(std::size_t mark) {
  check(mark <= used_, "arena frames end in reverse order");
  used_ = mark;
}

}  // namespace retinue
