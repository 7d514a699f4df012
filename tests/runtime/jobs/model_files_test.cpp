#include "runtime/jobs/model_files.h"

#include "parallel/base/check.h"
#include "runtime/jobs/model_warnings.h"
#include "tests/support/job_ranks.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <cstdint>
#include <filesystem>
#include <fstream>
#include <functional>
#include <string>
#include <vector>

namespace retinue::runtime {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;

class ModelFlags : public testing::Test {
 protected:
  static std::string refusal(const std::function<void(RunOptions&, SamplingOptions&)>& change) {
    RunOptions run = test::golden_run("gqa8-tied");
    SamplingOptions sampling;
    change(run, sampling);
    try {
      resolve_sampling(sampling, load_model_files(run));
    } catch (const UsageError& error) {
      return error.what();
    }
    return "";
  }
};

TEST_F(ModelFlags, MessagesNameTheFlag) {
  using Run = RunOptions;
  using Sample = SamplingOptions;
  EXPECT_EQ(refusal([](Run&, Sample&) {}), "");
  EXPECT_THAT(refusal([](RunOptions& r, SamplingOptions&) { r.model = "/missing"; }),
              HasSubstr("--model"));
  EXPECT_THAT(refusal([](Run& r, Sample&) { r.device = DeviceType::kCuda; }),
              HasSubstr("--device"));
  EXPECT_THAT(refusal([](Run& r, Sample&) { r.reduce = Reduce::kLibrary; }), HasSubstr("--reduce"));
  EXPECT_THAT(refusal([](Run& r, Sample&) { r.reduce = Reduce::kLibrary, r.leaves = 4; }),
              HasSubstr("[--leaves] is 4, and with --reduce nccl"));
  EXPECT_THAT(refusal([](Run& r, Sample&) { r.tensor_parallel = 4, r.leaves = 2; }),
              HasSubstr("Use more --leaves, or --tensor-parallel 2."));
  EXPECT_THAT(refusal([](Run& r, Sample&) { r.wgmma = true, r.device = DeviceType::kCpu; }),
              HasSubstr("[--row-parallel-kernel] wgmma: this device is a CPU"));
  EXPECT_THAT(refusal([](Run& r, Sample&) { r.max_pixels = 100; }), HasSubstr("pixels"));
  EXPECT_THAT(refusal([](Run& r, Sample&) { r.min_pixels = 0; }), HasSubstr("--min-pixels"));
  EXPECT_THAT(refusal([](Run&, Sample& s) { s.temperature = -1; }), HasSubstr("--temperature"));
  EXPECT_THAT(refusal([](Run&, Sample& s) { s.top_p = 0; }), HasSubstr("--top-p"));
  EXPECT_THAT(refusal([](Run&, Sample& s) { s.top_k = -2; }), HasSubstr("--top-k"));
  EXPECT_THAT(refusal([](Run&, Sample& s) { s.min_p = 2; }), HasSubstr("--min-p"));
  EXPECT_THAT(refusal([](Run&, Sample& s) { s.repetition_penalty = 0; }),
              HasSubstr("--repetition-penalty"));
  EXPECT_THAT(refusal([](Run&, Sample& s) { s.max_new_tokens = 0; }),
              HasSubstr("--max-new-tokens"));
  EXPECT_THAT(refusal([](Run&, Sample& s) { s.stop = {""}; }), HasSubstr("--stop"));
}

TEST_F(ModelFlags, ANameOfTheHubIsAnsweredWithItsDownload) {
  EXPECT_THAT(
      refusal([](RunOptions& r, SamplingOptions&) { r.model = "Qwen/Qwen3-VL-2B-Instruct"; }),
      HasSubstr("hf download Qwen/Qwen3-VL-2B-Instruct"));
  EXPECT_THAT(refusal([](RunOptions& r, SamplingOptions&) { r.model = "/no/such"; }),
              testing::Not(HasSubstr("hf download")));
}

TEST_F(ModelFlags, WarningsNameWhatIsServedOtherwiseThanItMayLook) {
  const test::TemporaryFolder folder;
  RunOptions run;
  run.model = folder.path();
  const auto warnings = [&](const std::string& config) {
    test::write_text(folder.path("config.json"), config);
    return model_warnings(run);
  };
  EXPECT_THAT(warnings("{}"), testing::IsEmpty());
  EXPECT_THAT(warnings(R"({"dtype":"float16"})"), testing::ElementsAre(HasSubstr("float32")));
  EXPECT_THAT(
      warnings(R"({"tie_word_embeddings":true,"text_config":{"tie_word_embeddings":false}})"),
      testing::ElementsAre(HasSubstr("text_config decides")));
  test::write_text(folder.path("model.safetensors"), "");
  EXPECT_THAT(warnings("{}"), testing::IsEmpty());
  test::write_text(folder.path("model.safetensors.index.json"), "");
  EXPECT_THAT(warnings("{}"), testing::ElementsAre(HasSubstr("is not used")));
}

/// A copy of a golden checkpoint, whose config.json may be changed.
class ModelFolder : public testing::Test {
 protected:
  ModelFolder() {
    fs::copy(fs::path(RETINUE_SOURCE_DIR) / "tests/golden/model/configs/sharded", folder_.path(),
             fs::copy_options::recursive);
    run_.model = folder_.path();
  }
  void change_config(const std::function<void(nlohmann::json&)>& change) {
    std::ifstream file(folder_.path("config.json"));
    auto config = nlohmann::json::parse(file);
    change(config);
    folder_.write("config.json", config.dump());
  }

  test::TemporaryFolder folder_;
  RunOptions run_;
};

TEST_F(ModelFolder, TheDtypeIsTheTopLevelsThenThatOfTheWeights) {
  change_config([](nlohmann::json& config) { config["dtype"] = "float32"; });
  EXPECT_EQ(load_model_files(run_).computation.dtype, DType::kF32);
  change_config([](nlohmann::json& config) {
    config.erase("dtype");
    config["text_config"]["dtype"] = "float32";
  });
  EXPECT_EQ(load_model_files(run_).computation.dtype, DType::kBF16) << "the weights are BF16";
  run_.weights.random = true;
  EXPECT_EQ(load_model_files(run_).computation.dtype, DType::kF32) << "there are no weights";
  run_.dtype = DType::kBF16;
  EXPECT_EQ(load_model_files(run_).computation.dtype, DType::kBF16) << "the flag wins";
}

TEST(ModelFiles, AnFp8CheckpointIsMultipliedInBfloat16Alone) {
  RunOptions run;
  run.model = std::string(RETINUE_SOURCE_DIR) + "/tests/golden/fp8/configs/fp8-quantiser";
  EXPECT_EQ(load_model_files(run).computation.dtype, DType::kBF16);
  run.dtype = DType::kF32;
  try {
    (void)load_model_files(run);
    FAIL() << "float32 is refused";
  } catch (const UsageError& error) {
    EXPECT_THAT(std::string(error.what()),
                testing::AllOf(HasSubstr("[--dtype]"), HasSubstr("FP8")));
  }
}

TEST(ModelFiles, AnFp8CheckpointWantsAmpereOrNewer) {
  cuda::DeviceFacts gpu{.name = "NVIDIA T4", .major = 7, .minor = 5, .pci_bus_id = {}};
  try {
    check_fp8_on(gpu);
    FAIL() << "7.5 is refused";
  } catch (const UsageError& error) {
    EXPECT_THAT(std::string(error.what()),
                testing::AllOf(HasSubstr("NVIDIA T4"), HasSubstr("7.5"), HasSubstr("8.0 (Ampere)"),
                               HasSubstr("bfloat16 checkpoint")));
  }
  for (const auto& [major, minor] :
       {std::pair{8, 0}, std::pair{8, 9}, std::pair{9, 0}, std::pair{10, 0}, std::pair{12, 0}}) {
    gpu.major = major, gpu.minor = minor;
    EXPECT_NO_THROW(check_fp8_on(gpu)) << major << "." << minor;
  }
}

std::string refusal_of(const std::function<void()>& check) {
  try {
    check();
  } catch (const UsageError& error) {
    return error.what();
  }
  return "";
}

TEST(ModelFiles, WgmmaIsRefusedWhereItDoesNotServe) {
  layers::ModelConfig config;
  config.text.num_attention_heads = 8, config.text.head_dim = 64;
  config.text.intermediate_size = 768;
  const auto refusal = [&](const layers::Computation& computation) {
    return refusal_of([&] { check_wgmma(config, computation); });
  };
  EXPECT_EQ(refusal({.wgmma = false}), "");
  EXPECT_THAT(refusal({.wgmma = true}), HasSubstr("this model has leaves of 96"));
  EXPECT_EQ(refusal({.most_leaves = 4, .wgmma = true}), "");
  EXPECT_THAT(refusal({.ordered = false, .most_leaves = 4, .wgmma = true}), HasSubstr("of nccl"));
  config.fp8.emplace();
  EXPECT_THAT(refusal({.most_leaves = 1, .wgmma = true}), HasSubstr("FP8 weights"));
  cuda::DeviceFacts gpu{.name = "NVIDIA H100", .major = 9, .minor = 0, .pci_bus_id = {}};
  EXPECT_NO_THROW(check_wgmma_on(gpu));
  gpu = {.name = "NVIDIA B200", .major = 10, .minor = 0, .pci_bus_id = {}};
  EXPECT_THAT(refusal_of([&] { check_wgmma_on(gpu); }),
              testing::AllOf(HasSubstr("NVIDIA B200"), HasSubstr("10.0"), HasSubstr("9.0")));
}

TEST_F(ModelFolder, ATiedModelWithAHeadOfItsOwnIsWarnedAbout) {
  EXPECT_THAT(model_warnings(run_), testing::IsEmpty());
  change_config([](nlohmann::json& config) {
    config["tie_word_embeddings"] = config["text_config"]["tie_word_embeddings"] = true;
  });
  EXPECT_THAT(model_warnings(run_), testing::ElementsAre(HasSubstr("lm_head.weight is not used")));
  run_.weights.random = true;
  EXPECT_THAT(model_warnings(run_), testing::IsEmpty());
}

TEST_F(ModelFolder, FilesOf500000LevelsAreRefusedByName) {
  const std::string deep = std::string(500'000, '[') + std::string(500'000, ']');
  for (const auto& [name, key] : {std::pair{"config.json", "quantization_config"},
                                  std::pair{"generation_config.json", "eos_token_id"},
                                  std::pair{"preprocessor_config.json", "image_mean"},
                                  std::pair{"tokenizer_config.json", "added_tokens_decoder"}}) {
    const std::string before = test::read_text(folder_.path(name));
    folder_.write(name, "{\"" + std::string(key) + "\":" + deep + "}");
    EXPECT_THAT([&] { (void)load_model_files(run_); },
                testing::ThrowsMessage<UsageError>(
                    HasSubstr(std::string(name) + ": wanted at most 1000 levels of brackets")));
    folder_.write(name, before);
  }
}

TEST_F(ModelFolder, GenerationConfigIsRefusedByKeyAndFile) {
  for (const auto& [key, text] :
       {std::pair{"top_k", "1e30"}, std::pair{"top_k", "20.7"}, std::pair{"do_sample", "\"true\""},
        std::pair{"temperature", "1e300"}, std::pair{"temperature", "\"1\""},
        std::pair{"repetition_penalty", "1e-60"}, std::pair{"eos_token_id", "4294967297"},
        std::pair{"eos_token_id", "[1, -1]"}, std::pair{"eos_token_id", "[1.5]"}}) {
    nlohmann::json generation = {{"do_sample", true}, {"eos_token_id", 1}};
    generation[key] = nlohmann::json::parse(text);
    folder_.write("generation_config.json", generation.dump());
    EXPECT_THAT([&] { (void)load_model_files(run_); },
                testing::ThrowsMessage<UsageError>(
                    HasSubstr("generation_config.json: " + std::string(key) + " is ")))
        << text;
  }
}

TEST_F(ModelFolder, FlagsAndItemsHaveTheSameRanges) {
  const ModelFiles model = load_model_files(run_);
  const auto expect_refused = [&](const char* flag, auto flags_at, auto item_at, double value) {
    SamplingOptions options;
    options.*flags_at = value;
    EXPECT_THAT([&] { (void)resolve_sampling(options, model); },
                testing::ThrowsMessage<UsageError>(HasSubstr(flag)))
        << value;
    ItemSampling item;
    item.*item_at = value;
    EXPECT_FALSE(resolve_sampling(item, Sampling{}, model).ok()) << flag << value;
  };
  for (const double value : {1e-60, 1e-300, 1e300})
    expect_refused("--repetition-penalty", &SamplingOptions::repetition_penalty,
                   &ItemSampling::repetition_penalty, value);
  for (const double value : {-1e300, 1e300})
    expect_refused("--presence-penalty", &SamplingOptions::presence_penalty,
                   &ItemSampling::presence_penalty, value);
  for (const double value : {1e-40, 1e300})
    expect_refused("--temperature", &SamplingOptions::temperature, &ItemSampling::temperature,
                   value);
}

TEST_F(ModelFlags, SamplingComesFromTheModelOnRequestAndFlagsWin) {
  const ModelFiles model = load_model_files(test::golden_run("gqa8-tied"));
  EXPECT_EQ(model.eos_ids, (std::vector<std::int32_t>{456, 454}));
  SamplingOptions options;
  EXPECT_EQ(resolve_sampling(options, model).params.temperature, 0);
  options.sampling = SamplingDefaults::kModel;
  options.top_p = 0.5;
  options.ignore_eos = true;
  const Sampling sampling = resolve_sampling(options, model);
  EXPECT_EQ(sampling.params.temperature, 0.7);
  EXPECT_EQ(sampling.params.top_k, 20);
  EXPECT_EQ(sampling.params.top_p, 0.5);
  EXPECT_TRUE(sampling.stop_ids.empty());
}

}  // namespace
}  // namespace retinue::runtime
