#include "parallel/device/memory.h"

#include "parallel/base/build_config.h"
#include "parallel/base/check.h"
#include "parallel/device/cuda/runtime.h"

#include <fmt/format.h>

#include <cstdlib>
#include <sys/mman.h>
#include <utility>

namespace retinue {

std::string to_string(Device device) {
  return device.type == DeviceType::kCpu ? "cpu" : fmt::format("cuda:{}", device.index);
}

const char* name(MemoryTag tag) {
  constexpr std::array<const char*, kMemoryTags> kNames = {"weights", "kv",      "activations",
                                                           "scratch", "staging", "features"};
  return kNames[static_cast<std::size_t>(tag)];
}

std::int64_t MemoryLedger::total_bytes() const {
  std::int64_t total = 0;
  for (const auto& bytes : bytes_) total += bytes;
  return total;
}

std::string MemoryLedger::to_string() const {
  std::string text;
  for (std::size_t i = 0; i < kMemoryTags; ++i)
    if (const std::int64_t bytes = bytes_[i]; bytes > 0)
      text += fmt::format("{}{} {:.1f} MiB", text.empty() ? "" : ", ",
                          name(static_cast<MemoryTag>(i)), static_cast<double>(bytes) / 1048576.0);
  return text.empty() ? "nothing" : text;
}

namespace {

std::byte* allocate_host(std::size_t size_bytes) {
  // Large buffers take huge pages: a panel of weights or a tile of rows spans many small ones, and
  // crossing a page costs an address translation and stops the prefetchers of current cores.
  constexpr std::size_t kHugePage = std::size_t{2} << 20;
  const std::size_t alignment = size_bytes >= kHugePage ? kHugePage : Buffer::kAlignment;
  const std::size_t rounded = (size_bytes + alignment - 1) / alignment * alignment;
  if (rounded < size_bytes) return nullptr;
  void* data = std::aligned_alloc(alignment, rounded);
  // Only advice: a kernel without a free huge page gives small ones.
  if (data != nullptr && alignment == kHugePage) madvise(data, rounded, MADV_HUGEPAGE);
  return static_cast<std::byte*>(data);
}

}  // namespace

Buffer::Buffer(MemoryLedger& ledger, Device device, std::size_t size_bytes, MemoryTag tag)
    : Buffer(ledger, device, size_bytes, tag,
             device.type == DeviceType::kCpu ? Kind::kHost : Kind::kDevice) {}

Buffer Buffer::staging(MemoryLedger& ledger, Device device, std::size_t size_bytes) {
  return {ledger, Device{}, size_bytes, MemoryTag::kStaging,
          device.type == DeviceType::kCpu ? Kind::kHost : Kind::kPinned};
}

Buffer::Buffer(MemoryLedger& ledger, Device device, std::size_t size_bytes, MemoryTag tag,
               Kind kind)
    : ledger_(&ledger), size_bytes_(size_bytes), device_(device), tag_(tag), kind_(kind) {
  check(kind == Kind::kHost || build::kCuda, "this build allocates host memory only");
  if (size_bytes == 0) return;
  const bool asked_to_fail = ledger.fail_after_ > 0 && --ledger.fail_after_ == 0;
  if (!asked_to_fail) {
    if (kind == Kind::kHost) data_ = allocate_host(size_bytes);
    if constexpr (build::kCuda) {
      if (kind == Kind::kPinned) data_ = static_cast<std::byte*>(cuda::allocate_pinned(size_bytes));
      if (kind == Kind::kDevice)
        data_ = static_cast<std::byte*>(cuda::allocate(device.index, size_bytes));
    }
  }
  if (data_ == nullptr)
    throw SystemError(
        fmt::format("[memory] {} has no {:.1f} MiB left for {}. In use: {}. Lower --kv-memory-gib, "
                    "--max-batch-tokens or --max-pixels, or use more ranks.",
                    retinue::to_string(device), static_cast<double>(size_bytes) / 1048576.0,
                    name(tag), ledger.to_string()));
  ledger.bytes_[static_cast<std::size_t>(tag)] += static_cast<std::int64_t>(size_bytes);
}

Buffer::~Buffer() {
  if (data_ == nullptr) return;
  ledger_->bytes_[static_cast<std::size_t>(tag_)] -= static_cast<std::int64_t>(size_bytes_);
  if (kind_ == Kind::kHost) std::free(data_);
  if constexpr (build::kCuda) {
    if (kind_ == Kind::kPinned) cuda::release_pinned(data_);
    if (kind_ == Kind::kDevice) cuda::release(device_.index, data_);
  }
}

void Buffer::swap(Buffer& other) noexcept {
  std::swap(ledger_, other.ledger_);
  std::swap(data_, other.data_);
  std::swap(size_bytes_, other.size_bytes_);
  std::swap(device_, other.device_);
  std::swap(tag_, other.tag_);
  std::swap(kind_, other.kind_);
}

}  // namespace retinue
