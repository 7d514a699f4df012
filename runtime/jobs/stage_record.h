#pragma once

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

/// What `retinue trace` keeps of one request on one rank: every stage's rows, as f32, in the order
/// in which they were computed. Steps cut prompts and exchanges cut images into pieces; the pieces
/// are joined here.
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

/// `value` where the host can read it: itself on CPU, else a contiguous copy in `copy`, waited for.
ConstTensorView to_host(const Stream& stream, ConstTensorView value, std::vector<std::byte>& copy);

/// Passes calls on and remembers which items this rank was given to encode.
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
  /// Per item of the request: 1 where it is this rank's.
  [[nodiscard]] const std::vector<std::int64_t>& owned() const { return owned_; }

 private:
  PixelSource& inner_;
  std::vector<std::int64_t> owned_;
};

/// Brings the vision stages, which lie where their image was encoded, to rank 0 of the axis.
/// Collective over `tensor`.
///   grids   of the request's items, in prompt order
///   order   in which their rows are wanted: the reference runs images first, then videos
/// Returns, on rank 0, the names and whole tensors; elsewhere nothing.
std::map<std::string, StageRecord::Rows> gather_vision_stages(
    Communicator& tensor, const layers::VisionConfig& vision, const StageRecord& record,
    const std::vector<std::int64_t>& owned, const std::vector<layers::GridThw>& grids,
    const std::vector<std::size_t>& order);

}  // namespace retinue::runtime
