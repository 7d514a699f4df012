#include "parallel/device/staging.h"

#include "parallel/base/check.h"

namespace retinue {

StagingRing::StagingRing(MemoryLedger& ledger, Device device, std::size_t piece_bytes)
    : piece_bytes_(piece_bytes),
      buffer_(Buffer::staging(
          ledger, device, static_cast<std::size_t>(bytes(static_cast<std::int64_t>(piece_bytes))))),
      passed_{Event(device), Event(device)} {}

std::byte* StagingRing::next() {
  piece_ = 1 - piece_;
  passed_[piece_].synchronize();
  return buffer_.data() + piece_ * piece_bytes_;
}

std::byte* upload(Context& ctx, std::byte* staged, std::size_t size_bytes) {
  if (ctx.device().type == DeviceType::kCpu) return staged;
  const TensorView copy = ctx.alloc(Shape{static_cast<std::int64_t>(size_bytes)}, DType::kU8);
  if (!ctx.planning()) ctx.stream().copy(copy.bytes(), staged, size_bytes);
  return copy.bytes();
}

const std::byte* download(const Context& ctx, ConstTensorView value, std::byte* staged) {
  check(value.is_contiguous(), "download wants a contiguous value");
  if (ctx.device().type == DeviceType::kCpu) return value.bytes();
  ctx.stream().copy(staged, value.bytes(), value.size_bytes());
  return staged;
}

}  // namespace retinue
