#pragma once

// Tested through tests/parallel/comm/nccl/nccl_communicator_test.cpp.

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <utility>

/// The CUDA runtime for the rest of `parallel/device`, without CUDA's headers; handles are void*.
/// Declared in every build, defined in builds with a CUDA backend: callers are inside
/// `if constexpr (build::kCuda)`.
/// Throws: SystemError with the call, and CUDA's own name and text of the error.
namespace retinue::cuda {

/// The number of devices that this process can use; when it is 0, the reason.
struct Availability {
  int devices = 0;
  std::string reason;
};
Availability availability();

struct DeviceFacts {
  std::string name;
  int major = 0, minor = 0;  ///< compute capability
  int multiprocessors = 0;
  std::int64_t memory_bytes = 0;
  std::int64_t l2_bytes = 0;
  std::string pci_bus_id;  ///< "0000:17:00.0", as in /sys/bus/pci/devices
};
/// Keeps the current device, and makes no context on the device.
DeviceFacts device_facts(int index);
/// The major and minor compute capability alone, quickly enough for every op.
std::pair<int, int> compute_capability(int index);
/// 13000 is 13.0. driver_version() is the newest runtime that the driver serves; 0: no driver.
int driver_version();
int runtime_version();
/// Makes no context on the device.
std::string pci_bus_id(int index);
/// Whether a kernel on `from` can read the memory of `to`, over NVLink or PCIe.
bool can_access_peer(int from, int to);
/// Makes `index` the calling thread's current device.
void use_device(int index);
/// Free memory of `index`; makes it the calling thread's current device.
std::int64_t free_bytes(int index);

/// Null when there is no memory left.
void* allocate(int device, std::size_t size_bytes);
void release(int device, void* data) noexcept;
/// Host memory that devices copy from and to without staging; null when there is none left.
void* allocate_pinned(std::size_t size_bytes);
void release_pinned(void* data) noexcept;

/// A stream of the device's greatest priority, or of its least.
std::shared_ptr<void> make_stream(int device, bool background);
void copy(void* stream, void* to, const void* from, std::size_t size_bytes);
void copy_rows(void* stream, void* to, std::size_t to_pitch, const void* from,
               std::size_t from_pitch, std::size_t size_bytes, std::size_t rows);
void zero(void* stream, void* to, std::size_t size_bytes);
bool finished(void* stream);
void synchronize(void* stream);

std::shared_ptr<void> make_event(int device);
void record(void* event, void* stream);
void hold(void* stream, void* event);
bool passed(void* event);
void synchronize_event(void* event);
double seconds_between(void* begin, void* end);

/// Records what `work` enqueues on the stream, without running it.
std::shared_ptr<void> capture(void* stream, const std::function<void()>& work);
/// Enqueues all of a capture at once.
void launch(void* graph, void* stream);

/// A named range on the time line of a profiler, around the calls that enqueue an op.
void push_range(const char* name);
void pop_range();
/// Throws when a launch since the last call of this thread was refused; names the op.
void check_launch(const char* op);

}  // namespace retinue::cuda
