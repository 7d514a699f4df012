// FP8 checkpoints that are damaged or say something else than they hold.
#include "layers/model/qwen3_vl.h"
#include "layers/weights/safetensors_stream.h"
#include "tests/support/source_folder.h"
#include "tests/support/temporary_folder.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <functional>
#include <limits>
#include <map>
#include <vector>

namespace retinue::layers {
namespace {

namespace fs = std::filesystem;
using testing::AllOf;
using testing::HasSubstr;

const std::string kQuantised = test::source_folder() + "/tests/golden/fp8/configs/fp8-quantiser";
const std::string kModule = "model.language_model.layers.0.mlp.up_proj";
const std::string kScales = kModule + ".weight_scale_inv";

/// A copy of the checkpoint that transformers quantised, with its tensors in memory.
class Fp8Checkpoint : public testing::Test {
 protected:
  Fp8Checkpoint() {
    fs::copy(kQuantised, folder_.path(), fs::copy_options::recursive);
    for (const auto& entry : fs::directory_iterator(kQuantised))
      if (entry.path().string().find(".safetensors") != std::string::npos)
        fs::remove(folder_.path() + "/" + entry.path().filename().string());
    const Checkpoint checkpoint(kQuantised);
    for (const std::string& name : checkpoint.names()) {
      const StoredTensor& tensor = *checkpoint.find(name);
      tensors_[name] = {tensor.type, tensor.shape, {tensor.bytes.begin(), tensor.bytes.end()}};
    }
  }

  struct Tensor {
    StoredType type = StoredType::kF32;
    Shape shape;
    std::vector<std::byte> bytes;
  };

  void change_config(const std::function<void(nlohmann::json&)>& change) {
    std::ifstream file(kQuantised + "/config.json");
    nlohmann::json config = nlohmann::json::parse(file);
    change(config);
    folder_.write("config.json", config.dump());
  }

  /// Writes the tensors; the error with which the model refuses to be built from them.
  std::string refusal() {
    std::vector<SafetensorsStream::Entry> entries;
    for (const auto& [name, tensor] : tensors_)
      entries.push_back({name, tensor.type, tensor.shape});
    SafetensorsStream stream(path(), entries);
    for (const auto& [name, tensor] : tensors_) stream.write(tensor.bytes);
    stream.finish();
    return refusal_of_files();
  }
  std::string refusal_of_files() {
    try {
      MemoryLedger ledger;
      Context ctx(Device{}, 1, Buffer(ledger, Device{}, 1 << 20, MemoryTag::kActivations),
                  Buffer(ledger, Device{}, 1 << 20, MemoryTag::kScratch));
      CheckpointSource source(folder_.path());
      ModelOptions options;
      options.kv_blocks = 1;
      for (int i = 0; i < 3 * 256; ++i) options.pixel_values.push_back(0);
      const ModelConfig config = load_model_config(folder_.path());
      const Qwen3Vl model(ctx, ledger, config, {}, &source, options);
      return "";
    } catch (const UsageError& error) {
      return error.what();
    }
  }
  std::string path() { return folder_.path() + "/model.safetensors"; }

  test::TemporaryFolder folder_;
  std::map<std::string, Tensor> tensors_;
};

TEST_F(Fp8Checkpoint, WholeItLoads) { EXPECT_EQ(refusal(), ""); }

// transformers' quantiser stores scales in bfloat16, `retinue quantize` in float32.
TEST_F(Fp8Checkpoint, ScalesInFloat32AreReadToo) {
  Tensor& scales = tensors_.at(kScales);
  ASSERT_EQ(scales.type, StoredType::kBF16);
  std::vector<std::byte> wide;
  for (std::size_t i = 0; i < scales.bytes.size(); i += 2)
    wide.insert(wide.end(), {std::byte{0}, std::byte{0}, scales.bytes[i], scales.bytes[i + 1]});
  scales.type = StoredType::kF32, scales.bytes = wide;
  EXPECT_EQ(refusal(), "");
}

TEST_F(Fp8Checkpoint, MissingScalesAreNamed) {
  tensors_.erase(kScales);
  EXPECT_THAT(refusal(), AllOf(HasSubstr(kScales), HasSubstr("is missing")));
}

TEST_F(Fp8Checkpoint, ScalesPerTensorAreExplained) {
  for (const Shape& shape : {Shape{1}, Shape{256, 1}}) {
    Tensor& other = tensors_[kModule + ".weight_scale"];
    other.type = StoredType::kBF16, other.shape = shape;
    other.bytes.resize(static_cast<std::size_t>(2 * shape.numel()));
    tensors_.erase(kScales);
    EXPECT_THAT(refusal(),
                AllOf(HasSubstr(kScales + " is missing"),
                      HasSubstr(kModule + ".weight_scale instead, with shape " + shape.to_string()),
                      HasSubstr("scale per block of 128 x 128"), HasSubstr("retinue quantize")));
  }
}

TEST_F(Fp8Checkpoint, ScalesOfAnotherShapeAreNamedWithBothShapes) {
  Tensor& scales = tensors_.at(kScales);
  scales.shape = Shape{4, 1};
  EXPECT_THAT(refusal(), AllOf(HasSubstr(kScales), HasSubstr("[4, 1]"), HasSubstr("[2, 2]")));
  scales.shape = Shape{1, 2}, scales.bytes.resize(4);
  EXPECT_THAT(refusal(), AllOf(HasSubstr(kScales), HasSubstr("[1, 2]")));
}

TEST_F(Fp8Checkpoint, AScaleThatCannotBeRightIsNamedByItsBlock) {
  const auto refusal_of_scale = [&](float scale) {
    const BFloat16 stored = to_bfloat16(scale);
    std::memcpy(tensors_.at(kScales).bytes.data() + 4, &stored, 2);  // of four, in rows of two
    return refusal();
  };
  constexpr float kInfinity = std::numeric_limits<float>::infinity();
  for (const float scale :
       {std::numeric_limits<float>::quiet_NaN(), kInfinity, -kInfinity, -0.5F, 0.0F, -0.0F, 3e38F})
    EXPECT_THAT(refusal_of_scale(scale),
                AllOf(HasSubstr(path() + ": the scale of block [1, 0] in tensor " + kScales),
                      HasSubstr("retinue quantize")))
        << scale;
  // 448 times it is the largest weight: 448 · 0x1p119 < 0x1p128 <= 448 · 0x1.8p119.
  EXPECT_THAT(refusal_of_scale(0x1.8p119F), HasSubstr("is infinite"));
  EXPECT_EQ(refusal_of_scale(0x1p119F), "");
  EXPECT_EQ(refusal_of_scale(0x1p-126F), "");
}

// Some converters divide by the largest weight and save such blocks with a scale of zero.
TEST_F(Fp8Checkpoint, AScaleOfZeroIsRightForABlockOfZeros) {
  tensors_.at(kScales).bytes[4] = tensors_.at(kScales).bytes[5] = std::byte{0};
  std::vector<std::byte>& weights = tensors_.at(kModule + ".weight").bytes;
  for (std::size_t row = 128; row < 256; ++row)
    std::fill_n(weights.begin() + static_cast<std::ptrdiff_t>(row * 256), 128,
                row % 2 == 0 ? std::byte{0x80} : std::byte{0});
  EXPECT_EQ(refusal(), "");
  weights[255 * 256 + 127] = std::byte{1};
  EXPECT_THAT(refusal(), HasSubstr("is 0, wanted a positive number, since not all weights of the "
                                   "block are 0"));
  weights[255 * 256 + 127] = std::byte{0x7F};  // as transformers 4.57 quantises zeros: 0 · inf
  EXPECT_THAT(refusal(), HasSubstr("is 0, wanted a positive number"));
}

TEST_F(Fp8Checkpoint, AWeightThatIsNoNumberIsNamed) {
  tensors_.at(kModule + ".weight").bytes[300] = std::byte{0xFF};
  EXPECT_THAT(refusal(), HasSubstr("element 300 of tensor " + kModule + ".weight"));
}

TEST_F(Fp8Checkpoint, E5m2IsRefusedByName) {
  ASSERT_EQ(refusal(), "");
  std::ifstream file(path(), std::ios::binary);
  std::string bytes((std::istreambuf_iterator<char>(file)), {});
  const std::size_t at = bytes.find("F8_E4M3");
  ASSERT_NE(at, bytes.npos);
  folder_.write("model.safetensors", bytes.replace(at, 7, "F8_E5M2"));
  EXPECT_THAT(refusal_of_files(), AllOf(HasSubstr("F8_E5M2"), HasSubstr("Use a checkpoint that")));
}

TEST_F(Fp8Checkpoint, AConfigurationThatSaysNothingIsRefused) {
  change_config([](nlohmann::json& config) { config.erase("quantization_config"); });
  EXPECT_THAT(refusal(), AllOf(HasSubstr("F8_E4M3"), HasSubstr("quantization_config"),
                               HasSubstr("not quantised")));
}

TEST_F(Fp8Checkpoint, AConfigurationThatPromisesMoreIsRefused) {
  tensors_.at(kModule + ".weight") = tensors_.at("model.language_model.embed_tokens.weight");
  tensors_.at(kModule + ".weight").shape = Shape{256, 256};
  tensors_.at(kModule + ".weight").bytes.resize(256 * 256 * 2);
  EXPECT_THAT(refusal(), AllOf(HasSubstr(kModule), HasSubstr("BF16"), HasSubstr("F8_E4M3")));
}

TEST_F(Fp8Checkpoint, ProjectionsThatAreMultipliedTogetherAreQuantisedTogether) {
  change_config([](nlohmann::json& config) {
    config["quantization_config"]["modules_to_not_convert"] = {"lm_head", "visual", "v_proj"};
  });
  EXPECT_THAT(refusal(),
              AllOf(HasSubstr("q_proj"), HasSubstr("v_proj"), HasSubstr("both or none")));
}

}  // namespace
}  // namespace retinue::layers
