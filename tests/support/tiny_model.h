#pragma once

#include "layers/model/qwen3_vl.h"
#include "parallel/comm/communicator.h"

#include <nlohmann/json_fwd.hpp>

#include <cstdint>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <vector>

namespace retinue::test {

/// tests/golden/model/ or, for configurations whose name begins so, tests/golden/fp8/.
std::string golden_root(const std::string& config);

/// One case of a golden folder: the inputs, and the reference's results.
struct GoldenCase {
  std::string config;
  std::string name;
  std::vector<std::int32_t> ids;
  std::vector<std::int32_t> positions;  ///< [3, tokens]
  std::vector<layers::Patches> items;   ///< in the order of the tower's rows: images, then videos
  std::vector<layers::GridThw> prompt_grids;  ///< in prompt order
  std::vector<std::int32_t> visual_sources, visual_rows;
  std::map<std::string, std::vector<float>> stages;  ///< reference, float32
  std::map<std::string, double> error;  ///< of transformers' own run in bf16; of FP8, of one whose
                                        ///< sums have another order
  std::int64_t logits_first_row = 0;
};
std::vector<std::string> golden_configs();
std::vector<std::string> fp8_configs();
std::vector<std::string> golden_cases();
/// Pixels of the images and videos of `messages`, in prompt order; paths are relative to `folder`.
std::vector<layers::Patches> load_items(const std::string& config, const nlohmann::json& messages,
                                        const std::string& folder,
                                        std::vector<bool>* is_video = nullptr);
GoldenCase load_golden_case(const std::string& config, const std::string& name);

/// The weights of a golden configuration: its checkpoint where there is one, else the rule's.
std::unique_ptr<layers::WeightSource> golden_weights(const std::string& config);

/// A model of one of the golden configurations on this thread's rank, with its context and the KV
/// blocks of one sequence.
class TinyModel {
 public:
  TinyModel(const std::string& config, DType dtype, Communicator* tensor = nullptr, int threads = 1,
            std::int64_t block_size = 32);

  /// Encodes the case's images (owned round robin over the tensor axis), then prefills the prompt
  /// in chunks of at most `chunk` tokens. Fills `stages` when chunk covers the prompt. Returns all
  /// logits, gathered over the axis: [tokens, vocab].
  std::vector<float> run(const GoldenCase& golden, std::int64_t chunk = 1 << 20);

  /// Prefills tokens that hold no images; returns all logits, [tokens, vocab].
  std::vector<float> prefill(std::span<const std::int32_t> ids);

  /// Appends one token to the sequence; returns its logits.
  std::vector<float> decode(std::int32_t id, std::int32_t position);

  std::map<std::string, std::vector<float>> stages;

  [[nodiscard]] layers::Qwen3Vl& model() { return *model_; }
  [[nodiscard]] Context& ctx() { return *ctx_; }

 private:
  std::vector<float> step(std::span<const std::int32_t> ids,
                          std::span<const std::int32_t> positions,
                          std::span<const std::int32_t> sources,
                          std::span<const std::int32_t> rows);

  std::unique_ptr<layers::WeightSource> source_;
  std::unique_ptr<MemoryLedger> ledger_;
  std::unique_ptr<Context> ctx_;
  layers::TensorAxis axis_;
  std::unique_ptr<layers::Qwen3Vl> model_;
  std::int64_t length_ = 0;
};

/// |a - b| / |b|
double relative_l2(const std::vector<float>& a, const std::vector<float>& b);

}  // namespace retinue::test
