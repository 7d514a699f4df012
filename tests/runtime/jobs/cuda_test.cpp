// Jobs on CUDA devices, from files to captions: within the reference's own error, and the same bits
// whatever shares the work. Ranks are threads with a device each, so that one process tests all.
#include "layers/model/numerics.h"
#include "layers/ops/matmul.h"
#include "layers/weights/safetensors.h"
#include "parallel/base/build_config.h"
#include "parallel/base/hash.h"
#include "parallel/device/cuda/runtime.h"
#include "runtime/jobs/model_files.h"
#include "tests/support/job_ranks.h"
#include "tests/support/source_folder.h"
#include "tests/support/tiny_model.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <optional>
#include <set>

namespace retinue::runtime {
namespace {

using Json = nlohmann::ordered_json;

RunOptions on_cuda(const std::string& config, int tensor, Reduce reduce = Reduce::kOrdered) {
  RunOptions options = test::golden_run(config);
  options.device = DeviceType::kCuda;
  options.dtype = DType::kBF16;
  options.reduce = reduce;
  options.tensor_parallel = tensor;
  return options;
}

/// Compute capabilities whose kernels of FP8 differ, for the emulator to claim. "" is the device's own.
std::vector<std::string> capabilities() {
  return build::kCudaEmulated ? std::vector<std::string>{"9.0", "8.9"}
                              : std::vector<std::string>{""};
}
class ClaimedCapability {
 public:
  explicit ClaimedCapability(const std::string& capability) {
    setenv("RETINUE_EMULATOR_CAPABILITY", capability.c_str(), 1);
  }
  ~ClaimedCapability() { unsetenv("RETINUE_EMULATOR_CAPABILITY"); }
  ClaimedCapability(const ClaimedCapability&) = delete;
  ClaimedCapability& operator=(const ClaimedCapability&) = delete;
};

/// Of a configuration, a case and a capability.
class CudaTrace : public testing::TestWithParam<std::tuple<std::string, std::string, std::string>> {
 protected:
  /// Traces the case and returns the digest of its logits.
  std::string trace(int ranks, int tensor, Reduce reduce = Reduce::kOrdered) {
    TraceOptions options;
    options.ask.run = on_cuda(config_, tensor, reduce);
    return trace(ranks, options);
  }
  std::string trace(int ranks, TraceOptions options) {
    options.ask.messages =
        test::golden_root(config_) + "cases/" + config_ + "/" + std::get<1>(GetParam()) + ".json";
    options.output = path();
    testing::internal::CaptureStdout();
    EXPECT_EQ(
        test::run_job(ranks, [&](const Session& session) { return run_trace(session, options); }),
        0);
    return testing::internal::GetCapturedStdout();
  }
  /// A stage that the last trace wrote.
  std::vector<float> stage(const std::string& name) {
    const layers::SafetensorsFile file(path());
    const layers::StoredTensor& stored = file.tensors().at(name);
    std::vector<float> values(stored.bytes.size() / sizeof(float));
    std::memcpy(values.data(), stored.bytes.data(), stored.bytes.size());
    return values;
  }
  [[nodiscard]] std::string path() const { return folder_.path("trace.safetensors"); }

  /// Tolerance: as in tests/layers/model/golden_test.cpp and fp8_golden_test.cpp. Of the logits, and
  /// of FP8 models' stages, the reference keeps the last rows.
  void expect_reference() {
    const auto golden = test::load_golden_case(config_, std::get<1>(GetParam()));
    const layers::SafetensorsFile file(path());
    for (const auto& [name, reference] : golden.stages) {
      ASSERT_TRUE(file.tensors().contains(name)) << name;
      std::vector<float> values = stage(name);
      ASSERT_GE(values.size(), reference.size()) << name;
      if (name == "logits" || config_.starts_with("fp8-"))
        values.erase(values.begin(), values.end() - static_cast<std::ptrdiff_t>(reference.size()));
      ASSERT_EQ(values.size(), reference.size()) << name;
      EXPECT_LE(test::relative_l2(values, reference), 1.5 * golden.error.at(name)) << name;
    }
  }

  std::string config_ = std::get<0>(GetParam());
  ClaimedCapability claimed_{std::get<2>(GetParam())};
  test::TemporaryFolder folder_;
};

TEST_P(CudaTrace, EveryStageErrsNoMoreThanTheReferenceItself) {
  trace(1, 1);
  expect_reference();
}

TEST_P(CudaTrace, OrderedSumsGiveTheSameLogitsOnEveryMesh) {
  const std::string digest = trace(1, 1);
  EXPECT_EQ(trace(2, 2), digest);
  // This one has two heads.
  if (config_ != "fp8-quantiser") {
    EXPECT_EQ(trace(4, 4), digest);
  }
  expect_reference();
}

TEST_P(CudaTrace, ASumOfOneLeafErrsNoMoreThanTheReferenceItself) {
  TraceOptions options;
  options.ask.run = on_cuda(config_, 1);
  options.ask.run.leaves = 1;
  trace(1, options);
  expect_reference();
}

TEST_P(CudaTrace, TwoLeavesGiveTheSameLogitsOnEveryMeshThatTheyAllow) {
  TraceOptions options;
  options.ask.run = on_cuda(config_, 1);
  options.ask.run.leaves = 2;
  const std::string digest = trace(1, options);
  options.ask.run.tensor_parallel = 2;
  EXPECT_EQ(trace(2, options), digest);
  options.ask.run.reduce = Reduce::kLibrary;
  EXPECT_THROW(load_model_files(options.ask.run), UsageError) << "nothing is cut there";
}

TEST_P(CudaTrace, LeavesInRegistersGiveTheSameLogitsOnEveryMeshWithinTheSameError) {
  TraceOptions options;
  options.ask.run = on_cuda(config_, 1);
  options.ask.run.wgmma = true;
  options.ask.run.leaves = 4;  // of 64 inputs or more
  const auto [major, minor] = cuda::compute_capability(0);
  if (config_.starts_with("fp8-") || !ops::own_kernel_serves(major, minor, 64)) {
    EXPECT_THROW(load_model_files(options.ask.run), UsageError);
    return;
  }
  const std::string digest = trace(1, options);
  expect_reference();
  for (const int ranks : {2, 4}) {
    options.ask.run.tensor_parallel = ranks;
    EXPECT_EQ(trace(ranks, options), digest) << ranks;
  }
}

TEST_P(CudaTrace, SumsInTheOrderOfTheLibraryAreWithinTheSameError) {
  // What is timed at the start is kept there.
  setenv("XDG_CACHE_HOME", folder_.path("cache").c_str(), 1);
  trace(2, 2, Reduce::kLibrary);
  expect_reference();
  const std::filesystem::directory_iterator kept(folder_.path("cache/retinue"));
  ASSERT_NE(kept, std::filesystem::directory_iterator());
  EXPECT_THAT(kept->path().filename().string(), testing::StartsWith("matmul-"));
  const auto written = kept->last_write_time();
  trace(2, 2, Reduce::kLibrary);
  EXPECT_EQ(kept->last_write_time(), written) << "the second start times nothing";
}

std::string case_name(const testing::TestParamInfo<CudaTrace::ParamType>& info) {
  const auto& [config, of_config, capability] = info.param;
  std::string name = config + "_" + of_config;
  if (!capability.empty()) name += "_on_" + capability;
  for (char& c : name)
    if (c == '-' || c == '.') c = '_';
  return name;
}
INSTANTIATE_TEST_SUITE_P(, CudaTrace,
                         testing::Combine(testing::ValuesIn(test::golden_configs()),
                                          testing::Values("image", "mixed"), testing::Values("")),
                         case_name);
INSTANTIATE_TEST_SUITE_P(Fp8, CudaTrace,
                         testing::Combine(testing::Values("fp8-wide", "fp8-quantiser"),
                                          testing::Values("text", "image"),
                                          testing::ValuesIn(capabilities())),
                         case_name);

/// With a KV cache of e4m3, which every GPU may have. Tests with FP8 in their names need 8.0.
class CudaTraceOverE4m3Cache : public CudaTrace {
 protected:
  std::string trace_on(DeviceType device, int tensor) {
    TraceOptions options;
    options.ask.run = on_cuda(config_, tensor);
    options.ask.run.device = device;
    options.ask.run.kv_cache_dtype = DType::kF8E4M3;
    return trace(tensor, options);
  }
};

/// CUDA and CPU add in other orders. Each may err by 1.5 times the reference's own error, as above.
TEST_P(CudaTraceOverE4m3Cache, LogitsAreThoseOfCpusWithinTheErrorOfBoth) {
  trace_on(DeviceType::kCpu, 1);
  const std::vector<float> on_cpu = stage("logits");
  trace_on(DeviceType::kCuda, 1);
  const std::vector<float> with_e4m3 = stage("logits");
  const auto golden = test::load_golden_case(config_, std::get<1>(GetParam()));
  const double bound = 2 * 1.5 * golden.error.at("logits");
  EXPECT_LE(test::relative_l2(with_e4m3, on_cpu), bound);
  trace(1, 1);
  EXPECT_GT(test::relative_l2(with_e4m3, stage("logits")), bound) << "a cache of bf16 is another";
}

TEST_P(CudaTraceOverE4m3Cache, OrderedSumsGiveTheSameLogitsOnEveryMesh) {
  const std::string digest = trace_on(DeviceType::kCuda, 1);
  EXPECT_EQ(trace_on(DeviceType::kCuda, 2), digest);
  EXPECT_EQ(trace_on(DeviceType::kCuda, 4), digest);
}

INSTANTIATE_TEST_SUITE_P(, CudaTraceOverE4m3Cache,
                         testing::Combine(testing::ValuesIn(test::golden_configs()),
                                          testing::Values("mixed"), testing::Values("")),
                         case_name);

class CudaCaption : public testing::Test {
 protected:
  /// The captions of ten items of the golden data, and with a model of random weights.
  std::string captions(int data, int tensor, std::int64_t max_sequences,
                       std::int64_t max_batch_tokens, double temperature = 0) {
    const std::string name =
        std::to_string(data) + "x" + std::to_string(tensor) + "." + std::to_string(runs_++);
    CaptionOptions options;
    options.run = on_cuda(config_, tensor);
    options.run.max_sequences = max_sequences;
    options.run.max_batch_tokens = max_batch_tokens;
    options.run.kv_cache_dtype = kv_cache_dtype_;
    options.sampling.max_new_tokens = 9;
    options.sampling.temperature = temperature;
    options.input = {manifest()};
    options.output = folder_.path(name);
    options.quiet = true;
    EXPECT_EQ(test::run_job(data * tensor,
                            [&](const Session& session) { return run_caption(session, options); }),
              0);
    return test::read_text(folder_.path(name + "/captions.jsonl"));
  }

  /// Of a checkpoint, which the golden models of several heads have not.
  std::string captions_of_checkpoint(const std::string& model, int data, int tensor,
                                     WeightsRead weights_read) {
    const std::string name = "checkpoint." + std::to_string(runs_++);
    CaptionOptions options;
    options.run = on_cuda("gqa8-tied", tensor);
    options.run.model = test::source_folder() + model;
    options.run.weights = {};
    options.run.weights_read = weights_read;
    options.sampling.max_new_tokens = 9;
    options.input = {manifest()};
    options.limit = 4;
    options.output = folder_.path(name);
    options.quiet = true;
    EXPECT_EQ(test::run_job(data * tensor,
                            [&](const Session& session) { return run_caption(session, options); }),
              0);
    const Json report = Json::parse(test::read_text(folder_.path(name + "/report.json")));
    exchanged_bytes_ = report["startup"]["weights_exchanged_bytes"];
    return test::read_text(folder_.path(name + "/captions.jsonl"));
  }

  std::string manifest() {
    const std::string images = test::golden_folder() + "/images/";
    const std::vector<std::string> names = {"fence.png", "pond.png",  "ridge.png",
                                            "stone.png", "tower.png", "turn-3.png"};
    std::string lines;
    for (std::size_t i = 0; i < 10; ++i) {
      Json line;
      line["id"] = "item-" + std::to_string(i);
      if (i % 4 == 3)
        line["prompt"] = "Say " + std::to_string(i);
      else
        line["image"] = images + names[i % names.size()];
      lines += line.dump() + "\n";
    }
    test::write_text(folder_.path("list.jsonl"), lines);
    return folder_.path("list.jsonl");
  }

  /// The same captions from each rank's own reads and from shared ones, on every mesh of two.
  void expect_same_however_read(const std::string& model) {
    const std::string one = captions_of_checkpoint(model, 1, 1, WeightsRead::kEach);
    EXPECT_EQ(std::ranges::count(one, '\n'), 4);
    for (const auto& [data, tensor] : {std::pair{2, 1}, std::pair{1, 2}}) {
      SCOPED_TRACE(std::to_string(data) + " x " + std::to_string(tensor));
      EXPECT_EQ(captions_of_checkpoint(model, data, tensor, WeightsRead::kEach), one);
      EXPECT_EQ(exchanged_bytes_, 0);
      EXPECT_EQ(captions_of_checkpoint(model, data, tensor, WeightsRead::kOnce), one);
      EXPECT_GT(exchanged_bytes_, 0);
    }
  }

  std::string config_ = "gqa8-tied";
  std::optional<DType> kv_cache_dtype_;
  int runs_ = 0;
  std::int64_t exchanged_bytes_ = 0;  ///< of weights, by the last captions_of_checkpoint()
  test::TemporaryFolder folder_;
};

TEST_F(CudaCaption, IsTheSameOnEveryMeshAndInEveryBatch) {
  const std::string one = captions(1, 1, 8, 256);
  EXPECT_EQ(std::ranges::count(one, '\n'), 10);
  const Json report = Json::parse(test::read_text(folder_.path("1x1.0/report.json")));
  EXPECT_GT(report["stages"]["replayed_steps"], 0) << "steps that only decode are recorded";
  EXPECT_EQ(captions(1, 1, 1, 64), one) << "alone";
  EXPECT_EQ(captions(1, 1, 3, 37), one) << "in small chunks";
  for (const auto& [data, tensor] :
       {std::pair{2, 1}, std::pair{1, 2}, std::pair{2, 2}, std::pair{1, 4}})
    EXPECT_EQ(captions(data, tensor, 8, 256), one) << data << " x " << tensor;
}

TEST_F(CudaCaption, OverE4m3CacheIsTheSameInEveryBatch) {
  kv_cache_dtype_ = DType::kF8E4M3;
  const std::string one = captions(1, 1, 8, 256);
  EXPECT_EQ(std::ranges::count(one, '\n'), 10);
  const Json report = Json::parse(test::read_text(folder_.path("1x1.0/report.json")));
  EXPECT_EQ(report["kv_cache_dtype"], "f8_e4m3");
  EXPECT_GT(report["stages"]["replayed_steps"], 0) << "steps that only decode are recorded";
  EXPECT_EQ(captions(1, 1, 1, 64), one) << "alone";
  EXPECT_EQ(captions(1, 1, 3, 37), one) << "in small chunks";
}

TEST_F(CudaCaption, OverE4m3CacheIsTheSameOnEveryMesh) {
  kv_cache_dtype_ = DType::kF8E4M3;
  const std::string one = captions(1, 1, 8, 256);
  for (const auto& [data, tensor] :
       {std::pair{2, 1}, std::pair{1, 2}, std::pair{2, 2}, std::pair{1, 4}})
    EXPECT_EQ(captions(data, tensor, 8, 256), one) << data << " x " << tensor;
}

TEST_F(CudaCaption, SampledIsTheSameOnEveryMesh) {
  const std::string one = captions(1, 1, 8, 256, 1.0);
  EXPECT_NE(one, captions(1, 1, 8, 256));
  EXPECT_EQ(captions(1, 2, 3, 64, 1.0), one);
}

TEST_F(CudaCaption, OfWeightsReadTogetherIsThatOfEachRanksOwnOnEveryMesh) {
  expect_same_however_read("/configs/models/emoji-captioner");
}

TEST_F(CudaCaption, OfFp8WeightsIsTheSameHoweverTheyAreReadAndOnEveryMesh) {
  config_ = "fp8-wide";
  for (const std::string& capability : capabilities()) {
    SCOPED_TRACE(capability);
    const ClaimedCapability claimed(capability);
    expect_same_however_read("/tests/golden/fp8/configs/fp8-quantiser");
    const std::string one = captions(1, 1, 8, 256);
    EXPECT_EQ(captions(1, 1, 1, 64), one) << "alone";
    for (const auto& [data, tensor] : {std::pair{2, 1}, std::pair{1, 2}, std::pair{1, 4}})
      EXPECT_EQ(captions(data, tensor, 8, 256), one) << data << " x " << tensor;
  }
}

TEST(CudaJob, DevicesWithOtherKernelsOfFp8HaveAnotherFingerprint) {
  const layers::ModelConfig config =
      layers::load_model_config(test::golden_root("fp8-wide") + "configs/fp8-wide");
  std::set<std::string> fingerprints;
  for (const std::string& capability : capabilities()) {
    const ClaimedCapability claimed(capability);
    const Context ctx = Context::plan({DeviceType::kCuda, 0}, 1);
    fingerprints.insert(layers::numerics(config, {}, ctx).fingerprint);
  }
  EXPECT_EQ(fingerprints.size(), capabilities().size());
}

TEST(CudaJob, RefusesFp8WeightsBelowAmpere) {
  if (!build::kCudaEmulated) return;  // a GPU cannot claim to be older
  const ClaimedCapability claimed("7.5");
  try {
    (void)load_model_files(on_cuda("fp8-wide", 1));
    FAIL() << "wanted a UsageError";
  } catch (const UsageError& error) {
    EXPECT_THAT(error.what(), testing::HasSubstr("compute capability 7.5"));
    EXPECT_THAT(error.what(), testing::HasSubstr("8.0"));
  }
  EXPECT_NO_THROW((void)load_model_files(on_cuda("gqa8-tied", 1)));
}

TEST(CudaJob, RefusesRanksWithoutADeviceOfTheirOwn) {
  const int ranks = cuda::availability().devices + 1;
  AskOptions options;
  options.run = on_cuda("gqa8-tied", 1);
  options.prompt = "Say one";
  try {
    test::run_job(ranks, [&](const Session& session) { return run_ask(session, options); });
    FAIL() << "wanted a UsageError";
  } catch (const UsageError& error) {
    EXPECT_THAT(error.what(), testing::HasSubstr("2 ranks would share the GPU"));
    EXPECT_THAT(error.what(), testing::HasSubstr("--share-device"));
  }
}

TEST(CudaJob, RefusesPartsOfBlocksOfFp8Weights) {
  AskOptions options;
  options.run = on_cuda("fp8-narrow", 1);
  options.prompt = "Say one";
  try {
    test::run_job(1, [&](const Session& session) { return run_ask(session, options); });
    FAIL() << "wanted a UsageError";
  } catch (const UsageError& error) {
    EXPECT_THAT(error.what(), testing::HasSubstr("64 of the 64 outputs of"));
    EXPECT_THAT(error.what(), testing::HasSubstr("k_proj"));
    EXPECT_THAT(error.what(), testing::HasSubstr("--device cpu"));
  }
}

TEST(CudaJob, RefusesFloat32) {
  RunOptions options = on_cuda("gqa8-tied", 1);
  options.dtype = DType::kF32;
  try {
    (void)load_model_files(options);
    FAIL() << "wanted a UsageError";
  } catch (const UsageError& error) {
    EXPECT_THAT(error.what(), testing::HasSubstr("Use --dtype bfloat16"));
  }
}

}  // namespace
}  // namespace retinue::runtime
