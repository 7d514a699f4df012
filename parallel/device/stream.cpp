#include "parallel/device/stream.h"

#include "parallel/base/build_config.h"
#include "parallel/base/check.h"
#include "parallel/device/cuda/runtime.h"

#include <chrono>
#include <cstring>

namespace retinue {

namespace {

constexpr bool kCuda = build::kCuda;

void check_backend(Device device) {
  check(device.type == DeviceType::kCpu || kCuda, "this build has no CUDA backend");
}
double now_s() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

}  // namespace

Stream::Stream(Device device, [[maybe_unused]] Urgency urgency) : device_(device) {
  check_backend(device);
  if constexpr (kCuda)
    if (device.type == DeviceType::kCuda)
      native_ = cuda::make_stream(device.index, urgency == Urgency::kBackground);
}

Stream Stream::planned(Device device) {
  Stream stream;
  stream.device_ = device;
  return stream;
}

void Stream::copy(void* to, const void* from, std::size_t size_bytes) const {
  if (size_bytes == 0) return;
  if constexpr (kCuda)
    if (native_) return cuda::copy(native(), to, from, size_bytes);
  std::memcpy(to, from, size_bytes);
}

void Stream::copy_rows(void* to, std::size_t to_pitch, const void* from, std::size_t from_pitch,
                       std::size_t size_bytes, std::size_t rows) const {
  if (size_bytes == 0 || rows == 0) return;
  if constexpr (kCuda)
    if (native_) return cuda::copy_rows(native(), to, to_pitch, from, from_pitch, size_bytes, rows);
  for (std::size_t row = 0; row < rows; ++row)
    std::memcpy(static_cast<std::byte*>(to) + row * to_pitch,
                static_cast<const std::byte*>(from) + row * from_pitch, size_bytes);
}

void Stream::zero(void* to, std::size_t size_bytes) const {
  if (size_bytes == 0) return;
  if constexpr (kCuda)
    if (native_) return cuda::zero(native(), to, size_bytes);
  std::memset(to, 0, size_bytes);
}

bool Stream::finished() const {
  if constexpr (kCuda)
    if (native_) return cuda::finished(native());
  return true;
}

void Stream::synchronize() const {
  if constexpr (kCuda)
    if (native_) cuda::synchronize(native());
}

Event::Event(Device device) {
  check_backend(device);
  if constexpr (kCuda)
    if (device.type == DeviceType::kCuda) native_ = cuda::make_event(device.index);
}

void Event::record(const Stream& stream) {
  if constexpr (kCuda)
    if (native_) return cuda::record(native_.get(), stream.native());
  recorded_s_ = now_s();
}

void Event::hold(const Stream& stream) const {
  if constexpr (kCuda)
    if (native_) cuda::hold(stream.native(), native_.get());
}

bool Event::passed() const {
  if constexpr (kCuda)
    if (native_) return cuda::passed(native_.get());
  return true;
}

void Event::synchronize() const {
  if constexpr (kCuda)
    if (native_) cuda::synchronize_event(native_.get());
}

double Event::seconds_since(const Event& begin) const {
  if constexpr (kCuda)
    if (native_) return cuda::seconds_between(begin.native_.get(), native_.get());
  return recorded_s_ - begin.recorded_s_;
}

}  // namespace retinue
