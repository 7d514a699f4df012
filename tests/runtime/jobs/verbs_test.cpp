// `ask`, `check` and `quantize`.
#include "layers/weights/checkpoint.h"
#include "runtime/jobs/job.h"
#include "runtime/jobs/prepared_request.h"
#include "runtime/jobs/stop_signal.h"
#include "tests/support/job_ranks.h"
#include "tests/support/source_folder.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <csignal>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <functional>
#include <memory>

namespace retinue::runtime {
namespace {

using Json = nlohmann::ordered_json;
using testing::HasSubstr;

std::string image(const std::string& name) { return test::golden_folder() + "/images/" + name; }

class Ask : public testing::Test {
 protected:
  AskOptions options() {
    AskOptions options;
    options.run = test::golden_run("gqa8-tied");
    options.sampling.max_new_tokens = 12;
    options.sampling.ignore_eos = true;
    options.image = {image("fence.png")};
    options.prompt = "What is this?";
    return options;
  }
  std::string answer(AskOptions asked, int data = 1, int tensor = 1) {
    asked.run.tensor_parallel = tensor;
    testing::internal::CaptureStdout();
    EXPECT_EQ(test::run_job(data * tensor,
                            [&](const Session& session) { return run_ask(session, asked); }),
              0);
    return testing::internal::GetCapturedStdout();
  }
  std::string refusal(const AskOptions& asked, int ranks = 1) {
    try {
      test::run_job(ranks, [&](const Session& session) { return run_ask(session, asked); });
    } catch (const UsageError& error) {
      return error.what();
    }
    return "";
  }
  test::TemporaryFolder folder_;
};

TEST_F(Ask, PrintsTheAnswerAloneAndTheSameOnEveryMesh) {
  const std::string text = answer(options());
  EXPECT_GT(text.size(), 5U);
  EXPECT_EQ(text.back(), '\n');
  EXPECT_EQ(answer(options(), 1, 2), text);
  EXPECT_EQ(answer(options(), 2, 1), text);
  EXPECT_EQ(answer(options(), 2, 2), text);
}

TEST_F(Ask, IsTheCaptionOfTheSameQuestion) {
  CaptionOptions caption;
  caption.run = options().run;
  caption.sampling = options().sampling;
  caption.prompt = options().prompt;
  caption.input = options().image;
  caption.output = folder_.path("out");
  caption.quiet = true;
  ASSERT_EQ(test::run_job(1, [&](const Session& session) { return run_caption(session, caption); }),
            0);
  const Json record = Json::parse(test::read_text(folder_.path("out/captions.jsonl")));
  EXPECT_EQ(answer(options()), record["caption"].get<std::string>() + "\n");
}

// The plan of a caption job holds for every image; `ask` plans for the one that it has.
TEST_F(Ask, IsTheCaptionWhereRoundingExceedsThePixelBudget) {
  AskOptions asked = options();
  asked.run.min_pixels = asked.run.max_pixels = 65536;
  CaptionOptions caption;
  caption.run = asked.run;
  caption.sampling = asked.sampling;
  caption.prompt = asked.prompt;
  caption.input = asked.image;
  caption.output = folder_.path("out");
  caption.quiet = true;
  ASSERT_EQ(test::run_job(1, [&](const Session& session) { return run_caption(session, caption); }),
            0);
  const Json record = Json::parse(test::read_text(folder_.path("out/captions.jsonl")));
  EXPECT_EQ(answer(asked), record["caption"].get<std::string>() + "\n");
}

TEST_F(Ask, MessagesAskTheSame) {
  const std::string text = answer(options());
  std::filesystem::copy(image("fence.png"), folder_.path("p.png"));
  test::write_text(
      folder_.path("m.json"),
      R"([{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "p.png"}},
                       {"type": "text", "text": "What is this?"}]}])");
  AskOptions asked = options();
  asked.image.clear(), asked.prompt.clear();
  asked.messages = folder_.path("m.json");
  EXPECT_EQ(answer(asked), text);
}

TEST_F(Ask, AStopTextIsNotPrinted) {
  const std::string text = answer(options());
  AskOptions asked = options();
  // A letter somewhere in the middle.
  std::size_t at = text.size() / 2;
  while (text[at] < 'A' || text[at] > 'z') ++at;
  asked.sampling.stop = {text.substr(at, 1)};
  EXPECT_EQ(answer(asked), text.substr(0, text.find(text[at])) + "\n");
}

TEST_F(Ask, RandomWeightsStillWantTheSmallFilesAndSayWhich) {
  AskOptions asked = options();
  std::filesystem::copy(asked.run.model + "/config.json", folder_.path("config.json"));
  asked.run.model = folder_.path();
  asked.run.weights = {.random = true};
  EXPECT_THAT(refusal(asked), testing::AllOf(HasSubstr("--weights"), HasSubstr("copy"),
                                             HasSubstr("tokenizer.json, preprocessor_config.json"),
                                             testing::Not(HasSubstr("lacks config.json"))));
}

TEST_F(Ask, WhatCannotBeAskedIsRefusedOnEveryRankAlike) {
  AskOptions asked = options();
  asked.image = {folder_.path("missing.png")};
  EXPECT_THAT(refusal(asked, 2), HasSubstr("missing.png"));
  asked = options();
  asked.messages = "x.json";
  EXPECT_THAT(refusal(asked), HasSubstr("--messages"));
  asked = options();
  asked.image.clear(), asked.prompt.clear();
  EXPECT_THAT(refusal(asked), HasSubstr("nothing is asked"));
  asked = options();
  asked.run.tensor_parallel = 3;
  EXPECT_THAT(refusal(asked, 3), HasSubstr("tensor"));
  asked = options();
  asked.run.tensor_parallel = 2;
  EXPECT_NE(refusal(asked, 3), "");
}

TEST_F(Ask, MessagesOf500000LevelsAreRefused) {
  AskOptions asked = options();
  asked.image.clear(), asked.prompt.clear();
  asked.messages = folder_.path("deep.json");
  test::write_text(asked.messages, std::string(500'000, '[') + std::string(500'000, ']'));
  EXPECT_THAT(refusal(asked), HasSubstr("[--messages] " + asked.messages +
                                        ": wanted at most 1000 levels of brackets"));
}

class Check : public testing::Test {
 protected:
  std::string check_of(const CaptionOptions& options, int ranks, double gpu_memory_gib = 0,
                       int ranks_per_node = 0) {
    const std::string path = folder_.path("out.txt");
    std::FILE* out = std::fopen(path.c_str(), "w");
    const std::unique_ptr<std::FILE, decltype(&std::fclose)> closed(out, &std::fclose);
    const int code =
        run_check(options, ranks, ranks_per_node > 0 ? ranks_per_node : ranks, gpu_memory_gib, out);
    EXPECT_EQ(code, 0);
    std::fflush(out);
    return test::read_text(path);
  }
  CaptionOptions options() {
    CaptionOptions options;
    options.run = test::golden_run("gqa8-tied");
    options.input = {image("")};
    return options;
  }
  test::TemporaryFolder folder_;
};

TEST_F(Check, PrintsMeshMemoryAndInput) {
  CaptionOptions asked = options();
  asked.run.tensor_parallel = 4;
  const std::string text = check_of(asked, 8);
  EXPECT_THAT(text, HasSubstr("8 ranks = data 2 x tensor 4"));
  EXPECT_THAT(text, HasSubstr("heads 2 of 8"));
  for (const char* key : {"weights", "KV cache", "features", "activations", "scratch",
                          "communication", "prompt tokens", "sampling"})
    EXPECT_THAT(text, HasSubstr(key));
  EXPECT_THAT(text, HasSubstr("13 (13 images, 0 videos)"));
}

TEST_F(Check, WarnsOfAReplicaThatSpansHosts) {
  CaptionOptions asked = options();
  asked.run.tensor_parallel = 4;
  EXPECT_THAT(check_of(asked, 8, 0, 4), testing::Not(HasSubstr("warning")));
  EXPECT_THAT(check_of(asked, 8, 0, 2), HasSubstr("replicas of 4 ranks span hosts of 2"));
  EXPECT_THAT(check_of(asked, 4, 0, 3), HasSubstr("Use a --tensor-parallel that divides 3."));
}

TEST_F(Check, PlansForGpusThatAreNotHere) {
  CaptionOptions asked = options();
  asked.run.device = DeviceType::kCuda, asked.run.dtype = DType::kBF16;
  asked.run.tensor_parallel = 2;
  const std::string text = check_of(asked, 2, 80);
  for (const char* line : {"77.600 GiB may be used", "  driver and libraries ", "  NCCL "})
    EXPECT_THAT(text, HasSubstr(line));
  asked.run.tensor_parallel = 0;
  EXPECT_THAT(check_of(asked, 4, 80), HasSubstr("4 ranks = data 4 x tensor 1"));
  EXPECT_THAT(check_of(asked, 4, 80), testing::Not(HasSubstr("NCCL")));
  EXPECT_THROW(check_of(asked, 1, 0), UsageError);
  EXPECT_THROW(check_of(asked, 1, 1.4), UsageError) << "less than driver and libraries take";
}

TEST_F(Check, PlansFp8ForGpusAndRefusesPartsOfBlocks) {
  const auto plan = [&](const char* config, int ranks) {
    CaptionOptions asked = options();
    asked.run = test::golden_run(config);
    asked.run.device = DeviceType::kCuda, asked.run.dtype = DType::kBF16;
    asked.run.tensor_parallel = ranks;
    return check_of(asked, ranks, 80);
  };
  EXPECT_THAT(plan("fp8-wide", 4), HasSubstr("projections of the decoder in FP8"));
  try {
    plan("fp8-narrow", 1);
    FAIL() << "wanted a UsageError";
  } catch (const UsageError& error) {
    EXPECT_THAT(error.what(), HasSubstr("64 of the 64 outputs of"));
    EXPECT_THAT(error.what(), HasSubstr("whole blocks of 128 outputs"));
  }
}

/// Replaces the first `was` of a file, where it is.
void replace_in(const std::string& path, const std::string& was, const std::string& now) {
  std::string text = test::read_text(path);
  const std::size_t at = text.find(was);
  if (at == text.npos) return;
  test::write_text(path, text.replace(at, was.size(), now));
}

struct Misfit {
  const char* name;
  const char* model;      ///< in the source folder
  const char *was, *now;  ///< texts of its files
  const char* refusal;    ///< part of the message
};
class RefusedCheckpoint : public Check {
 protected:
  static std::string refusal(const std::function<void()>& run) {
    try {
      run();
    } catch (const UsageError& error) {
      return error.what();
    }
    return "";
  }
  /// What `ask` says of the checkpoint in model_; the others must say the same.
  std::string refusal_of_all() {
    CaptionOptions checked = options();
    AskOptions asked;
    checked.run.model = model_, checked.run.dtype = {}, checked.run.weights = {};
    asked.run = checked.run, asked.prompt = "What is this?";
    std::string of_ask = refusal(
        [&] { test::run_job(1, [&](const Session& session) { return run_ask(session, asked); }); });
    EXPECT_EQ(refusal([&] { check_of(checked, 1); }), of_ask);
    checked.run.device = DeviceType::kCuda;
    EXPECT_EQ(refusal([&] { check_of(checked, 1, 80); }), of_ask);
    const QuantizeOptions quantised{.model = model_, .output = folder_.path("fp8"), .threads = 1};
    EXPECT_EQ(refusal([&] { run_quantize(quantised, stdout); }), of_ask);
    EXPECT_FALSE(std::filesystem::exists(quantised.output));
    return of_ask;
  }
  std::string model_ = folder_.path("model");
};
class CheckedCheckpoint : public RefusedCheckpoint, public testing::WithParamInterface<Misfit> {};

TEST_P(CheckedCheckpoint, IsRefusedAsAskRefusesIt) {
  const Misfit& misfit = GetParam();
  std::filesystem::copy(test::source_folder() + "/" + misfit.model, model_);
  for (const auto& entry : std::filesystem::directory_iterator(model_))
    replace_in(entry.path().string(), misfit.was, misfit.now);
  EXPECT_THAT(refusal_of_all(), HasSubstr(misfit.refusal));
}

constexpr const char* kQuantised = "tests/golden/fp8/configs/fp8-quantiser";

/// Fp8Checkpoint of the tests of weights has the other wrong scales.
TEST_F(RefusedCheckpoint, AScaleThatIsNoNumberIsRefusedAsAskRefusesIt) {
  std::filesystem::copy(test::source_folder() + "/" + kQuantised, model_);
  const std::string name = "model.language_model.layers.0.mlp.up_proj.weight_scale_inv";
  const std::string path = layers::Checkpoint(model_).file_of(name).path();
  std::string text = test::read_text(path);
  std::uint64_t header = 0;
  std::memcpy(&header, text.data(), sizeof header);
  const Json tensor = Json::parse(text.substr(sizeof header, header))[name];
  ASSERT_EQ(tensor["dtype"], "BF16");
  text.replace(sizeof header + header + tensor["data_offsets"][0].get<std::size_t>(), 2,
               "\xC0\x7F");
  test::write_text(path, text);
  EXPECT_THAT(refusal_of_all(), HasSubstr("the scale of block [0, 0] in tensor " + name));
}

TEST_F(Check, SaysThatTheValuesOfWeightsWereNotRead) {
  EXPECT_THAT(check_of(options(), 1), HasSubstr("random:"));
  CaptionOptions asked = options();
  asked.run.model = test::source_folder() + "/" + kQuantised;
  asked.run.dtype = {}, asked.run.weights = {};
  EXPECT_THAT(check_of(asked, 1), HasSubstr("types and scales fit config.json; values were not "
                                            "read"));
}

INSTANTIATE_TEST_SUITE_P(
    Fp8, CheckedCheckpoint,
    testing::Values(
        Misfit{"a_config_that_says_nothing", kQuantised, R"("quantization_config")", R"("other")",
               "by the quantization_config of config.json it is not quantised"},
        Misfit{"a_config_that_says_fp8", "configs/models/emoji-captioner", R"("architectures")",
               R"("quantization_config": {"quant_method": "fp8", "modules_to_not_convert":
                  ["head", "visual", "q_p", "k_p", "v_p", "gate", "up"]}, "architectures")",
               "by the quantization_config of config.json it is F8_E4M3"},
        Misfit{"a_layer_that_is_not_in_the_config", "configs/models/emoji-captioner",
               R"("num_hidden_layers": 4)", R"("num_hidden_layers": 3)",
               "tensor(s) that this configuration does not have: model.language_model.layers.3."},
        Misfit{"a_missing_scale", kQuantised, "up_proj.weight_scale_inv",
               "up_proj.weight_scale_xyz", "up_proj.weight_scale_inv is missing"},
        Misfit{"a_scale_of_another_shape", kQuantised,
               R"(mlp.up_proj.weight_scale_inv":{"dtype":"BF16","shape":[2,2])",
               R"(mlp.up_proj.weight_scale_inv":{"dtype":"BF16","shape":[4,1])",
               "has shape [4, 1], config.json asks for [2, 2]"}),
    [](const auto& misfit) { return misfit.param.name; });

TEST_F(Check, RefusesWhatWouldNotRunBeforeItPrints) {
  const auto expect_refused = [&](const CaptionOptions& asked, int ranks) {
    EXPECT_THROW(check_of(asked, ranks), UsageError);
    EXPECT_EQ(test::read_text(folder_.path("out.txt")), "");
  };
  CaptionOptions asked = options();
  asked.run.tensor_parallel = 3;
  expect_refused(asked, 3);
  asked = options();
  asked.input = {folder_.path("missing")};
  expect_refused(asked, 1);
  asked = options();
  asked.run.kv_memory_gib = 1e6;
  expect_refused(asked, 1);
}

TEST_F(Check, CountsItemsThatTheEngineWouldRefuse) {
  CaptionOptions asked = options();
  EXPECT_THAT(check_of(asked, 1), testing::Not(HasSubstr("together at most")));
  asked.sampling.max_new_tokens = 16777216;
  EXPECT_THAT(check_of(asked, 1), testing::AllOf(HasSubstr("13 of 13 that were looked at"),
                                                 HasSubstr("together at most")));
}

TEST_F(Check, RefusesAFolderOfAnotherJobAsCaptionDoes) {
  CaptionOptions asked = options();
  asked.input = {image("fence.png")};
  asked.output = folder_.path("job");
  asked.sampling.max_new_tokens = 2;
  asked.quiet = true;
  const auto caption = [&] {
    return test::run_job(1, [&](const Session& session) { return run_caption(session, asked); });
  };
  ASSERT_EQ(caption(), 0);
  EXPECT_THAT(check_of(asked, 1), HasSubstr("items/s of the last run there"));
  asked.prompt = "Another.";
  EXPECT_THAT([&] { check_of(asked, 1); },
              testing::ThrowsMessage<UsageError>(HasSubstr("holds another job: prompt was")));
  EXPECT_THAT(caption,
              testing::ThrowsMessage<UsageError>(HasSubstr("holds another job: prompt was")));
}

TEST_F(Check, AReportThatIsNotOursLeavesTheTimeUnknown) {
  CaptionOptions asked = options();
  asked.output = folder_.path("job");
  std::filesystem::create_directory(asked.output);
  for (const char* report : {R"({"this_run":5})", R"({"this_run":[]})", R"({"this_run":null})",
                             R"({"this_run":{"seconds":"2","done":1,"failed":0}})", "[]", "null"}) {
    test::write_text(asked.output + "/report.json", report);
    EXPECT_THAT(check_of(asked, 1), HasSubstr("unknown before a run")) << report;
  }
}

class Quantize : public testing::Test {
 protected:
  QuantizeOptions options() {
    return {.model = test::source_folder() + "/configs/models/emoji-captioner",
            .output = folder_.path("fp8"),
            .threads = 1};
  }
  std::string printed(const QuantizeOptions& asked) {
    const std::string path = folder_.path("out.txt");
    std::FILE* out = std::fopen(path.c_str(), "w");
    EXPECT_EQ(run_quantize(asked, out), 0);
    std::fclose(out);
    return test::read_text(path);
  }
  test::TemporaryFolder folder_;
};

TEST_F(Quantize, QuietItPrintsNothing) {
  QuantizeOptions asked = options();
  EXPECT_THAT(printed(asked), HasSubstr("8 projections of the decoder are FP8"));
  asked.output = folder_.path("quiet"), asked.quiet = true;
  EXPECT_EQ(printed(asked), "");
}

TEST_F(Quantize, ASummaryThatCannotBeWrittenLeavesTheCheckpoint) {
  std::FILE* full = std::fopen("/dev/full", "w");
  testing::internal::CaptureStderr();
  EXPECT_EQ(run_quantize(options(), full), 0);
  EXPECT_THAT(testing::internal::GetCapturedStderr(),
              HasSubstr("[stdout] this summary could not be written; " + options().output +
                        " is complete"));
  std::fclose(full);
  EXPECT_TRUE(std::filesystem::exists(options().output + "/model.safetensors"));
}

TEST_F(Quantize, ASecondSignalSaysThatItLeavesWhatIsUnfinished) {
  const auto interrupt_twice = [] {
    StopSignal signal(true);
    signal.set_in_flight(true);
    (void)std::raise(SIGINT);
    (void)std::raise(SIGINT);
  };
  EXPECT_EXIT(interrupt_twice(), testing::ExitedWithCode(75),
              "asked to stop twice: .* the same command replaces it");
}

TEST_F(Quantize, ASignalEndsItAndTheSameCommandBeginsAgain) {
  for (const int number : {SIGTERM, SIGINT}) {
    StopSignal outer(false);
    outer.set_in_flight(true);
    ASSERT_EQ(std::raise(number), 0);
    EXPECT_THROW(run_quantize(options(), stdout), SystemError);
    EXPECT_TRUE(std::filesystem::is_empty(folder_.path()));
  }
  EXPECT_NE(printed(options()), "");
}

TEST(AssumedRate, IsNamedForListsOfFramesThatHaveNone) {
  const auto warning_of = [](MediaReference media) {
    Item item;
    item.media.push_back(std::move(media));
    return assumed_rate_warning(item);
  };
  const std::string warning =
      "[video] a list of frames has no \"fps\": 24 frames per second are assumed, as transformers "
      "does";
  EXPECT_EQ(warning_of({MediaKind::kVideo, {"1.png", "2.png"}, 0.0}), warning);
  EXPECT_EQ(warning_of({MediaKind::kVideo, {"1.png", "2.png"}, 24.0}), "");
  EXPECT_EQ(warning_of({MediaKind::kVideo, {"a.mp4"}, 0.0}), "") << "the file has a rate";
  EXPECT_EQ(warning_of({MediaKind::kImage, {"1.png"}, 0.0}), "");
  EXPECT_EQ(assumed_rate_warning({}), "");
}

}  // namespace
}  // namespace retinue::runtime
