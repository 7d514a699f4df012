#include "tests/support/cuda_emulator/src/stream.h"

#include "tests/support/cuda_emulator/src/capture.h"
#include "tests/support/cuda_emulator/src/device.h"
#include "tests/support/cuda_emulator/src/device_memory.h"

#include <algorithm>
#include <chrono>
#include <map>
#include <optional>
#include <thread>
#include <utility>

namespace cuda_emulator {
namespace {

/// Every stream that has a handle or work, by address; never destroyed, since other destructors use
/// it.
std::map<const Stream*, std::shared_ptr<Stream>>& live_streams() {
  static auto* map = new std::map<const Stream*, std::shared_ptr<Stream>>;
  return *map;
}
std::vector<std::shared_ptr<Stream>>& abandoned_streams() {
  static auto* list = new std::vector<std::shared_ptr<Stream>>;
  return *list;
}
std::map<int, std::shared_ptr<Stream>>& legacy_streams() {
  static auto* map = new std::map<int, std::shared_ptr<Stream>>;
  return *map;
}

std::shared_ptr<Stream> legacy_stream(int device) {
  auto& stream = legacy_streams()[device];
  if (!stream) {
    stream = std::make_shared<Stream>();
    stream->device = device;
    stream->is_legacy = true;
  }
  return stream;
}

/// The device memory that the running flush holds open.
struct Flush {
  int depth = 0;
  int device = -1;
  std::optional<DeviceAccess> access;
};
thread_local Flush flush;
thread_local bool in_host_function = false;

class FlushDepth {
 public:
  FlushDepth() { ++flush.depth; }
  FlushDepth(const FlushDepth&) = delete;
  FlushDepth& operator=(const FlushDepth&) = delete;
  ~FlushDepth() {
    if (--flush.depth == 0) use_device_memory(-1);
  }
};

}  // namespace

std::recursive_mutex& runtime_mutex() {
  static auto* mutex = new std::recursive_mutex;
  return *mutex;
}

Work work_once(std::string name, std::function<void()> action) {
  return {std::move(name), [action = std::move(action)]() -> Step {
            return [&action] {
              action();
              return true;
            };
          }};
}

std::shared_ptr<Stream> make_stream(int device, unsigned int flags, int priority) {
  auto stream = std::make_shared<Stream>();
  stream->device = device;
  stream->flags = flags;
  stream->priority = priority;
  const std::lock_guard lock(runtime_mutex());
  live_streams()[stream.get()] = stream;
  return stream;
}

cudaStream_t handle_of(const Stream& stream) {
  return reinterpret_cast<cudaStream_t>(const_cast<Stream*>(&stream));
}

std::shared_ptr<Stream> find_stream(cudaStream_t handle) {
  const std::lock_guard lock(runtime_mutex());
  if (handle == nullptr || handle == cudaStreamLegacy) return legacy_stream(current_device());
  const auto found = live_streams().find(reinterpret_cast<const Stream*>(handle));
  return found == live_streams().end() ? nullptr : found->second;
}

bool forget_stream(cudaStream_t handle) {
  const std::lock_guard lock(runtime_mutex());
  const auto found = live_streams().find(reinterpret_cast<const Stream*>(handle));
  if (found == live_streams().end()) return false;
  if (found->second->completed < found->second->enqueued)
    abandoned_streams().push_back(found->second);
  live_streams().erase(found);
  return true;
}

std::vector<std::shared_ptr<Stream>> streams_of(int device) {
  const std::lock_guard lock(runtime_mutex());
  std::erase_if(abandoned_streams(), [](const auto& s) { return s->completed == s->enqueued; });
  std::vector<std::shared_ptr<Stream>> all{legacy_stream(device)};
  for (const auto& [address, stream] : live_streams()) {
    if (stream->device == device) all.push_back(stream);
  }
  for (const auto& stream : abandoned_streams()) {
    if (stream->device == device) all.push_back(stream);
  }
  return all;
}

cudaError_t enqueue(const std::shared_ptr<Stream>& stream, Work work, std::vector<Position> after) {
  const std::lock_guard lock(runtime_mutex());
  if (stream->capture) return stream->capture->add(*stream, std::move(work));
  // Work of the legacy stream and of blocking streams waits for each other.
  if (stream->is_legacy) {
    for (const auto& other : streams_of(stream->device)) {
      if (!other->joins_legacy()) continue;
      if (other->capture) {
        other->capture->invalidate();
        return cudaErrorStreamCaptureImplicit;
      }
      after.push_back(end_of(other));
    }
  } else if (stream->joins_legacy()) {
    after.push_back(end_of(legacy_stream(stream->device)));
  }
  std::erase_if(after, [](const Position& p) { return reached(p); });
  stream->queue.push_back({std::move(work), std::move(after), {}});
  ++stream->enqueued;
  return cudaSuccess;
}

Position end_of(const std::shared_ptr<Stream>& stream) {
  const std::lock_guard lock(runtime_mutex());
  return {stream, stream->enqueued};
}

bool reached(const Position& position) {
  const std::lock_guard lock(runtime_mutex());
  return position.stream == nullptr || position.stream->completed >= position.sequence;
}

bool advance(const Position& position) {
  const FlushDepth depth;
  std::unique_lock lock(runtime_mutex());
  if (position.stream == nullptr) return true;
  Stream& stream = *position.stream;
  while (stream.completed < position.sequence) {
    if (stream.running) return false;
    stream.running = true;
    QueuedWork& item = stream.queue.front();
    lock.unlock();
    bool done = true;
    for (const Position& earlier : item.after) done = done && advance(earlier);
    if (done) {
      if (!item.step) item.step = item.work.start();
      use_device_memory(item.work.touches_device ? stream.device : -1);
      done = item.step();
    }
    lock.lock();
    stream.running = false;
    if (!done) return false;
    ++stream.completed;
    const QueuedWork ended = std::move(stream.queue.front());
    stream.queue.pop_front();
  }
  return true;
}

void wait(const Position& position) {
  for (int attempt = 0; !advance(position); ++attempt) {
    if (attempt < 100) {
      std::this_thread::yield();
    } else {
      std::this_thread::sleep_for(std::chrono::microseconds(100));
    }
  }
}

void wait_for_device(int device) {
  for (const auto& stream : streams_of(device)) wait(end_of(stream));
}

void use_device_memory(int device) {
  if (flush.device == device) return;
  flush.access.reset();
  flush.device = device;
  if (device >= 0) flush.access.emplace(device);
}

bool inside_host_function() { return in_host_function; }

void run_host_function(cudaHostFn_t function, void* user_data) {
  in_host_function = true;
  function(user_data);
  in_host_function = false;
}

}  // namespace cuda_emulator
