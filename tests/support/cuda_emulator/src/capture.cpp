#include "tests/support/cuda_emulator/src/capture.h"

#include "cuda_emulator/runtime_api.h"
#include "cuda_emulator/schedule.h"
#include "tests/support/cuda_emulator/src/last_error.h"

#include <algorithm>
#include <random>

namespace cuda_emulator {
namespace {

std::vector<Capture*>& running_captures() {
  static auto* list = new std::vector<Capture*>;
  return *list;
}

/// How strictly this thread's calls are checked: cudaThreadExchangeStreamCaptureMode.
thread_local cudaStreamCaptureMode thread_mode = cudaStreamCaptureModeGlobal;

}  // namespace

Step run_graph(std::shared_ptr<const Graph> graph) {
  struct Run {
    std::shared_ptr<const Graph> graph;
    std::vector<int> missing;  // nodes that each node still waits for
    std::vector<int> ready;    // in ascending order
    std::vector<Step> steps;
    Schedule order = schedule();
    std::mt19937_64 random{order.seed};
  };
  auto run = std::make_shared<Run>();
  run->graph = std::move(graph);
  const auto& nodes = run->graph->nodes;
  run->steps.resize(nodes.size());
  for (std::size_t i = 0; i < nodes.size(); ++i) {
    run->missing.push_back(static_cast<int>(nodes[i].after.size()));
    if (nodes[i].after.empty()) run->ready.push_back(static_cast<int>(i));
  }
  return [run] {
    const auto& all = run->graph->nodes;
    // A node may wait for another rank; other nodes continue meanwhile.
    std::vector<int> blocked;
    while (!run->ready.empty()) {
      std::size_t choice = 0;
      if (run->order.order == Order::kDescending) choice = run->ready.size() - 1;
      if (run->order.order == Order::kRandom) choice = run->random() % run->ready.size();
      const int node = run->ready[choice];
      run->ready.erase(run->ready.begin() + static_cast<std::ptrdiff_t>(choice));
      const Work& work = all[static_cast<std::size_t>(node)].work;
      Step& step = run->steps[static_cast<std::size_t>(node)];
      if (!step) step = work.start();
      use_device_memory(work.touches_device ? run->graph->device : -1);
      if (!step()) {
        blocked.push_back(node);
        continue;
      }
      step = nullptr;
      for (std::size_t i = 0; i < all.size(); ++i) {
        if (std::count(all[i].after.begin(), all[i].after.end(), node) > 0 &&
            --run->missing[i] == 0) {
          run->ready.insert(
              std::upper_bound(run->ready.begin(), run->ready.end(), static_cast<int>(i)),
              static_cast<int>(i));
        }
      }
    }
    std::sort(blocked.begin(), blocked.end());
    run->ready = std::move(blocked);
    return run->ready.empty();
  };
}

Capture::Capture(const std::shared_ptr<Stream>& origin, cudaStreamCaptureMode mode)
    : origin_(origin), mode_(mode) {
  graph_->device = origin->device;
  running_captures().push_back(this);
}

cudaError_t Capture::add(Stream& stream, Work work) {
  if (!valid_) return cudaErrorStreamCaptureInvalidated;
  graph_->nodes.push_back({std::move(work), stream.capture_tail});
  stream.capture_tail = {static_cast<int>(graph_->nodes.size()) - 1};
  return cudaSuccess;
}

cudaError_t Capture::join(const std::shared_ptr<Stream>& stream, const std::vector<int>& nodes) {
  if (!valid_) return cudaErrorStreamCaptureInvalidated;
  if (!stream->capture) {
    stream->capture = shared_from_this();
    stream->capture_tail.clear();
    streams_.push_back(stream);
  }
  auto& tail = stream->capture_tail;
  tail.insert(tail.end(), nodes.begin(), nodes.end());
  std::sort(tail.begin(), tail.end());
  tail.erase(std::unique(tail.begin(), tail.end()), tail.end());
  return cudaSuccess;
}

/// Whether the end of the origin stream comes after the work of every stream.
bool Capture::all_joined() const {
  std::vector<bool> joined(graph_->nodes.size());
  std::vector<int> open = origin_->capture_tail;
  while (!open.empty()) {
    const auto node = static_cast<std::size_t>(open.back());
    open.pop_back();
    if (joined[node]) continue;
    joined[node] = true;
    const auto& after = graph_->nodes[node].after;
    open.insert(open.end(), after.begin(), after.end());
  }
  return std::all_of(streams_.begin(), streams_.end(), [&](const auto& stream) {
    return std::all_of(stream->capture_tail.begin(), stream->capture_tail.end(),
                       [&](int node) { return joined[static_cast<std::size_t>(node)]; });
  });
}

cudaError_t Capture::end(std::shared_ptr<Graph>* graph) {
  const auto self = shared_from_this();  // the streams release it below
  cudaError_t error = cudaSuccess;
  if (!valid_) {
    error = cudaErrorStreamCaptureInvalidated;
  } else if (!all_joined()) {
    error = cudaErrorStreamCaptureUnjoined;
  }
  valid_ = false;  // its recorded events can no longer be used
  for (const auto& stream : streams_) {
    stream->capture.reset();
    stream->capture_tail.clear();
  }
  std::erase(running_captures(), this);
  if (error == cudaSuccess) *graph = std::move(graph_);
  return error;
}

cudaError_t refuse_while_capturing() {
  if (inside_host_function()) return cudaErrorNotPermitted;
  const std::lock_guard lock(runtime_mutex());
  if (thread_mode == cudaStreamCaptureModeRelaxed) return cudaSuccess;
  cudaError_t error = cudaSuccess;
  for (Capture* capture : running_captures()) {
    const bool mine = capture->thread() == std::this_thread::get_id();
    const bool conflicts = mine ? capture->mode() != cudaStreamCaptureModeRelaxed
                                : capture->mode() == cudaStreamCaptureModeGlobal &&
                                      thread_mode == cudaStreamCaptureModeGlobal;
    if (!conflicts) continue;
    capture->invalidate();
    error = cudaErrorStreamCaptureUnsupported;
  }
  return error;
}

}  // namespace cuda_emulator

cudaError_t cudaThreadExchangeStreamCaptureMode(cudaStreamCaptureMode* mode) {
  if (mode == nullptr) return cuda_emulator::finish(cudaErrorInvalidValue);
  std::swap(*mode, cuda_emulator::thread_mode);
  return cudaSuccess;
}
