#pragma once
// Tested through tests/runtime/jobs/trace_test.cpp.

#include "layers/spec/config.h"
#include "layers/weights/safetensors_writer.h"
#include "parallel/comm/communicator.h"
#include "parallel/device/context.h"
#include "runtime/engine/request.h"

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

namespace retinue::runtime {

/// Every stage's rows of one request on one rank, as f32, in the order of computation, for `retinue
/// trace`. Steps cut prompts and exchanges cut images into pieces; the record joins them.
class StageRecord {
 public:
  /// Rows of a decoder stage past `prompt_tokens` belong to decoded tokens and are dropped.
  explicit StageRecord(std::int64_t prompt_tokens) : prompt_tokens_(prompt_tokens) {}

  /// For Context::set_stage_sink.
  void add(std::string_view name, int index, ConstTensorView value);

  struct Rows {
    std::int64_t width = 0;
    std::vector<float> values;
    [[nodiscard]] std::int64_t rows() const {
      return width == 0 ? 0 : static_cast<std::int64_t>(values.size()) / width;
    }
  };
  [[nodiscard]] const std::map<std::string, Rows>& stages() const { return stages_; }

 private:
  std::int64_t prompt_tokens_;
  std::map<std::string, Rows> stages_;
};

/// `value` where the host can read it: itself on CPU, else a contiguous copy in `copy`. Blocks.
ConstTensorView to_host(const Stream& stream, ConstTensorView value, std::vector<std::byte>& copy);

/// Passes calls on and notes the images and videos that this rank encodes.
class RecordingSource final : public PixelSource {
 public:
  RecordingSource(PixelSource& inner, std::size_t items) : inner_(inner), owned_(items) {}
  void prefetch(std::uint64_t key) override {
    owned_.at(key & 0xFFFFU) = 1;
    inner_.prefetch(key);
  }
  std::optional<Result<layers::Patches>> take(std::uint64_t key) override {
    return inner_.take(key);
  }
  /// Per image or video of the request: 1 where this rank encodes it.
  [[nodiscard]] const std::vector<std::int64_t>& owned() const { return owned_; }

 private:
  PixelSource& inner_;
  std::vector<std::int64_t> owned_;
};

/// Gathers the vision stages from the ranks that encoded the images on rank 0 of the axis.
/// Collective over `tensor`.
///   grids  of the request's images and videos, in prompt order
///   order  of their rows in the result: the reference runs images first, then videos
/// Returns names and whole tensors on rank 0; nothing on other ranks.
std::map<std::string, StageRecord::Rows> gather_vision_stages(
    Communicator& tensor, const layers::VisionConfig& vision, const StageRecord& record,
    const std::vector<std::int64_t>& owned, const std::vector<layers::GridThw>& grids,
    const std::vector<std::size_t>& order);

}  // namespace retinue::runtime
