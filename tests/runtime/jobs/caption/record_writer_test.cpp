#include "runtime/jobs/caption/record_writer.h"

#include "tests/support/job_ranks.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <filesystem>
#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace retinue::runtime {
namespace {

using Json = nlohmann::ordered_json;
using testing::HasSubstr;

class Writer : public testing::Test {
 protected:
  Writer() {
    std::filesystem::create_directories(folder_.path("journal"));
    job_.items = ItemTable::of(std::vector<Item>(4));
  }

  CaptionOptions options() {
    CaptionOptions options;
    options.run = test::golden_run("gqa8-tied");
    options.output = folder_.path();
    options.fsync_interval_ms = 1'000'000;  // nothing is durable before close()
    return options;
  }
  RecordWriter writer(RecordWriter::Format format = [](const Record& r) { return to_json(r); }) {
    return {job_, {.data = 1, .tensor = 1}, 0, clock_, std::move(format)};
  }

  static Record record() {
    Record record;
    record.id = "a";
    record.caption = "A hill.";
    record.prompt_tokens = 7;
    record.completion_tokens = 3;
    record.media.resize(2);
    return record;
  }

  test::TemporaryFolder folder_;
  SteadyClock clock_;
  CaptionJob job_ = prepare_caption(options());
};

TEST_F(Writer, CountsWhatIsDurableAlone) {
  RecordWriter records = writer();
  records.taken(0);
  records.done(0, record());
  records.taken(1);
  records.failed(1, {"b", "list:2", "read", "no such file"});
  records.count_durable();
  EXPECT_EQ(records.counts().done, 0);
  EXPECT_EQ(records.counts().failed, 0);
  records.close();
  EXPECT_EQ(records.counts().done, 1);
  EXPECT_EQ(records.counts().failed, 1);
  EXPECT_EQ(records.counts().media, 2);
  EXPECT_EQ(records.counts().prompt_tokens, 7);
  EXPECT_EQ(records.counts().completion_tokens, 3);
  EXPECT_GE(records.counts().start_up.first_caption_s, 0);
}

TEST_F(Writer, TheJournalHoldsWhatBecameOfEachItem) {
  RecordWriter records = writer();
  for (const std::size_t item : {0U, 1U, 2U}) records.taken(item);
  records.done(0, record());
  records.failed(1, {"b", "list:2", "read", "no such file"});
  records.close();
  const Journal journal(folder_.path(), 4);
  EXPECT_TRUE(journal.done(0));
  EXPECT_TRUE(journal.failed(1));
  EXPECT_FALSE(journal.done(2) || journal.failed(2)) << "taken, not ended";
  EXPECT_EQ(Json::parse(journal.text(0))["caption"], "A hill.");
  EXPECT_THAT(journal.text(1), HasSubstr("no such file"));
  ASSERT_EQ(journal.starts().size(), 1U);
  const Json start = Json::parse(journal.starts()[0]);
  EXPECT_EQ(start["epoch"], 0);
  EXPECT_EQ(start["rank"], 0);
}

TEST_F(Writer, AFormatDecidesTheLineAndNothingElse) {
  RecordWriter records = writer([](const Record& r) { return "{\"id\":\"" + r.id + "\"}"; });
  records.done(3, record());
  records.close();
  EXPECT_EQ(Journal(folder_.path(), 4).text(3), "{\"id\":\"a\"}");
  EXPECT_EQ(records.counts().completion_tokens, 3);
}

TEST_F(Writer, ARecordNamesItsMediaAndEndsBeforeAStopText) {
  RecordWriter records = writer();
  Item item;
  item.id = "a";
  item.media.push_back({MediaKind::kImage, {MediaFile("hill.png")}, 0.0});
  InFlight request;
  MediaHeader header;
  header.size = {.height = 32, .width = 64};
  header.grid.grid_thw = {1, 2, 4};
  request.headers.push_back(header);
  request.sha256 = "abc";
  Completion completion;
  completion.ids = job_.model.tokenizer.encode("hill and tower");
  completion.finish_reason = FinishReason::kStop;
  request.text =
      std::make_shared<OutputText>(job_.model.detokenizer, std::vector<std::string>{" and"});
  const Record made = records.record_of(completion, item, request);
  EXPECT_EQ(made.caption, "hill");
  EXPECT_EQ(made.finish_reason, "stop");
  EXPECT_EQ(made.sha256, "abc");
  ASSERT_EQ(made.media.size(), 1U);
  EXPECT_THAT(made.media[0].paths, testing::ElementsAre("hill.png"));
  EXPECT_EQ(made.media[0].visual_tokens, 8 / job_.model.config.vision.merge_unit());
  EXPECT_FALSE(made.with_logprobs);
  EXPECT_TRUE(made.token_ids.empty());
}

}  // namespace
}  // namespace retinue::runtime
