#include "runtime/output/job_folder.h"

#include "parallel/base/check.h"
#include "tests/support/job_ranks.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <array>
#include <filesystem>

namespace retinue::runtime {
namespace {

using Json = nlohmann::ordered_json;
using testing::HasSubstr;

std::string refusal(const std::string& path, const Json& signature) {
  try {
    JobFolder(path).bind(signature, Json::object());
  } catch (const UsageError& error) {
    return error.what();
  }
  return "";
}

TEST(JobFolder, IsForOneJobSignature) {
  const test::TemporaryFolder folder;
  const Json signature = {{"prompt", "a"}, {"sampling", {{"seed", 1}, {"stop", Json::array()}}}};
  EXPECT_EQ(refusal(folder.path("job"), signature), "");
  EXPECT_EQ(refusal(folder.path("job"), signature), "");
  Json other = signature;
  other["sampling"]["seed"] = 2;
  EXPECT_THAT(refusal(folder.path("job"), other), HasSubstr("sampling.seed was 1, now 2"));
  other = signature;
  other["dtype"] = "f32";
  EXPECT_THAT(refusal(folder.path("job"), other), HasSubstr("dtype was absent, now \"f32\""));
  EXPECT_EQ(refusal(folder.path("job"), signature), "");
}

TEST(JobFolder, OfAnotherJobIsRefusedWithoutAChangeToo) {
  const test::TemporaryFolder folder;
  const std::string path = folder.path("job");
  const Json signature = {{"prompt", "a"}}, other = {{"prompt", "b"}};
  EXPECT_NO_THROW(refuse_other_job(path, other));
  EXPECT_FALSE(std::filesystem::exists(path));
  ASSERT_EQ(refusal(path, signature), "");
  EXPECT_NO_THROW(refuse_other_job(path, signature));
  const std::string before = test::read_text(path + "/job.json");
  EXPECT_THAT([&] { refuse_other_job(path, other); },
              testing::ThrowsMessage<UsageError>(HasSubstr("prompt was \"a\", now \"b\"")));
  EXPECT_EQ(test::read_text(path + "/job.json"), before);
  test::write_text(folder.path("file"), "x");
  EXPECT_THROW(refuse_other_job(folder.path("file"), signature), UsageError);
  std::filesystem::create_symlink("loop", folder.path("loop"));
  for (const std::string& wrong : {folder.path("loop"), folder.path(std::string(300, 'a'))})
    EXPECT_THAT([&] { refuse_other_job(wrong, signature); },
                testing::ThrowsMessage<UsageError>(HasSubstr("cannot be reached")));
}

TEST(JobFolder, ThatCannotBeWrittenIsTheUsersFault) {
  const test::TemporaryFolder folder;
  std::filesystem::create_directories(folder.path("job/lock"));
  EXPECT_THAT(refusal(folder.path("job"), {}), HasSubstr("job/lock cannot be made"));
  EXPECT_THAT(refusal("/proc/retinue", {}), HasSubstr("/proc/retinue cannot be made"));
}

TEST(JobFolder, ThatCannotBeUsedIsRefusedWithoutAChangeToo) {
  const test::TemporaryFolder folder;
  test::write_text(folder.path("file"), "x");
  for (const char* name : {"lock", "captions.jsonl"})
    std::filesystem::create_directories(folder.path(name) + "-job/" + name);
  std::filesystem::create_directory(folder.path("journal-job"));
  test::write_text(folder.path("journal-job/journal"), "x");
  std::filesystem::create_symlink("nothing", folder.path("dangling"));
  for (const std::string& wrong :
       {std::string("/proc/retinue"), std::string("/dev/null/x"), folder.path("file/x/y"),
        folder.path("lock-job"), folder.path("captions.jsonl-job"), folder.path("journal-job"),
        folder.path("dangling")})
    EXPECT_THROW(refuse_other_job(wrong, {}), UsageError) << wrong;
  EXPECT_NO_THROW(refuse_other_job(folder.path("a/b/c"), {}));
  EXPECT_FALSE(std::filesystem::exists(folder.path("a")));
  std::filesystem::create_directory(folder.path("empty"));
  EXPECT_NO_THROW(refuse_other_job(folder.path("empty"), {}));
  EXPECT_TRUE(std::filesystem::is_empty(folder.path("empty")));
}

TEST(JobFolder, NamesTheUsualValueOfAKeyThatOnlyOtherValuesHave) {
  for (const auto& [key, usual, other] :
       {std::array{"kv_cache_dtype", "auto", "fp8"}, {"ablation", "none", "text-only"}}) {
    const test::TemporaryFolder folder;
    const Json plain = {{"prompt", "a"}};
    Json changed = plain;
    changed[key] = other;
    EXPECT_EQ(refusal(folder.path("plain"), plain), "");
    EXPECT_THAT(refusal(folder.path("plain"), changed),
                HasSubstr(fmt::format("{} was \"{}\", now \"{}\"", key, usual, other)));
    EXPECT_EQ(refusal(folder.path("changed"), changed), "");
    EXPECT_THAT(refusal(folder.path("changed"), plain),
                HasSubstr(fmt::format("{} was \"{}\", now \"{}\"", key, other, usual)));
    EXPECT_EQ(refusal(folder.path("plain"), plain), "");
  }
}

TEST(JobFolder, OfAnEarlierVersionIsCompletedAndThenCompared) {
  const test::TemporaryFolder folder;
  Json signature = {{"prompt", "a"}};
  EXPECT_EQ(JobFolder(folder.path("job")).bind(signature, Json::object()), "");
  signature["weights_sample"] = "12";
  EXPECT_EQ(JobFolder(folder.path("job")).bind(signature, Json::object()), "weights_sample");
  EXPECT_EQ(JobFolder(folder.path("job")).bind(signature, Json::object()), "");
  signature["weights_sample"] = "34";
  EXPECT_THAT(refusal(folder.path("job"), signature), HasSubstr("weights_sample was \"12\""));
}

TEST(JobFolder, WithAnswersAndWithoutAJobIsRefused) {
  const test::TemporaryFolder folder;
  const Json signature = {{"prompt", "a"}};
  EXPECT_EQ(refusal(folder.path("job"), signature), "");
  SegmentWriter journal(segment_path(folder.path("job"), 0, 0), 0);
  journal.append(EntryType::kTaken, 0, "{}");
  journal.close();
  std::filesystem::remove(folder.path("job/job.json"));
  EXPECT_EQ(refusal(folder.path("job"), signature), "") << "there is no answer yet";
  SegmentWriter answers(segment_path(folder.path("job"), 0, 1), 0);
  answers.append(EntryType::kDone, 0, "{}");
  answers.close();
  EXPECT_EQ(refusal(folder.path("job"), signature), "");
  std::filesystem::remove(folder.path("job/job.json"));
  EXPECT_THAT(refusal(folder.path("job"), signature), HasSubstr("no job.json"));
}

TEST(JobFolder, IsForOneRunAtATime) {
  const test::TemporaryFolder folder;
  const Json signature = {{"prompt", "a"}};
  {
    const JobFolder first(folder.path("job"));
    EXPECT_THAT(refusal(folder.path("job"), signature), HasSubstr("in use by a running job"));
  }
  EXPECT_EQ(refusal(folder.path("job"), signature), "");
}

TEST(JobFolder, IsNotMadeFromAnotherProgramsFiles) {
  const test::TemporaryFolder folder;
  test::write_text(folder.path("job.json"), "[1]");
  EXPECT_THAT(refusal(folder.path(), Json::object()), HasSubstr("no job of this program"));
}

}  // namespace
}  // namespace retinue::runtime
