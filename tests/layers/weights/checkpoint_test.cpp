#include "layers/model/qwen3_vl.h"
#include "layers/weights/content_sample.h"
#include "layers/weights/weight_source.h"
#include "parallel/base/check.h"
#include "parallel/comm/local/local_communicator.h"
#include "tests/support/temporary_folder.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <filesystem>
#include <fstream>

namespace retinue::layers {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;

const std::string kSharded =
    std::string(RETINUE_SOURCE_DIR) + "/tests/golden/model/configs/sharded";

/// A copy of the checkpoint that Hugging Face wrote, to be damaged.
class DamagedCheckpoint : public testing::Test {
 protected:
  DamagedCheckpoint() { fs::copy(kSharded, folder_.path(), fs::copy_options::recursive); }

  [[nodiscard]] std::vector<std::string> shards() const {
    std::vector<std::string> found;
    for (const auto& entry : fs::directory_iterator(folder_.path()))
      if (entry.path().extension() == ".safetensors") found.push_back(entry.path().string());
    std::sort(found.begin(), found.end());
    return found;
  }
  /// Builds the model of the first of `tensor` ranks; returns the message if that is refused.
  std::string refusal(int tensor = 1) {
    MemoryLedger ledger;
    Context ctx(Device{}, 1, Buffer(ledger, Device{}, 1 << 20, MemoryTag::kActivations),
                Buffer(ledger, Device{}, 1 << 20, MemoryTag::kScratch));
    ModelOptions options;
    options.kv_blocks = 4, options.feature_rows = 4;
    options.pixel_values.resize(768);
    try {
      const ModelConfig config = load_model_config(folder_.path());
      CheckpointSource source(folder_.path());
      TensorAxis axis;
      axis.size = tensor;
      const Qwen3Vl model(ctx, ledger, config, axis, &source, options);
      return "";
    } catch (const UsageError& error) {
      return error.what();
    }
  }
  nlohmann::json read(const std::string& name) {
    std::ifstream file(folder_.path() + "/" + name);
    return nlohmann::json::parse(file);
  }
  void change_config(const std::function<void(nlohmann::json&)>& change) {
    nlohmann::json config = read("config.json");
    change(config);
    folder_.write("config.json", config.dump());
  }

  test::TemporaryFolder folder_;
};

TEST_F(DamagedCheckpoint, WholeItLoads) { EXPECT_EQ(refusal(), ""); }

TEST_F(DamagedCheckpoint, AMissingShardIsNamed) {
  fs::remove(shards()[1]);
  EXPECT_THAT(refusal(), HasSubstr(fs::path(folder_.path()).filename().string()));
  EXPECT_THAT(refusal(), HasSubstr("is missing. The copy is incomplete"));
}

TEST_F(DamagedCheckpoint, ATruncatedShardIsNamed) {
  fs::resize_file(shards()[0], fs::file_size(shards()[0]) - 1);
  EXPECT_THAT(refusal(), HasSubstr(fs::path(shards()[0]).filename().string()));
  EXPECT_THAT(refusal(), HasSubstr("copy it again"));
}

TEST_F(DamagedCheckpoint, AWrongIndexIsRefused) {
  nlohmann::json index = read("model.safetensors.index.json");
  const std::string first = index["weight_map"].begin().key(), other = shards()[1];
  const std::string here = index["weight_map"][first];
  for (const auto& shard : shards())
    if (!shard.ends_with(here)) index["weight_map"][first] = fs::path(shard).filename().string();
  folder_.write("model.safetensors.index.json", index.dump());
  EXPECT_THAT(refusal(), HasSubstr("which does not hold it"));
  folder_.write("model.safetensors.index.json", "{");
  EXPECT_THAT(refusal(), HasSubstr("weight_map"));
}

TEST_F(DamagedCheckpoint, AWholeFileIsTakenBeforeAnIndex) {
  folder_.write("model.safetensors", "version https://git-lfs.github.com/spec/v1\noid sha256:0\n");
  EXPECT_THAT(refusal(), HasSubstr("model.safetensors: is a pointer of Git LFS"));
  fs::remove(folder_.path() + "/model.safetensors");
  fs::copy(shards()[0], folder_.path() + "/model.safetensors");
  fs::remove(shards()[1]);
  EXPECT_THAT(refusal(), HasSubstr("tensor ")) << "the index is not read: no shard is missing";
}

TEST_F(DamagedCheckpoint, TensorsUnderAnotherPrefixAreNamed) {
  std::vector<std::string> files = shards();
  files.push_back(folder_.path() + "/model.safetensors.index.json");
  for (const std::string& path : files) {
    std::ifstream file(path, std::ios::binary);
    std::string bytes((std::istreambuf_iterator<char>(file)), {});
    // The same length, so that the offsets of the header hold.
    for (std::size_t at = 0; (at = bytes.find("\"model.visual.", at)) != bytes.npos; ++at)
      bytes.replace(at, 14, "\"tower.visual.");
    folder_.write(fs::path(path).filename().string(), bytes);
  }
  EXPECT_THAT(refusal(), testing::AllOf(HasSubstr("is missing"), HasSubstr("tower.visual."),
                                        HasSubstr("instead")));
}

TEST_F(DamagedCheckpoint, ASampleDistinguishesWeightsOfEqualHeaders) {
  const std::string before = content_sample(Checkpoint(folder_.path()));
  EXPECT_EQ(content_sample(Checkpoint(folder_.path())), before);
  std::string bytes;
  {
    std::ifstream file(shards()[0], std::ios::binary);
    bytes.assign((std::istreambuf_iterator<char>(file)), {});
  }
  for (std::size_t at = bytes.size() / 2; at < bytes.size(); ++at) bytes[at] ^= 1;
  folder_.write(fs::path(shards()[0]).filename().string(), bytes);
  EXPECT_NE(content_sample(Checkpoint(folder_.path())), before);
}

TEST_F(DamagedCheckpoint, ATensorWithANumberThatIsNotFiniteIsNamed) {
  constexpr const char* kName = "model.language_model.norm.weight";
  const std::string path =
      folder_.path() + "/" +
      read("model.safetensors.index.json")["weight_map"][kName].get<std::string>();
  std::fstream file(path, std::ios::binary | std::ios::in | std::ios::out);
  std::uint64_t header_bytes = 0;
  file.read(reinterpret_cast<char*>(&header_bytes), sizeof(header_bytes));
  std::string header(header_bytes, ' ');
  file.read(header.data(), static_cast<std::streamsize>(header_bytes));
  const auto tensor = nlohmann::json::parse(header)[kName];
  const auto size = tensor["dtype"] == "F32" ? 4U : 2U;
  file.seekp(static_cast<std::streamoff>(sizeof(header_bytes) + header_bytes +
                                         tensor["data_offsets"][0].get<std::uint64_t>() +
                                         3 * size));
  file.write("\xFF\xFF\xFF\xFF", size);
  file.close();
  EXPECT_THAT(refusal(), testing::AllOf(HasSubstr(path), HasSubstr("element 3 of tensor"),
                                        HasSubstr(kName), HasSubstr("is NaN or infinite")));
}

TEST_F(DamagedCheckpoint, ATensorOfAnotherShapeIsNamedWithBothShapes) {
  change_config([](nlohmann::json& c) {
    c["text_config"]["intermediate_size"] = c["text_config"]["intermediate_size"].get<int>() * 2;
  });
  EXPECT_THAT(refusal(),
              testing::AllOf(HasSubstr("mlp."), HasSubstr("has shape"), HasSubstr("asks for")));
}

TEST_F(DamagedCheckpoint, AMissingTensorIsNamed) {
  change_config([](nlohmann::json& c) { c["text_config"]["num_hidden_layers"] = 3; });
  EXPECT_THAT(refusal(), testing::AllOf(HasSubstr("layers.2."), HasSubstr("is missing")));
}

TEST_F(DamagedCheckpoint, AnUnknownTensorIsNamed) {
  change_config([](nlohmann::json& c) { c["text_config"]["num_hidden_layers"] = 1; });
  EXPECT_THAT(refusal(), testing::AllOf(HasSubstr("layers.1."), HasSubstr("does not have")));
}

TEST_F(DamagedCheckpoint, ATensorAxisThatDoesNotDivideIsRefusedWithThoseThatDo) {
  EXPECT_THAT(refusal(3), testing::AllOf(HasSubstr("tensor=3"), HasSubstr("Use 1")));
}

TEST_F(DamagedCheckpoint, MixtureOfExpertsIsRefused) {
  change_config([](nlohmann::json& c) { c["model_type"] = "qwen3_vl_moe"; });
  EXPECT_THAT(refusal(), HasSubstr("mixture-of-experts"));
}

// The checkpoint was written by Hugging Face from the rule of `--weights random`.
TEST(WeightSource, AFileAndTheRuleGiveTheSameWeightsInAnySlice) {
  CheckpointSource file(kSharded);
  std::ifstream manifest_file(std::string(RETINUE_SOURCE_DIR) +
                              "/tests/golden/model/manifest.json");
  RandomSource rule(nlohmann::json::parse(manifest_file)["seed"].get<std::uint64_t>());
  const ModelConfig config = load_model_config(kSharded);
  const std::string name = "model.language_model.layers.1.mlp.down_proj.weight";
  const Shape shape{config.text.hidden_size, config.text.intermediate_size};
  for (const WeightSlice& slice :
       {WeightSlice{0, shape[0], 0, shape[1]}, WeightSlice{3, 5, 7, 9}, WeightSlice{1, 1, 0, 1}}) {
    std::vector<BFloat16> a(static_cast<std::size_t>(slice.rows * slice.columns)), b(a.size());
    std::vector<float> wide(a.size());
    const Shape part{slice.rows, slice.columns};
    file.read(name, shape, slice,
              TensorView(reinterpret_cast<std::byte*>(a.data()), DType::kBF16, part));
    rule.read(name, shape, slice,
              TensorView(reinterpret_cast<std::byte*>(b.data()), DType::kBF16, part));
    file.read(name, shape, slice,
              TensorView(reinterpret_cast<std::byte*>(wide.data()), DType::kF32, part));
    EXPECT_EQ(a, b);
    for (std::size_t i = 0; i < a.size(); ++i) EXPECT_EQ(wide[i], to_float(a[i]));
  }
}

TEST(WeightSource, TheRuleMatchesTheGoldenMakersCheckValues) {
  std::ifstream file(std::string(RETINUE_SOURCE_DIR) + "/tests/golden/model/manifest.json");
  // A name of its own: in C++20 the loop would outlive a temporary.
  const auto manifest = nlohmann::json::parse(file);
  for (const auto& row : manifest["random_weights_check"]) {
    const auto dims = row["shape"].get<std::vector<std::int64_t>>();
    const Shape shape = dims.size() == 1   ? Shape{dims[0]}
                        : dims.size() == 2 ? Shape{dims[0], dims[1]}
                                           : Shape{dims[0], dims[1], dims[2], dims[3], dims[4]};
    const std::int64_t width = shape.numel() / shape[0];
    std::vector<BFloat16> values(static_cast<std::size_t>(shape.numel()));
    RandomSource(row["seed"].get<std::uint64_t>())
        .read(row["name"], shape, {0, shape[0], 0, width},
              TensorView(reinterpret_cast<std::byte*>(values.data()), DType::kBF16,
                         Shape{shape[0], width}));
    for (std::size_t i = 0; i < row["bf16"].size(); ++i)
      EXPECT_EQ(values[i].bits, std::stoul(row["bf16"][i].get<std::string>(), nullptr, 16))
          << row["name"] << " " << i;
  }
}

}  // namespace
}  // namespace retinue::layers
