#include "cuda_emulator/runtime_api.h"
#include "tests/support/cuda_emulator/src/capture.h"
#include "tests/support/cuda_emulator/src/last_error.h"
#include "tests/support/cuda_emulator/src/stream.h"

#include <map>

namespace cuda_emulator {
namespace {

/// Graphs and executable graphs; the two kinds of handles are distinct.
struct Graphs {
  std::map<const void*, std::shared_ptr<Graph>> graphs, executables;
};
Graphs& live_graphs() {
  static auto* graphs = new Graphs;
  return *graphs;
}

std::shared_ptr<Graph> find(const std::map<const void*, std::shared_ptr<Graph>>& map,
                            const void* handle) {
  const std::lock_guard lock(runtime_mutex());
  const auto found = map.find(handle);
  return found == map.end() ? nullptr : found->second;
}

}  // namespace
}  // namespace cuda_emulator

using namespace cuda_emulator;

cudaError_t cudaStreamBeginCapture(cudaStream_t handle, cudaStreamCaptureMode mode) {
  if (inside_host_function()) return finish(cudaErrorNotPermitted);
  const std::lock_guard lock(runtime_mutex());
  const auto stream = find_stream(handle);
  if (stream == nullptr) return finish(cudaErrorInvalidResourceHandle);
  if (stream->is_legacy) return finish(cudaErrorStreamCaptureUnsupported);
  if (stream->capture) return finish(cudaErrorIllegalState);
  return finish(std::make_shared<Capture>(stream, mode)->join(stream, {}));
}

cudaError_t cudaStreamEndCapture(cudaStream_t handle, cudaGraph_t* graph) {
  const std::lock_guard lock(runtime_mutex());
  if (graph == nullptr) return finish(cudaErrorInvalidValue);
  *graph = nullptr;
  const auto stream = find_stream(handle);
  if (stream == nullptr) return finish(cudaErrorInvalidResourceHandle);
  const auto capture = stream->capture;
  if (capture == nullptr) return finish(cudaErrorIllegalState);
  if (!capture->began_on(*stream)) return finish(cudaErrorStreamCaptureUnmatched);
  if (capture->mode() != cudaStreamCaptureModeRelaxed &&
      capture->thread() != std::this_thread::get_id()) {
    return finish(cudaErrorStreamCaptureWrongThread);
  }
  std::shared_ptr<Graph> captured;
  const cudaError_t error = capture->end(&captured);
  if (error == cudaSuccess) {
    *graph = reinterpret_cast<cudaGraph_t>(captured.get());
    live_graphs().graphs[captured.get()] = captured;
  }
  return finish(error);
}

cudaError_t cudaStreamIsCapturing(cudaStream_t handle, cudaStreamCaptureStatus* status) {
  const std::lock_guard lock(runtime_mutex());
  const auto stream = find_stream(handle);
  if (stream == nullptr) return finish(cudaErrorInvalidResourceHandle);
  *status = stream->capture == nullptr ? cudaStreamCaptureStatusNone
            : stream->capture->valid() ? cudaStreamCaptureStatusActive
                                       : cudaStreamCaptureStatusInvalidated;
  return cudaSuccess;
}

cudaError_t cudaGraphGetNodes(cudaGraph_t handle, cudaGraphNode_t* nodes, std::size_t* count) {
  const auto graph = find(live_graphs().graphs, handle);
  if (graph == nullptr || count == nullptr) return finish(cudaErrorInvalidValue);
  if (nodes != nullptr) {
    for (std::size_t i = 0; i < *count; ++i) {
      nodes[i] =
          i < graph->nodes.size() ? reinterpret_cast<cudaGraphNode_t>(&graph->nodes[i]) : nullptr;
    }
  }
  if (nodes == nullptr || *count > graph->nodes.size()) *count = graph->nodes.size();
  return cudaSuccess;
}

cudaError_t cudaGraphInstantiate(cudaGraphExec_t* executable, cudaGraph_t handle,
                                 unsigned long long flags) {
  const auto graph = find(live_graphs().graphs, handle);
  if (executable == nullptr || graph == nullptr) return finish(cudaErrorInvalidValue);
  if (flags != 0) return finish(cudaErrorNotSupported);
  auto copy = std::make_shared<Graph>(*graph);
  *executable = reinterpret_cast<cudaGraphExec_t>(copy.get());
  const std::lock_guard lock(runtime_mutex());
  live_graphs().executables[copy.get()] = copy;
  return cudaSuccess;
}

cudaError_t cudaGraphUpload(cudaGraphExec_t executable, cudaStream_t) {
  return finish(find(live_graphs().executables, executable) == nullptr ? cudaErrorInvalidValue
                                                                       : cudaSuccess);
}

cudaError_t cudaGraphLaunch(cudaGraphExec_t executable, cudaStream_t handle) {
  if (inside_host_function()) return finish(cudaErrorNotPermitted);
  const std::shared_ptr<const Graph> graph = find(live_graphs().executables, executable);
  const auto stream = find_stream(handle);
  if (graph == nullptr) return finish(cudaErrorInvalidValue);
  if (stream == nullptr) return finish(cudaErrorInvalidResourceHandle);
  if (stream->capture) {
    stream->capture->invalidate();
    return finish(cudaErrorNotSupported);
  }
  // Each node knows whether it touches the device.
  return finish(enqueue(stream, {"a graph", [graph] { return run_graph(graph); }, false}));
}

cudaError_t cudaGraphExecDestroy(cudaGraphExec_t executable) {
  const std::lock_guard lock(runtime_mutex());
  return finish(live_graphs().executables.erase(executable) == 1 ? cudaSuccess
                                                                 : cudaErrorInvalidValue);
}
cudaError_t cudaGraphDestroy(cudaGraph_t graph) {
  const std::lock_guard lock(runtime_mutex());
  return finish(live_graphs().graphs.erase(graph) == 1 ? cudaSuccess : cudaErrorInvalidValue);
}
