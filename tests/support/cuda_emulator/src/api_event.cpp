#include "cuda_emulator/runtime_api.h"
#include "tests/support/cuda_emulator/src/capture.h"
#include "tests/support/cuda_emulator/src/device.h"
#include "tests/support/cuda_emulator/src/last_error.h"
#include "tests/support/cuda_emulator/src/stream.h"

#include <chrono>
#include <map>
#include <optional>

namespace cuda_emulator {
namespace {

using Clock = std::chrono::steady_clock;

struct Event {
  int device = 0;
  bool timing = true;
  Position position;  // of the latest record; without a stream when there was none
  std::shared_ptr<std::optional<Clock::time_point>> time;
  std::shared_ptr<Capture> capture;  // where the latest record was captured
  std::vector<int> nodes;
};

std::map<const void*, std::shared_ptr<Event>>& live_events() {
  static auto* map = new std::map<const void*, std::shared_ptr<Event>>;
  return *map;
}

std::shared_ptr<Event> find_event(cudaEvent_t handle) {
  const std::lock_guard lock(runtime_mutex());
  const auto found = live_events().find(handle);
  return found == live_events().end() ? nullptr : found->second;
}

/// For calls that wait for an event: refuses one that was captured.
cudaError_t refuse_for(const std::shared_ptr<Event>& event) {
  if (inside_host_function()) return cudaErrorNotPermitted;
  if (event == nullptr) return cudaErrorInvalidResourceHandle;
  const std::lock_guard lock(runtime_mutex());
  if (event->capture) {
    event->capture->invalidate();
    return cudaErrorCapturedEvent;
  }
  return cudaSuccess;
}

}  // namespace
}  // namespace cuda_emulator

using namespace cuda_emulator;

cudaError_t cudaEventCreateWithFlags(cudaEvent_t* handle, unsigned int flags) {
  if (inside_host_function()) return finish(cudaErrorNotPermitted);
  if (handle == nullptr) return finish(cudaErrorInvalidValue);
  auto event = std::make_shared<Event>();
  event->device = current_device();
  event->timing = (flags & cudaEventDisableTiming) == 0;
  *handle = reinterpret_cast<cudaEvent_t>(event.get());
  const std::lock_guard lock(runtime_mutex());
  live_events()[event.get()] = event;
  return cudaSuccess;
}
cudaError_t cudaEventCreate(cudaEvent_t* event) {
  return cudaEventCreateWithFlags(event, cudaEventDefault);
}

cudaError_t cudaEventDestroy(cudaEvent_t handle) {
  const std::lock_guard lock(runtime_mutex());
  return finish(live_events().erase(handle) == 1 ? cudaSuccess : cudaErrorInvalidResourceHandle);
}

cudaError_t cudaEventRecord(cudaEvent_t handle, cudaStream_t stream_handle) {
  if (inside_host_function()) return finish(cudaErrorNotPermitted);
  const std::lock_guard lock(runtime_mutex());
  const auto event = find_event(handle);
  const auto stream = find_stream(stream_handle);
  if (event == nullptr || stream == nullptr || event->device != stream->device) {
    return finish(cudaErrorInvalidResourceHandle);
  }
  if (stream->capture) {
    if (!stream->capture->valid()) return finish(cudaErrorStreamCaptureInvalidated);
    event->capture = stream->capture;
    event->nodes = stream->capture_tail;
    return cudaSuccess;
  }
  event->capture.reset();
  event->time = std::make_shared<std::optional<Clock::time_point>>();
  Work work = work_once("an event", [time = event->time] { *time = Clock::now(); });
  work.touches_device = false;
  const cudaError_t error = enqueue(stream, std::move(work));
  event->position = end_of(stream);
  return finish(error);
}
cudaError_t cudaEventRecordWithFlags(cudaEvent_t event, cudaStream_t stream, unsigned int flags) {
  if (flags != cudaEventRecordDefault) return finish(cudaErrorNotSupported);
  return cudaEventRecord(event, stream);
}

cudaError_t cudaStreamWaitEvent(cudaStream_t stream_handle, cudaEvent_t handle,
                                unsigned int flags) {
  if (inside_host_function()) return finish(cudaErrorNotPermitted);
  const std::lock_guard lock(runtime_mutex());
  const auto event = find_event(handle);
  const auto stream = find_stream(stream_handle);
  if (event == nullptr || stream == nullptr) return finish(cudaErrorInvalidResourceHandle);
  if (flags != cudaEventWaitDefault) return finish(cudaErrorNotSupported);
  if (event->capture) {
    if (!event->capture->valid()) return finish(cudaErrorCapturedEvent);
    if (stream->is_legacy) {
      event->capture->invalidate();
      return finish(cudaErrorStreamCaptureImplicit);
    }
    if (stream->capture && stream->capture != event->capture) {
      stream->capture->invalidate();
      event->capture->invalidate();
      return finish(cudaErrorStreamCaptureMerge);
    }
    return finish(event->capture->join(stream, event->nodes));
  }
  if (event->position.stream == nullptr) return cudaSuccess;  // never recorded: nothing to wait for
  if (stream->capture) {
    stream->capture->invalidate();
    return finish(cudaErrorStreamCaptureIsolation);
  }
  Work work = work_once("a wait for an event", [] {});
  work.touches_device = false;
  return finish(enqueue(stream, std::move(work), {event->position}));
}

cudaError_t cudaEventSynchronize(cudaEvent_t handle) {
  const auto event = find_event(handle);
  if (const cudaError_t error = refuse_for(event); error != cudaSuccess) return finish(error);
  wait(event->position);
  return cudaSuccess;
}

cudaError_t cudaEventQuery(cudaEvent_t handle) {
  const auto event = find_event(handle);
  if (const cudaError_t error = refuse_for(event); error != cudaSuccess) return finish(error);
  if (reached(event->position)) return cudaSuccess;
  advance(event->position);  // see cudaStreamQuery
  return finish(cudaErrorNotReady);
}

cudaError_t cudaEventElapsedTime(float* milliseconds, cudaEvent_t start, cudaEvent_t end) {
  const auto first = find_event(start), last = find_event(end);
  if (first == nullptr || last == nullptr || !first->timing || !last->timing ||
      first->position.stream == nullptr || last->position.stream == nullptr) {
    return finish(cudaErrorInvalidResourceHandle);
  }
  if (!reached(first->position) || !reached(last->position)) return finish(cudaErrorNotReady);
  *milliseconds = std::chrono::duration<float, std::milli>(**last->time - **first->time).count();
  return cudaSuccess;
}
