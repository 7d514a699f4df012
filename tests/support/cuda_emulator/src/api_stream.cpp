#include "cuda_emulator/runtime_api.h"
#include "tests/support/cuda_emulator/src/capture.h"
#include "tests/support/cuda_emulator/src/device.h"
#include "tests/support/cuda_emulator/src/last_error.h"
#include "tests/support/cuda_emulator/src/stream.h"

using namespace cuda_emulator;

namespace {

/// For calls that query or wait for one stream: refuses one that is captured.
cudaError_t refuse_for(const std::shared_ptr<Stream>& stream) {
  if (inside_host_function()) return cudaErrorNotPermitted;
  if (stream == nullptr) return cudaErrorInvalidResourceHandle;
  const std::lock_guard lock(runtime_mutex());
  if (stream->capture) {
    stream->capture->invalidate();
    return cudaErrorStreamCaptureUnsupported;
  }
  return stream->is_legacy ? refuse_while_capturing() : cudaSuccess;
}

}  // namespace

cudaError_t cudaStreamCreateWithPriority(cudaStream_t* stream, unsigned int flags, int priority) {
  if (inside_host_function()) return finish(cudaErrorNotPermitted);
  if (stream == nullptr || flags > cudaStreamNonBlocking) return finish(cudaErrorInvalidValue);
  *stream = handle_of(*make_stream(current_device(), flags, priority));
  return cudaSuccess;
}
cudaError_t cudaStreamCreateWithFlags(cudaStream_t* stream, unsigned int flags) {
  return cudaStreamCreateWithPriority(stream, flags, 0);
}
cudaError_t cudaStreamCreate(cudaStream_t* stream) {
  return cudaStreamCreateWithPriority(stream, cudaStreamDefault, 0);
}

cudaError_t cudaStreamGetPriority(cudaStream_t handle, int* priority) {
  const auto stream = find_stream(handle);
  if (stream == nullptr) return finish(cudaErrorInvalidResourceHandle);
  *priority = stream->priority;
  return cudaSuccess;
}
cudaError_t cudaStreamGetFlags(cudaStream_t handle, unsigned int* flags) {
  const auto stream = find_stream(handle);
  if (stream == nullptr) return finish(cudaErrorInvalidResourceHandle);
  *flags = stream->flags;
  return cudaSuccess;
}

cudaError_t cudaStreamDestroy(cudaStream_t handle) {
  const auto stream = find_stream(handle);
  if (handle == nullptr || stream == nullptr) return finish(cudaErrorInvalidResourceHandle);
  if (stream->capture) stream->capture->invalidate();
  return finish(forget_stream(handle) ? cudaSuccess : cudaErrorInvalidResourceHandle);
}

cudaError_t cudaStreamSynchronize(cudaStream_t handle) {
  const auto stream = find_stream(handle);
  if (const cudaError_t error = refuse_for(stream); error != cudaSuccess) return finish(error);
  wait(end_of(stream));
  return cudaSuccess;
}

cudaError_t cudaStreamQuery(cudaStream_t handle) {
  const auto stream = find_stream(handle);
  if (const cudaError_t error = refuse_for(stream); error != cudaSuccess) return finish(error);
  const Position end = end_of(stream);
  if (reached(end)) return cudaSuccess;
  // The work runs now, but the answer is the earlier state: callers must handle both.
  advance(end);
  return finish(cudaErrorNotReady);
}

cudaError_t cudaLaunchHostFunc(cudaStream_t handle, cudaHostFn_t function, void* user_data) {
  if (inside_host_function()) return finish(cudaErrorNotPermitted);
  const auto stream = find_stream(handle);
  if (stream == nullptr) return finish(cudaErrorInvalidResourceHandle);
  if (function == nullptr) return finish(cudaErrorInvalidValue);
  Work work = work_once("a host function",
                        [function, user_data] { run_host_function(function, user_data); });
  work.touches_device = false;
  return finish(enqueue(stream, std::move(work)));
}
