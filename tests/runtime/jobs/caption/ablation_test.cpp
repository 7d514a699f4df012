#include "runtime/jobs/caption/ablation.h"

#include "tests/support/job_ranks.h"

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <map>
#include <optional>

namespace retinue::runtime {
namespace {

using Json = nlohmann::ordered_json;

class NoPixels final : public PixelSource {
 public:
  void prefetch(std::uint64_t /*key*/) override {}
  std::optional<Result<layers::Patches>> take(std::uint64_t /*key*/) override { return {}; }
};

CaptionJob job_with(AblationKind ablation) {
  CaptionOptions options;
  options.run = test::golden_run("gqa8-tied");
  options.ablation = ablation;
  options.sampling.ignore_eos = true;
  CaptionJob job = prepare_caption(options);
  job.items = ItemTable::of(std::vector<Item>(3));
  return job;
}

Item illustrated_item() {
  Item item;
  item.media.push_back({MediaKind::kImage, {MediaFile("a.png")}, 0.0});
  item.messages = R"([{"role":"user","content":[{"type":"image"},{"type":"text","text":"Hi"}]}])";
  return item;
}

/// What the format of `ablation` writes as finish_reason of a record that stopped.
std::string finish_reason(const Ablation& ablation) {
  Record record;
  record.finish_reason = "stop";
  const auto format = ablation.format([](const Record& r) { return to_json(r); });
  return Json::parse(format(record))["finish_reason"];
}

TEST(Ablation, NoneHandsEveryPartBackAsItIs) {
  const CaptionJob job = job_with(AblationKind::kNone);
  Ablation ablation(job, 0);
  NoPixels pixels;
  EXPECT_EQ(&ablation.pixels(pixels), &pixels);
  EXPECT_TRUE(ablation.communicators().empty());
  EXPECT_EQ(ablation.items([](std::size_t) { return illustrated_item(); })(0).media.size(), 1U);
  EXPECT_EQ(finish_reason(ablation), "stop");
}

TEST(Ablation, TextOnlyLeavesTheTextAndMarksTheRecord) {
  const CaptionJob job = job_with(AblationKind::kTextOnly);
  const Ablation ablation(job, 0);
  const Item item = ablation.items([](std::size_t) { return illustrated_item(); })(0);
  EXPECT_TRUE(item.media.empty());
  const Json content = Json::parse(item.messages)[0]["content"];
  ASSERT_EQ(content.size(), 1U);
  EXPECT_EQ(content[0]["text"], "Hi");
  EXPECT_EQ(finish_reason(ablation), "ablation");
}

TEST(Ablation, NullCollectivesWrapOneCommunicatorAndMarkTheRecord) {
  const CaptionJob job = job_with(AblationKind::kNullCollectives);
  const Ablation ablation(job, 0);
  EXPECT_EQ(ablation.communicators().size(), 1U);
  EXPECT_EQ(finish_reason(ablation), "ablation");
}

TEST(Ablation, PreloadedPixelsPrepareEveryRequestOnceAndKeepNoFiles) {
  const CaptionJob job = job_with(AblationKind::kPreloadedPixels);
  Ablation ablation(job, 0);
  NoPixels pixels;
  EXPECT_NE(&ablation.pixels(pixels), &pixels);
  std::map<std::size_t, int> made;
  const auto make = ablation.requests([&](std::size_t item) -> Result<PreparedRequest> {
    ++made[item];
    if (item == 1) return DataError{"read", "gone"};
    PreparedRequest prepared;
    prepared.request.id = item;
    prepared.files.resize(2);
    return prepared;
  });
  EXPECT_EQ(made.size(), 3U) << "before the run asks for any";
  const auto first = make(2);
  ASSERT_TRUE(first.ok());
  EXPECT_EQ(first->request.id, 2U);
  EXPECT_TRUE(first->files.empty());
  EXPECT_EQ(make(1).error().message, "gone");
  EXPECT_EQ(made[2], 1);
  EXPECT_EQ(finish_reason(ablation), "stop");
}

}  // namespace
}  // namespace retinue::runtime
