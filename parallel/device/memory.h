#pragma once

#include "parallel/device/device.h"

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <string>

namespace retinue {

/// The owner of a byte; the memory plan and out-of-memory messages print bytes by tag.
enum class MemoryTag : std::uint8_t { kWeights, kKv, kActivations, kScratch, kStaging, kFeatures };
inline constexpr std::size_t kMemoryTags = 6;
const char* name(MemoryTag tag);

/// Bytes in use on one device of one rank, by tag. Outlives the buffers that it counts.
class MemoryLedger {
 public:
  /// Fails the n-th allocation from now on, once; 0: never. For tests.
  void fail_after(int allocations) { fail_after_ = allocations; }
  [[nodiscard]] std::int64_t bytes(MemoryTag tag) const {
    return bytes_[static_cast<std::size_t>(tag)];
  }
  [[nodiscard]] std::int64_t total_bytes() const;
  /// "weights 1.2 GB, kv 300 MB, …"
  [[nodiscard]] std::string to_string() const;

 private:
  friend class Buffer;
  std::array<std::atomic<std::int64_t>, kMemoryTags> bytes_{};
  std::atomic<int> fail_after_ = 0;
};

/// Bytes on a device. Owns them; move-only. Contents are not initialised.
class Buffer {
 public:
  static constexpr std::size_t kAlignment = 256;

  Buffer() = default;
  /// Throws: SystemError when there is no memory, with bytes by tag.
  Buffer(MemoryLedger& ledger, Device device, std::size_t size_bytes, MemoryTag tag);
  /// Host memory for copies from and to `device`: pinned where that makes them asynchronous.
  static Buffer staging(MemoryLedger& ledger, Device device, std::size_t size_bytes);
  Buffer(Buffer&& other) noexcept { swap(other); }
  Buffer& operator=(Buffer&& other) noexcept {
    Buffer(std::move(other)).swap(*this);
    return *this;
  }
  ~Buffer();

  [[nodiscard]] std::byte* data() const { return data_; }
  [[nodiscard]] std::size_t size_bytes() const { return size_bytes_; }
  [[nodiscard]] Device device() const { return device_; }

 private:
  enum class Kind : std::uint8_t { kHost, kPinned, kDevice };

  Buffer(MemoryLedger& ledger, Device device, std::size_t size_bytes, MemoryTag tag, Kind kind);
  void swap(Buffer& other) noexcept;

  MemoryLedger* ledger_ = nullptr;
  std::byte* data_ = nullptr;
  std::size_t size_bytes_ = 0;
  Device device_;
  MemoryTag tag_ = MemoryTag::kWeights;
  Kind kind_ = Kind::kHost;
};

}  // namespace retinue
