#include "layers/weights/safetensors.h"
#include "parallel/base/exit_code.h"
#include "parallel/base/hash.h"
#include "tests/support/job_ranks.h"
#include "tests/support/tiny_model.h"

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <cstring>
#include <filesystem>
#include <fstream>

namespace retinue::runtime {
namespace {

using Json = nlohmann::json;

template <class T>
std::vector<T> values_of(const layers::StoredTensor& tensor) {
  std::vector<T> values(tensor.bytes.size() / sizeof(T));
  std::memcpy(values.data(), tensor.bytes.data(), tensor.bytes.size());
  return values;
}

Json metadata_of(const std::string& path) {
  const std::string text = test::read_text(path);
  std::uint64_t length = 0;
  std::memcpy(&length, text.data(), sizeof length);
  return Json::parse(text.substr(8, length))["__metadata__"];
}

/// A golden case as `retinue trace` is asked for it.
class Trace : public testing::TestWithParam<std::tuple<std::string, std::string>> {
 protected:
  TraceOptions options(const std::string& output) {
    TraceOptions options;
    options.ask.run = test::golden_run(config_);
    options.ask.messages = case_path_;
    options.output = folder_.path(output);
    return options;
  }
  std::string trace(const std::string& output, int ranks, int tensor, int threads = 1) {
    TraceOptions asked = options(output);
    asked.ask.run.tensor_parallel = tensor;
    asked.ask.run.threads = threads;
    testing::internal::CaptureStdout();
    const int code =
        test::run_job(ranks, [&](const Session& session) { return run_trace(session, asked); });
    const std::string printed = testing::internal::GetCapturedStdout();
    EXPECT_EQ(code, 0);
    const std::string digest = metadata_of(asked.output)["logits_sha256"].get<std::string>();
    EXPECT_EQ(printed, "logits_sha256 " + digest + "\n");
    return digest;
  }

  std::string config_ = std::get<0>(GetParam());
  std::string case_path_ =
      test::golden_folder() + "/cases/" + config_ + "/" + std::get<1>(GetParam()) + ".json";
  Json golden_ = Json::parse(std::ifstream(case_path_));
  test::TemporaryFolder folder_;
};

// Tolerance: as in tests/layers/model/golden_test.cpp.
TEST_P(Trace, WritesTheReferencesStages) {
  trace("out.safetensors", 1, 1);
  const layers::SafetensorsFile file(folder_.path("out.safetensors"));
  const auto& tensors = file.tensors();
  EXPECT_EQ(values_of<std::int64_t>(tensors.at("input_ids")),
            golden_["input_ids"].get<std::vector<std::int64_t>>());
  std::vector<std::int64_t> positions;
  for (const Json& axis : golden_["position_ids"])
    for (const Json& p : axis) positions.push_back(p.get<std::int64_t>());
  EXPECT_EQ(values_of<std::int64_t>(tensors.at("position_ids")), positions);
  for (const char* name : {"pixel_values", "pixel_values_videos"}) {
    const std::string key = std::string(name) + "_sha256";
    if (golden_.value(key, Json()).is_null()) {
      EXPECT_FALSE(tensors.contains(name));
    } else {
      EXPECT_EQ(sha256_hex(tensors.at(name).bytes), golden_[key].get<std::string>()) << name;
    }
  }
  for (const char* name : {"image_grid_thw", "video_grid_thw"}) {
    std::vector<std::int64_t> grid;
    for (const Json& row : golden_.value(name, Json::array()))
      for (const Json& n : row) grid.push_back(n.get<std::int64_t>());
    EXPECT_EQ(tensors.contains(name), !grid.empty());
    if (!grid.empty()) {
      EXPECT_EQ(values_of<std::int64_t>(tensors.at(name)), grid);
    }
  }
  const auto reference = test::load_golden_case(config_, std::get<1>(GetParam()));
  for (const auto& [name, expected] : reference.stages) {
    ASSERT_TRUE(tensors.contains(name)) << name;
    std::vector<float> values = values_of<float>(tensors.at(name));
    if (name == "logits")
      values.erase(values.begin(),
                   values.begin() + reference.logits_first_row * tensors.at(name).shape[1]);
    ASSERT_EQ(values.size(), expected.size()) << name;
    EXPECT_LT(test::relative_l2(values, expected), 1e-5) << name;
  }
}

TEST_P(Trace, HasTheSameTensorsOnEveryMesh) {
  const std::string digest = trace("one.safetensors", 1, 1);
  const layers::SafetensorsFile one(folder_.path("one.safetensors"));
  for (const auto& [ranks, tensor, threads] :
       {std::tuple{2, 2, 1}, std::tuple{4, 4, 1}, std::tuple{2, 1, 2}, std::tuple{4, 2, 1}}) {
    EXPECT_EQ(trace("many.safetensors", ranks, tensor, threads), digest)
        << ranks << " ranks, tensor " << tensor;
    const layers::SafetensorsFile many(folder_.path("many.safetensors"));
    ASSERT_EQ(many.tensors().size(), one.tensors().size());
    for (const auto& [name, stage] : one.tensors())
      EXPECT_EQ(sha256_hex(many.tensors().at(name).bytes), sha256_hex(stage.bytes)) << name;
  }
}

// Its header is whole, so the prompt can be built; only its decoder finds that pixels are missing.
TEST(TraceOfDamage, AnImageThatCannotBeDecodedFailsItsItemOnEveryMesh) {
  const test::TemporaryFolder folder;
  const std::string whole =
      test::read_text(std::string(RETINUE_SOURCE_DIR) + "/configs/examples/scene-000.jpg");
  test::write_text(folder.path("cut.jpg"), whole.substr(0, whole.size() / 2));
  TraceOptions options;
  options.ask.run = test::golden_run("gqa8-tied");
  options.ask.image = {folder.path("cut.jpg")};
  options.ask.prompt = "x";
  options.output = folder.path("out.safetensors");
  for (const auto& [ranks, tensor] : {std::pair{1, 1}, std::pair{2, 2}, std::pair{2, 1}}) {
    options.ask.run.tensor_parallel = tensor;
    testing::internal::CaptureStderr();
    EXPECT_EQ(
        test::run_job(ranks, [&](const Session& session) { return run_trace(session, options); }),
        kExitItemsFailed);
    const std::string error = testing::internal::GetCapturedStderr();
    EXPECT_NE(error.find("cut.jpg"), std::string::npos) << error;
    EXPECT_FALSE(std::filesystem::exists(options.output));
  }
}

TEST(TraceOutput, ThatCannotBeMadeIsRefusedBeforeTheRun) {
  const test::TemporaryFolder folder;
  TraceOptions options;
  options.ask.run = test::golden_run("gqa8-tied");
  options.ask.prompt = "x";
  for (const std::string& output :
       {folder.path("none/x.safetensors"), folder.path(), std::string("/proc/x.safetensors"),
        folder.path(std::string(252, 'a'))}) {
    options.output = output;
    EXPECT_THROW(
        test::run_job(2, [&](const Session& session) { return run_trace(session, options); }),
        UsageError)
        << output;
  }
  EXPECT_TRUE(std::filesystem::is_empty(folder.path()));
}

TEST(TraceMetadata, NamesTheTypeOfTheProjections) {
  const test::TemporaryFolder folder;
  TraceOptions options;
  options.output = folder.path("x.safetensors");
  options.ask.prompt = "x";
  for (const auto& [config, dtype, projections] :
       {std::tuple{"fp8-narrow", "bf16", "f8_e4m3"}, std::tuple{"gqa8-tied", "f32", "f32"}}) {
    options.ask.run = test::golden_run(config);
    if (std::string_view(dtype) == "bf16") options.ask.run.dtype = DType::kBF16;
    testing::internal::CaptureStdout();
    EXPECT_EQ(test::run_job(1, [&](const Session& session) { return run_trace(session, options); }),
              0);
    testing::internal::GetCapturedStdout();
    EXPECT_EQ(metadata_of(options.output)["dtype"], dtype);
    EXPECT_EQ(metadata_of(options.output)["projections_dtype"], projections);
  }
}

INSTANTIATE_TEST_SUITE_P(, Trace,
                         testing::Combine(testing::ValuesIn(test::golden_configs()),
                                          testing::ValuesIn(test::golden_cases())),
                         [](const auto& instance) {
                           std::string name =
                               std::get<0>(instance.param) + "_" + std::get<1>(instance.param);
                           std::replace(name.begin(), name.end(), '-', '_');
                           return name;
                         });

}  // namespace
}  // namespace retinue::runtime
