#include "runtime/jobs/stop_signal.h"
#include "runtime/output/journal.h"
#include "tests/support/job_ranks.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <chrono>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <sys/resource.h>
#include <thread>

namespace retinue::runtime {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;
using testing::HasSubstr;

std::vector<std::string> lines_of(const std::string& path) {
  std::istringstream text(test::read_text(path));
  std::vector<std::string> lines;
  for (std::string line; std::getline(text, line);) lines.push_back(line);
  return lines;
}

/// Waits until `done`, for a minute at most. False, with a failure of the test: it never was.
template <class Done>
bool wait_until(const Done& done, const char* what) {
  const auto until = std::chrono::steady_clock::now() + std::chrono::minutes(1);
  while (!done()) {
    if (std::chrono::steady_clock::now() > until) {
      ADD_FAILURE() << "waited a minute in vain until " << what;
      return false;
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  return true;
}

/// Types of the entries of a segment, in order. A line is <checksum> <type> <item> <JSON>.
std::string entry_types(const std::string& segment) {
  std::string types;
  for (const std::string& line : lines_of(segment)) {
    std::istringstream words(line);
    std::string checksum, type;
    if (words >> checksum >> type) types += type;
  }
  return types;
}

bool has_done_an_item(const std::string& segment) {
  return fs::exists(segment) && entry_types(segment).find('D') != std::string::npos;
}

class Caption : public testing::Test {
 protected:
  /// A manifest of images of the golden data, with a video and a text among them.
  std::string manifest(std::size_t items) {
    const std::string images = test::golden_folder() + "/images/";
    const std::vector<std::string> names = {"fence.png", "pond.png",  "ridge.png",
                                            "stone.png", "tower.png", "turn-3.png"};
    std::ofstream file(folder_.path("list.jsonl"));
    for (std::size_t i = 0; i < items; ++i) {
      Json line;
      line["id"] = "item-" + std::to_string(items - i);
      if (i % 7 == 5) {
        line["video"] = {images + "walk-0.png", images + "walk-1.png", images + "walk-2.png"};
        line["fps"] = 2.0;
      } else if (i % 7 == 6) {
        line["prompt"] = "Say " + std::to_string(i);
      } else if (i % 7 == 4) {
        line["images"] = {images + names[i % 6], images + names[(i + 1) % 6]};
      } else {
        line["image"] = images + names[i % 6];
      }
      file << line.dump() << "\n";
    }
    return folder_.path("list.jsonl");
  }

  CaptionOptions options(const std::string& input, const std::string& output) {
    CaptionOptions options;
    options.run = test::golden_run("gqa8-tied");
    options.sampling.max_new_tokens = 8;
    options.input = {input};
    options.output = folder_.path(output);
    options.quiet = true;
    options.fsync_interval_ms = 1;
    return options;
  }

  int run(CaptionOptions asked, int data = 1, int tensor = 1) {
    asked.run.tensor_parallel = tensor;
    return test::run_job(data * tensor,
                         [&](const Session& session) { return run_caption(session, asked); });
  }

  /// The message with which a job is refused; empty where it is not.
  std::string refusal(const CaptionOptions& asked, int data = 1) {
    try {
      run(asked, data);
    } catch (const UsageError& error) {
      return error.what();
    }
    return "";
  }

  std::string captions(const std::string& output) {
    return test::read_text(folder_.path(output + "/captions.jsonl"));
  }

  test::TemporaryFolder folder_;
};

TEST_F(Caption, GivesTheSameBytesOnEveryMesh) {
  const std::string input = manifest(17);
  ASSERT_EQ(run(options(input, "1x1")), 0);
  const auto lines = lines_of(folder_.path("1x1/captions.jsonl"));
  ASSERT_EQ(lines.size(), 17U);
  for (std::size_t i = 0; i < lines.size(); ++i)
    EXPECT_EQ(Json::parse(lines[i])["id"], "item-" + std::to_string(17 - i)) << "input order";
  for (const auto& [data, tensor] : {std::pair{2, 1}, std::pair{1, 2}, std::pair{3, 1},
                                     std::pair{4, 1}, std::pair{2, 2}, std::pair{1, 4}}) {
    const std::string mesh = std::to_string(data) + "x" + std::to_string(tensor);
    EXPECT_EQ(run(options(input, mesh), data, tensor), 0);
    EXPECT_EQ(captions(mesh), captions("1x1")) << mesh;
  }
}

TEST_F(Caption, AVocabularyThatRanksDoNotDivideGivesTheSameBytesOnEveryMesh) {
  CaptionOptions asked = options(manifest(7), "one");
  std::filesystem::copy(asked.run.model, folder_.path("model"));
  asked.run.model = folder_.path("model");
  asked.run.weights = parse_weights("random:7");
  Json config = Json::parse(test::read_text(folder_.path("model/config.json")));
  config["text_config"]["vocab_size"] = config["text_config"]["vocab_size"].get<int>() + 1;
  test::write_text(folder_.path("model/config.json"), config.dump());
  asked.top_logprobs = 2;  // needs whole rows of logits
  ASSERT_EQ(run(asked), 0);
  for (const int tensor : {2, 4}) {
    asked.output = folder_.path("tensor-" + std::to_string(tensor));
    ASSERT_EQ(run(asked, 1, tensor), 0);
    EXPECT_EQ(captions("tensor-" + std::to_string(tensor)), captions("one"));
  }
  asked.top_logprobs = 0;  // needs the largest of each rank alone
  asked.output = folder_.path("greedy");
  ASSERT_EQ(run(asked), 0);
  asked.output = folder_.path("greedy-2");
  ASSERT_EQ(run(asked, 1, 2), 0);
  EXPECT_EQ(captions("greedy-2"), captions("greedy"));
}

TEST_F(Caption, AnItemIsTheSameAloneAsAmongSixteenOthers) {
  ASSERT_EQ(run(options(manifest(17), "all")), 0);
  const auto all = lines_of(folder_.path("all/captions.jsonl"));
  const auto asked = lines_of(folder_.path("list.jsonl"));
  for (const std::size_t i : {0U, 4U, 5U, 6U, 16U}) {
    const std::string name = "alone-" + std::to_string(i);
    test::write_text(folder_.path(name + ".jsonl"), asked[i] + "\n");
    ASSERT_EQ(run(options(folder_.path(name + ".jsonl"), name)), 0);
    EXPECT_EQ(captions(name), all[i] + "\n");
  }
}

TEST_F(Caption, PreloadedPixelsChangeNoByte) {
  const std::string input = manifest(9);
  ASSERT_EQ(run(options(input, "plain")), 0);
  CaptionOptions asked = options(input, "preloaded");
  asked.ablation = AblationKind::kPreloadedPixels;
  ASSERT_EQ(run(asked, 1, 2), 0);
  EXPECT_EQ(captions("preloaded"), captions("plain"));
}

TEST_F(Caption, AblationsThatChangeAnswersAreInEveryRecordAndInTheJobSignature) {
  const std::string input = manifest(9);
  for (const auto& [ablation, value] : {std::pair{"text-only", AblationKind::kTextOnly},
                                        {"null-collectives", AblationKind::kNullCollectives}}) {
    CaptionOptions asked = options(input, ablation);
    asked.ablation = value;
    asked.sampling.ignore_eos = true;
    ASSERT_EQ(run(asked, 1, 2), 0) << ablation;
    for (const std::string& line :
         lines_of(folder_.path(std::string(ablation) + "/captions.jsonl")))
      EXPECT_EQ(Json::parse(line)["finish_reason"], "ablation") << ablation;
    EXPECT_THAT(test::read_text(folder_.path(std::string(ablation) + "/job.json")),
                HasSubstr(ablation));
    asked.ablation = AblationKind::kNone;
    EXPECT_THROW(run(asked, 1, 2), UsageError) << "the folder holds other answers";
  }
}

TEST_F(Caption, NullCollectivesNeedAFixedLength) {
  CaptionOptions asked = options(manifest(2), "job");
  asked.ablation = AblationKind::kNullCollectives;
  EXPECT_THROW(run(asked), UsageError);
}

TEST_F(Caption, AProfileHasEveryStepCollectiveAndRecord) {
  CaptionOptions asked = options(manifest(9), "job");
  asked.profile = true;
  ASSERT_EQ(run(asked, 2, 2), 0);
  std::size_t records = 0;
  for (int rank = 0; rank < 4; ++rank) {
    const Json profile = Json::parse(
        test::read_text(folder_.path("job/profile/r0000" + std::to_string(rank) + ".json")));
    EXPECT_EQ(profile["schema_version"], 1);
    EXPECT_EQ(profile["steps"]["rows"].size(), profile["engine"]["steps"]);
    EXPECT_GT(profile["collectives"]["ns"].size(), 0U);
    EXPECT_GT(profile["work_s"], 0);
    records += profile["records"]["ns"].size();
  }
  EXPECT_EQ(records, 9U);
}

TEST_F(Caption, AFinishedJobIsFinalizedAgainInAnotherFormat) {
  CaptionOptions asked = options(manifest(3), "job");
  ASSERT_EQ(run(asked), 0);
  const std::string before = captions("job");
  EXPECT_FALSE(fs::exists(folder_.path("job/captions.parquet")));
  asked.output_format = OutputFormat::kParquet;
  ASSERT_EQ(run(asked), 0);
  EXPECT_EQ(captions("job"), before);
  EXPECT_TRUE(fs::exists(folder_.path("job/captions.parquet")));
}

TEST_F(Caption, SamplingDependsOnNeitherMeshNorOrder) {
  CaptionOptions asked = options(manifest(9), "one");
  asked.sampling.temperature = 1.0;
  asked.sampling.top_p = 0.9;
  asked.sampling.seed = 7;
  ASSERT_EQ(run(asked), 0);
  asked.output = folder_.path("four");
  asked.run.max_sequences = 2;
  ASSERT_EQ(run(asked, 2, 2), 0);
  EXPECT_EQ(captions("four"), captions("one"));
  asked.output = folder_.path("shuffled");
  asked.shuffle = 3;
  ASSERT_EQ(run(asked), 0);
  EXPECT_EQ(captions("shuffled"), captions("one"));
}

TEST_F(Caption, ARecordHasTheKeysOfTheContract) {
  CaptionOptions asked = options(test::golden_folder() + "/images/pond.png", "out");
  asked.top_logprobs = 3;
  ASSERT_EQ(run(asked), 0);
  const Json record = Json::parse(captions("out"));
  std::vector<std::string> keys;
  for (const auto& [key, value] : record.items()) keys.push_back(key);
  EXPECT_THAT(keys, testing::ElementsAre("id", "caption", "finish_reason", "prompt_tokens",
                                         "completion_tokens", "input", "sha256", "numerics",
                                         "token_ids", "logprobs", "top_logprobs"));
  EXPECT_EQ(record["sha256"], "e6db82fec95c037c2ca010715cdf5c620fe02505be81c7b8e226992f60224299");
  EXPECT_EQ(record["logprobs"].size(), record["completion_tokens"].get<std::size_t>());
  const Json job = Json::parse(test::read_text(folder_.path("out/job.json")));
  const auto fingerprint = job["numerics"]["fingerprint"].get<std::string>();
  EXPECT_EQ(record["numerics"], fingerprint.substr(0, 16));
  ASSERT_EQ(record["top_logprobs"].size(), record["completion_tokens"].get<std::size_t>());
  for (std::size_t i = 0; i < record["top_logprobs"].size(); ++i) {
    const Json& top = record["top_logprobs"][i];
    ASSERT_EQ(top.size(), 3U);
    EXPECT_EQ(top[0], Json({record["token_ids"][i], record["logprobs"][i]})) << "it is greedy";
    EXPECT_GE(top[0][1], top[1][1]);
    EXPECT_GE(top[1][1], top[2][1]);
  }
  const Json report = Json::parse(test::read_text(folder_.path("out/report.json")));
  EXPECT_EQ(report["exit_code"], 0);
  EXPECT_EQ(report["items"]["done"], 1);
}

TEST_F(Caption, StopTextsEndACaptionBeforeThem) {
  CaptionOptions asked = options(manifest(1), "free");
  ASSERT_EQ(run(asked), 0);
  const std::string free = Json::parse(captions("free"))["caption"].get<std::string>();
  ASSERT_GE(free.size(), 4U);
  asked.output = folder_.path("stopped");
  asked.sampling.stop = {free.substr(2, 2)};
  ASSERT_EQ(run(asked), 0);
  const Json record = Json::parse(captions("stopped"));
  EXPECT_EQ(record["caption"], free.substr(0, free.find(asked.sampling.stop[0])));
  EXPECT_EQ(record["finish_reason"], "stop");
}

TEST_F(Caption, BadItemsHurtNoOthers) {
  const std::string images = test::golden_folder() + "/images/";
  test::write_text(folder_.path("broken.png"), "no image");
  test::write_text(folder_.path("list.jsonl"),
                   "{\"id\": \"a\", \"image\": \"" + images + "pond.png\"}\n" +
                       "{\"id\": \"b\", \"image\": \"broken.png\"}\n" + "not json\n" +
                       "{\"id\": \"c\", \"image\": \"missing.png\"}\n" +
                       "{\"id\": \"a\", \"image\": \"" + images + "fence.png\"}\n" +
                       "{\"id\": \"d\", \"image\": 5}\n" + "{\"id\": \"e\", \"image\": \"" +
                       images + "fence.png\"}\n");
  for (const auto& [data, tensor] : {std::pair{1, 1}, std::pair{3, 1}, std::pair{1, 2}}) {
    const std::string out = "out" + std::to_string(data) + std::to_string(tensor);
    EXPECT_EQ(run(options(folder_.path("list.jsonl"), out), data, tensor), 3);
    const auto done = lines_of(folder_.path(out + "/captions.jsonl"));
    ASSERT_EQ(done.size(), 2U);
    EXPECT_EQ(Json::parse(done[0])["id"], "a");
    EXPECT_EQ(Json::parse(done[1])["id"], "e");
    const auto failed = lines_of(folder_.path(out + "/failures.jsonl"));
    ASSERT_EQ(failed.size(), 5U);
    EXPECT_THAT(failed[0], HasSubstr("broken.png"));
    EXPECT_THAT(failed[1], HasSubstr("list.jsonl:3"));
    EXPECT_THAT(failed[2], HasSubstr("missing.png"));
    EXPECT_THAT(failed[3], HasSubstr("list.jsonl:1"));
    EXPECT_THAT(failed[4], HasSubstr("list.jsonl:6"));
  }
}

TEST_F(Caption, AllBadIsThreeAndOverTheBudgetFour) {
  fs::create_directories(folder_.path("bad"));
  for (int i = 0; i < 5; ++i)
    test::write_text(folder_.path("bad/" + std::to_string(i) + ".png"), "x");
  CaptionOptions asked = options(folder_.path("bad"), "free");
  EXPECT_EQ(run(asked, 2), 3);
  EXPECT_EQ(captions("free"), "");
  EXPECT_EQ(lines_of(folder_.path("free/failures.jsonl")).size(), 5U);
  asked.output = folder_.path("budget");
  asked.max_failures = parse_failure_budget("2");
  EXPECT_EQ(run(asked, 2), 4);
  asked.output = folder_.path("percent");
  asked.max_failures = parse_failure_budget("100%");
  EXPECT_EQ(run(asked), 3);
}

TEST_F(Caption, FailedItemsRunAgainOnRequestOnly) {
  fs::create_directories(folder_.path("in"));
  fs::copy(test::golden_folder() + "/images/pond.png", folder_.path("in/a.png"));
  test::write_text(folder_.path("in/b.png"), "not yet an image");
  CaptionOptions asked = options(folder_.path("in"), "out");
  EXPECT_EQ(run(asked), 3);
  fs::copy(test::golden_folder() + "/images/fence.png", folder_.path("in/b.png"),
           fs::copy_options::overwrite_existing);
  EXPECT_EQ(run(asked), 3);
  asked.retry_failed = true;
  EXPECT_EQ(run(asked), 0);
  EXPECT_EQ(lines_of(folder_.path("out/captions.jsonl")).size(), 2U);
  EXPECT_EQ(lines_of(folder_.path("out/failures.jsonl")).size(), 0U);
}

TEST_F(Caption, AnotherJobSignatureInTheSameFolderIsRefused) {
  CaptionOptions asked = options(manifest(2), "out");
  ASSERT_EQ(run(asked), 0);
  const std::string before = captions("out");
  CaptionOptions other = asked;
  other.prompt = "Count the birds.";
  EXPECT_THAT(refusal(other, 2), HasSubstr("prompt was \"Describe this image.\", now \"Count"));
  other = asked;
  other.sampling.seed = 5;
  EXPECT_THROW(run(other), UsageError);
  other = asked;
  other.run.leaves = 1;
  EXPECT_THAT(refusal(other, 1), HasSubstr("leaves was \"8\", now \"1\""));
  manifest(3);
  const std::string other_items = refusal(asked, 2);
  EXPECT_THAT(other_items, HasSubstr("items.count was 2, now 3"));
  EXPECT_THAT(other_items, HasSubstr("item that differs is number 1: was \"item-2\""));
  EXPECT_EQ(captions("out"), before);
}

TEST_F(Caption, OtherWeightsOfTheSameSizeAreRefused) {
  const std::string model = folder_.path("model");
  std::filesystem::copy(std::string(RETINUE_SOURCE_DIR) + "/configs/models/emoji-captioner", model);
  CaptionOptions asked = options(manifest(1), "out");
  asked.run.model = model;
  asked.run.weights = {};
  asked.run.min_pixels.reset(), asked.run.max_pixels.reset();
  ASSERT_EQ(run(asked), 0);
  std::string bytes = test::read_text(model + "/model.safetensors");
  for (std::size_t at = bytes.size() / 2; at < bytes.size(); ++at)
    bytes[at] = static_cast<char>(bytes[at] ^ 1);
  test::write_text(model + "/model.safetensors", bytes);
  EXPECT_THAT(refusal(asked), HasSubstr("weights_sample was"));
}

TEST_F(Caption, AJournalOfAnotherModelThanItsJobIsRefused) {
  CaptionOptions asked = options(manifest(2), "out");
  ASSERT_EQ(run(asked), 0);
  CaptionOptions other = options(manifest(2), "other");
  other.run.weights = parse_weights("random:7");
  ASSERT_EQ(run(other), 0);
  std::filesystem::copy_file(folder_.path("other/job.json"), folder_.path("out/job.json"),
                             std::filesystem::copy_options::overwrite_existing);
  other.output = asked.output;
  EXPECT_THAT(refusal(other), HasSubstr("answers of another model"));
}

TEST_F(Caption, RunningAgainDoesNothingAndOtherRanksMayResume) {
  CaptionOptions asked = options(manifest(6), "out");
  ASSERT_EQ(run(asked, 2), 0);
  const std::string before = captions("out");
  EXPECT_EQ(run(asked), 0);
  EXPECT_EQ(run(asked, 1, 2), 0);
  EXPECT_EQ(captions("out"), before);
}

/// Cuts a finished job's only segment as a kill would have left it, then goes on.
TEST_F(Caption, ResumesWithTheSameBytesFromAnyCut) {
  CaptionOptions asked = options(manifest(9), "whole");
  ASSERT_EQ(run(asked), 0);
  const std::string segment = test::read_text(folder_.path("whole/journal/r00000.e0.seg"));
  for (std::size_t part = 0; part < 6; ++part) {
    const std::string name = "cut" + std::to_string(part);
    fs::copy(folder_.path("whole"), folder_.path(name), fs::copy_options::recursive);
    fs::remove(folder_.path(name + "/captions.jsonl"));
    test::write_text(folder_.path(name + "/journal/r00000.e0.seg"),
                     segment.substr(0, segment.size() * part / 6 + part));
    asked.output = folder_.path(name);
    EXPECT_EQ(run(asked, part % 2 == 0 ? 1 : 3), 0);
    EXPECT_EQ(captions(name), captions("whole")) << "cut " << part;
  }
}

TEST_F(Caption, AFullDiskKeepsWhatIsDoneAndTheSameCommandResumes) {
  const std::string input = manifest(9);
  ASSERT_EQ(run(options(input, "whole")), 0);
  const CaptionOptions asked = options(input, "out");
  // Files of this process may not grow past this: the kernel refuses as a full disk would.
  std::signal(SIGXFSZ, SIG_IGN);
  rlimit before{};
  getrlimit(RLIMIT_FSIZE, &before);
  rlimit small = before;
  small.rlim_cur = 2000;
  setrlimit(RLIMIT_FSIZE, &small);
  EXPECT_THROW(run(asked), SystemError);
  setrlimit(RLIMIT_FSIZE, &before);
  EXPECT_FALSE(fs::exists(folder_.path("out/captions.jsonl")));
  EXPECT_EQ(run(asked), 0);
  EXPECT_EQ(captions("out"), captions("whole"));
}

TEST_F(Caption, ASignalFinalizesAndTheSameCommandResumes) {
  const std::string input = manifest(40);
  CaptionOptions asked = options(input, "whole");
  asked.sampling.max_new_tokens = 24;
  asked.run.max_sequences = 2;
  ASSERT_EQ(run(asked), 0);
  asked.output = folder_.path("out");
  const std::string segment = folder_.path("out/journal/r00000.e0.seg");
  int code = -1;
  {
    StopSignal caught(false);
    caught.set_in_flight(true);  // also where the job has ended before the signal
    std::jthread job([&] { code = run(asked, 2, 1); });
    if (wait_until([&] { return has_done_an_item(segment); }, "rank 0 has done an item"))
      std::raise(SIGTERM);
  }
  EXPECT_EQ(code, 75);
  EXPECT_FALSE(fs::exists(folder_.path("out/captions.jsonl")));
  EXPECT_EQ(Json::parse(test::read_text(folder_.path("out/report.json")))["exit_code"], 75);
  EXPECT_EQ(run(asked, 1, 2), 0);
  EXPECT_EQ(captions("out"), captions("whole"));
}

TEST_F(Caption, AnInputFolderThatGoesAwayStopsTheJobAndFailsNoItem) {
  fs::create_directories(folder_.path("in"));
  // Many, so that the job still runs when this thread gets its turn on a busy machine.
  for (int i = 0; i < 160; ++i)
    fs::copy(test::golden_folder() + "/images/" + (i % 2 == 0 ? "pond.png" : "fence.png"),
             folder_.path("in/" + std::to_string(i) + ".png"));
  CaptionOptions asked = options(folder_.path("in"), "whole");
  asked.sampling.max_new_tokens = 24;
  asked.run.max_sequences = 1;
  ASSERT_EQ(run(asked), 0);
  asked.output = folder_.path("out");
  const std::string segment = folder_.path("out/journal/r00000.e0.seg");
  int code = -1;
  {
    std::jthread job([&] { code = run(asked); });
    wait_until([&] { return has_done_an_item(segment); }, "the job has done an item");
    fs::rename(folder_.path("in"), folder_.path("away"));
  }
  EXPECT_EQ(code, 75);
  EXPECT_EQ(test::read_text(folder_.path("out/failures.jsonl")), "");
  fs::rename(folder_.path("away"), folder_.path("in"));
  EXPECT_EQ(run(asked), 0);
  EXPECT_EQ(captions("out"), captions("whole"));
}

/// Items that were taken and neither done nor failed.
std::int64_t dropped(const std::string& segment) {
  std::int64_t in_flight = 0;
  for (const char type : entry_types(segment))
    in_flight += type == 'T' ? 1 : type == 'D' || type == 'F' ? -1 : 0;
  return in_flight;
}

TEST_F(Caption, AskedToStopItFinishesWhatIsInFlightUnlessTheDeadlineIsZero) {
  CaptionOptions asked = options(manifest(60), "finished");
  asked.sampling.max_new_tokens = 24;
  asked.run.max_sequences = 8;
  for (const std::int64_t deadline_s : {30, 0}) {
    asked.stop_deadline_s = deadline_s;
    asked.output = folder_.path("out" + std::to_string(deadline_s));
    const std::string segment = asked.output + "/journal/r00000.e0.seg";
    int code = -1;
    {
      StopSignal caught(false);
      caught.set_in_flight(true);  // also where the job has ended before the signal
      std::jthread job([&] { code = run(asked); });
      if (wait_until([&] { return has_done_an_item(segment); }, "the job has done an item"))
        std::raise(SIGUSR1);
    }
    EXPECT_EQ(code, 75);
    // Requests that were prepared and never submitted: at most a window, which is twice as many.
    const std::int64_t asked_for = dropped(segment);
    if (deadline_s > 0)
      EXPECT_LE(asked_for, 16);
    else
      EXPECT_GT(asked_for, 0);
    EXPECT_EQ(run(asked), 0);
  }
  EXPECT_EQ(captions("out30"), captions("out0"));
}

TEST_F(Caption, WhatKilledARankTwiceIsQuarantinedUntilAskedForAgain) {
  CaptionOptions asked = options(manifest(9), "whole");
  ASSERT_EQ(run(asked), 0);
  asked.output = folder_.path("out");
  fs::create_directories(folder_.path("out/journal"));
  test::write_text(folder_.path("out/journal/r00000.e0.crash"), "SIGSEGV 3 0\n");
  test::write_text(folder_.path("out/journal/r00001.e1.crash"), "SIGABRT 3 0\n");
  EXPECT_EQ(run(asked, 2), 3);
  const auto failed = lines_of(folder_.path("out/failures.jsonl"));
  ASSERT_EQ(failed.size(), 1U);
  const Json failure = Json::parse(failed[0]);
  EXPECT_EQ(failure["stage"], "quarantine");
  EXPECT_THAT(failure["message"].get<std::string>(),
              HasSubstr("2 times: SIGSEGV on rank 0 in run 0, SIGABRT on rank 1 in run 1"));
  EXPECT_EQ(lines_of(folder_.path("out/captions.jsonl")).size(), 8U);
  EXPECT_EQ(run(asked), 3) << "not run again";
  asked.retry_failed = true;
  EXPECT_EQ(run(asked), 0);
  EXPECT_EQ(captions("out"), captions("whole"));
}

TEST_F(Caption, ABatchSamplesEachRequestByItsOwnRules) {
  std::ofstream file(folder_.path("batch.jsonl"));
  int number = 0;
  for (const char* keys :
       {"", R"(, "max_completion_tokens": 3)", R"(, "temperature": 2.0, "seed": 3)",
        R"(, "logprobs": true)", R"(, "top_p": 1.5)", R"(, "n": 3)"})
    file << R"({"custom_id": "r)" << number++
         << R"(", "method": "POST", "url": "/v1/chat/completions", "body": {"messages": )"
         << R"([{"role": "user", "content": "Say something"}])" << keys << "}}\n";
  file.close();
  EXPECT_EQ(run(options(folder_.path("batch.jsonl"), "out"), 2), 3);
  const auto done = lines_of(folder_.path("out/captions.jsonl"));
  ASSERT_EQ(done.size(), 4U);
  const Json plain = Json::parse(done[0]), cut = Json::parse(done[1]), hot = Json::parse(done[2]);
  EXPECT_EQ(plain["id"], "r0");
  EXPECT_EQ(cut["completion_tokens"], 3);
  EXPECT_NE(hot["caption"], plain["caption"]);
  EXPECT_FALSE(plain.contains("logprobs"));
  EXPECT_TRUE(Json::parse(done[3]).contains("logprobs"));
  const auto failed = lines_of(folder_.path("out/failures.jsonl"));
  ASSERT_EQ(failed.size(), 2U);
  EXPECT_THAT(failed[0], HasSubstr("top_p is 1.5, wanted above 0, at most 1"));
  EXPECT_THAT(failed[1], HasSubstr("body.n: 3 is not served"));
}

TEST_F(Caption, AnAnswerThatRepeatsItselfEndsWhereAskedTo) {
  CaptionOptions asked = options(manifest(14), "out");
  asked.sampling.max_new_tokens = 64;
  asked.sampling.ignore_eos = true;
  asked.sampling.max_repeats = 3;
  EXPECT_EQ(run(asked), 0);
  int repeating = 0;
  for (const std::string& line : lines_of(folder_.path("out/captions.jsonl"))) {
    const Json record = Json::parse(line);
    const bool short_of_all = record["completion_tokens"] < 64;
    EXPECT_EQ(record["finish_reason"], short_of_all ? "repetition" : "length");
    repeating += short_of_all ? 1 : 0;
  }
  EXPECT_GT(repeating, 0);
}

TEST_F(Caption, ADryRunWritesNothing) {
  CaptionOptions asked = options(manifest(3), "out");
  asked.dry_run = true;
  testing::internal::CaptureStdout();
  EXPECT_EQ(run(asked, 2), 0);
  EXPECT_THAT(testing::internal::GetCapturedStdout(),
              testing::AllOf(HasSubstr("items                  3 "), HasSubstr("memory per rank"),
                             HasSubstr("unknown before a run")));
  EXPECT_FALSE(fs::exists(folder_.path("out")));
}

TEST_F(Caption, SuspectItemsAreBisectedToTheSameBytes) {
  CaptionOptions asked = options(manifest(17), "whole");
  ASSERT_EQ(run(asked), 0);
  asked.output = folder_.path("out");
  fs::create_directories(folder_.path("out/journal"));
  {
    SegmentWriter writer(segment_path(folder_.path("out"), 0, 0), 0);
    for (const int item : {2, 4, 7, 8, 16}) writer.append(EntryType::kTaken, item, "{}");
  }
  test::write_text(folder_.path("out/journal/r00000.e0.crash"), "SIGBUS -1 0\n");
  test::write_text(folder_.path("out/journal/r00001.e0.crash"), "SIGBUS 11 0\n");
  EXPECT_EQ(run(asked, 2), 0);
  EXPECT_EQ(captions("out"), captions("whole"));
}

}  // namespace
}  // namespace retinue::runtime
