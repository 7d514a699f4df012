#pragma once

#include "cuda_emulator/runtime_types.h"

#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

/// Streams are lazy: work runs on the thread that waits for it, and not before.
namespace cuda_emulator {

class Capture;
struct Stream;

/// One attempt to continue: true when the work is done, false when it waits for another rank.
using Step = std::function<bool()>;

/// Work of a stream. `start` makes the steps of one run, so that a graph can run it again.
struct Work {
  std::string name;
  std::function<Step()> start;
  bool touches_device = true;  // needs the device's memory open
};
Work work_once(std::string name, std::function<void()> action);

/// A place in a stream: all work up to and including `sequence`.
struct Position {
  std::shared_ptr<Stream> stream;
  std::uint64_t sequence = 0;
};

struct QueuedWork {
  Work work;
  std::vector<Position> after;
  Step step;  // once started
};

struct Stream {
  int device = 0;
  unsigned int flags = 0;
  int priority = 0;
  bool is_legacy = false;

  std::deque<QueuedWork> queue;
  std::uint64_t enqueued = 0, completed = 0;
  bool running = false;  // a thread runs its first item

  std::shared_ptr<Capture> capture;
  std::vector<int> capture_tail;  // the nodes that the next one depends on

  bool joins_legacy() const { return !is_legacy && (flags & cudaStreamNonBlocking) == 0; }
};

/// Guards all bookkeeping of streams, events, graphs and captures. Not held while work runs.
std::recursive_mutex& runtime_mutex();

std::shared_ptr<Stream> make_stream(int device, unsigned int flags, int priority);
/// The stream of a handle, the current device's legacy stream for null; null for an invalid handle.
std::shared_ptr<Stream> find_stream(cudaStream_t handle);
cudaStream_t handle_of(const Stream& stream);
/// Ends the handle; enqueued work still runs when the host waits for the device.
bool forget_stream(cudaStream_t handle);
/// All streams of a device that have a handle or work.
std::vector<std::shared_ptr<Stream>> streams_of(int device);

/// Adds work to the stream, or to the graph that is captured from it.
cudaError_t enqueue(const std::shared_ptr<Stream>& stream, Work work,
                    std::vector<Position> after = {});
Position end_of(const std::shared_ptr<Stream>& stream);

bool reached(const Position& position);
/// Runs work without waiting for other ranks or threads; returns whether the position is reached.
bool advance(const Position& position);
/// Runs all work up to the position.
void wait(const Position& position);
void wait_for_device(int device);

/// Opens the memory of a device until the outermost advance() on this thread ends; closes that of
/// others. -1: none.
void use_device_memory(int device);

/// True while a host function of a stream runs on this thread: it may not call CUDA.
bool inside_host_function();
void run_host_function(cudaHostFn_t function, void* user_data);

}  // namespace cuda_emulator
