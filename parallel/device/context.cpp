#include "parallel/device/context.h"

#include "parallel/base/check.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

namespace retinue {

Context::Context(Stream stream, int threads) : stream_(std::move(stream)), threads_(threads) {
  check(threads >= 1, "a context has at least one thread");
}

Context::Context(Device device, int threads, Buffer activations, Buffer scratch, Urgency urgency)
    : Context(Stream(device, urgency), threads) {
  arena_ = Arena(std::move(activations));
  scratch_ = std::move(scratch);
}

Context Context::plan(Device device, int threads) {
  return Context(Stream::planned(device), threads);
}

TensorView Context::alloc(const Shape& shape, DType dtype) {
  const std::size_t bytes = static_cast<std::size_t>(shape.numel()) * size_bytes(dtype);
  return {arena_.allocate(bytes), dtype, shape};
}

std::byte* Context::scratch(std::size_t size_bytes) {
  peak_scratch_ = std::max(peak_scratch_, size_bytes);
  if (planning()) return reinterpret_cast<std::byte*>(Arena::kAlignment);  // NOLINT: never read
  if (size_bytes > scratch_.size_bytes())
    throw BugError(fmt::format("[scratch] an op needs {} bytes, the plan has {}", size_bytes,
                               scratch_.size_bytes()));
  return scratch_.data();
}

}  // namespace retinue
