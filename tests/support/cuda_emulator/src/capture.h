#pragma once

#include "tests/support/cuda_emulator/src/stream.h"

#include <memory>
#include <thread>
#include <vector>

namespace cuda_emulator {

struct GraphNode {
  Work work;
  std::vector<int> after;
};

struct Graph {
  int device = 0;
  std::vector<GraphNode> nodes;
};

/// The steps that run a graph once: independent nodes in the order of the schedule.
Step run_graph(std::shared_ptr<const Graph> graph);

/// Collects the work of streams in a graph, from cudaStreamBeginCapture to cudaStreamEndCapture.
/// Used with runtime_mutex() held.
class Capture : public std::enable_shared_from_this<Capture> {
 public:
  Capture(const std::shared_ptr<Stream>& origin, cudaStreamCaptureMode mode);

  cudaError_t add(Stream& stream, Work work);
  /// The stream joins the capture; its next node comes after `nodes`.
  cudaError_t join(const std::shared_ptr<Stream>& stream, const std::vector<int>& nodes);
  void invalidate() { valid_ = false; }
  bool valid() const { return valid_; }
  bool began_on(const Stream& stream) const { return origin_.get() == &stream; }
  cudaStreamCaptureMode mode() const { return mode_; }
  std::thread::id thread() const { return thread_; }

  /// Ends the capture; gives the graph, unless the capture is invalid.
  cudaError_t end(std::shared_ptr<Graph>* graph);

 private:
  bool all_joined() const;

  std::shared_ptr<Stream> origin_;
  cudaStreamCaptureMode mode_;
  std::thread::id thread_ = std::this_thread::get_id();
  bool valid_ = true;
  std::shared_ptr<Graph> graph_ = std::make_shared<Graph>();
  std::vector<std::shared_ptr<Stream>> streams_;
};

/// For calls that are not allowed while this thread, or any thread in global mode, captures:
/// returns the error and invalidates the conflicting capture.
cudaError_t refuse_while_capturing();

}  // namespace cuda_emulator
