#pragma once

#include "parallel/device/arena.h"
#include "parallel/device/cpu/isa.h"
#include "parallel/device/device.h"
#include "parallel/device/stream.h"
#include "parallel/device/tensor.h"

#include <any>
#include <functional>
#include <string_view>
#include <utility>

namespace retinue {

/// Called with a named intermediate result: ("layer", 3, x). Index -1: the name has none.
using StageSink = std::function<void(std::string_view name, int index, ConstTensorView value)>;

/// The place where one rank's ops run: a device, a stream, an arena for activations, and one fixed
/// scratch region that each op borrows while it runs. The first argument of every op and layer.
class Context {
 public:
  /// A context that computes. `threads`: CPU threads for kernels of this rank.
  Context(Device device, int threads, Buffer activations, Buffer scratch,
          Urgency urgency = Urgency::kFirst);
  /// A context that plans: it has no memory, runs no kernels and no collectives, and records peaks.
  static Context plan(Device device, int threads);

  [[nodiscard]] Device device() const { return stream_.device(); }
  [[nodiscard]] const Stream& stream() const { return stream_; }
  [[nodiscard]] int threads() const { return threads_; }
  /// Which CPU kernels run; detected, or set by tests that compare the paths.
  [[nodiscard]] CpuIsa cpu_isa() const { return cpu_isa_; }
  void set_cpu_isa(CpuIsa isa) { cpu_isa_ = isa; }
  [[nodiscard]] bool planning() const { return arena_.planning(); }
  /// True: the host waits after every op, so that an error names the op. Off by default.
  [[nodiscard]] bool waits_after_ops() const { return waits_after_ops_; }
  void set_waits_after_ops(bool waits) { waits_after_ops_ = waits; }

  /// One value that a library of ops attaches to the context; only that library knows its type.
  /// Matmul keeps its tuning here.
  [[nodiscard]] const std::any& attachment() const { return attachment_; }
  void attach(std::any value) { attachment_ = std::move(value); }

  /// An activation that lives until the enclosing Frame ends. 256-byte aligned, not initialised.
  TensorView alloc(const Shape& shape, DType dtype);
  /// Bytes for one op's private use; two calls within one op overlap.
  /// Throws: BugError past the plan.
  std::byte* scratch(std::size_t size_bytes);

  [[nodiscard]] Arena& arena() { return arena_; }
  [[nodiscard]] std::size_t peak_scratch_bytes() const { return peak_scratch_; }

  /// Hands `value` to the sink, if there is one. Layers name their results with it.
  void stage(std::string_view name, int index, ConstTensorView value) {
    if (sink_ && !planning()) sink_(name, index, value);
  }
  void stage(std::string_view name, ConstTensorView value) { stage(name, -1, value); }
  void set_stage_sink(StageSink sink) { sink_ = std::move(sink); }
  [[nodiscard]] bool has_stage_sink() const { return static_cast<bool>(sink_); }

 private:
  Context(Stream stream, int threads);

  Stream stream_;
  int threads_;
  bool waits_after_ops_ = false;
  std::any attachment_;
  CpuIsa cpu_isa_ = detect_cpu_isa();
  Arena arena_;
  Buffer scratch_;
  std::size_t peak_scratch_ = 0;
  StageSink sink_;
};

/// Activations allocated inside a Frame are freed where it ends.
class Frame {
 public:
  explicit Frame(Context& ctx) : arena_(ctx.arena()), mark_(arena_.mark()) {}
  ~Frame() { arena_.release(mark_); }
  Frame(const Frame&) = delete;
  Frame& operator=(const Frame&) = delete;

 private:
  Arena& arena_;
  std::size_t mark_;
};

}  // namespace retinue
