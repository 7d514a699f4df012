#include "runtime/dataset/item_table.h"

#include "parallel/base/check.h"
#include "parallel/base/hash.h"
#include "tests/support/job_ranks.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <filesystem>
#include <thread>

namespace retinue::runtime {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

Item item_named(const std::string& id) {
  Item item;
  item.id = id;
  item.source = "list.jsonl:" + id;
  item.prompt = "ask " + id;
  return item;
}

/// One of everything.
Item rich_item() {
  Item item = item_named("\xC3\xA9");
  item.prompt = "";
  item.messages = R"([{"role":"user"}])";
  MediaFile part("a.tar");
  part.place = MediaPlace::kRange;
  part.member = "x/\xC3\xA9.png";
  part.offset = std::int64_t{1} << 40;
  part.bytes = 12345;
  item.media.push_back({MediaKind::kVideo, {"x.png", part}, 2.5});
  item.media.push_back({MediaKind::kImage, {"y.png"}, 0.0});
  item.sampling = ItemSampling{.max_new_tokens = 5,
                               .top_k = {},
                               .temperature = 0.25,
                               .top_p = {},
                               .min_p = {},
                               .repetition_penalty = {},
                               .presence_penalty = -1.5,
                               .seed = ~std::uint64_t{0},
                               .stop = std::vector<std::string>{"", "END"},
                               .stop_ids = {3, 151645},
                               .ignore_eos = true,
                               .logprobs = false};
  item.error = DataError{"manifest", "bad"};
  return item;
}

std::vector<std::string> ids(const ItemTable& table) {
  std::vector<std::string> names;
  for (std::size_t i = 0; i < table.size(); ++i) names.push_back(table.item(i).id);
  return names;
}

class Table : public testing::Test {
 protected:
  ItemTable write(int items, const ItemSelection& selection, const std::string& folder = "") {
    ItemTableWriter writer(folder, selection);
    for (int i = 0; i < items && writer.add(item_named(std::to_string(i))); ++i) {
    }
    listed_ = writer.listed();
    return writer.finish();
  }
  test::TemporaryFolder folder_;
  std::uint64_t listed_ = 0;
};

TEST_F(Table, ItemsArePackedWhole) {
  const Item item = rich_item();
  const std::string packed = pack_item(item);
  const auto back = unpack_item(packed);
  ASSERT_TRUE(back);
  EXPECT_EQ(pack_item(*back), packed);
  EXPECT_EQ(back->media[0].files[1].name(), "a.tar:x/\xC3\xA9.png");
  EXPECT_EQ(back->media[0].files[1].offset, std::int64_t{1} << 40);
  EXPECT_EQ(back->media[0].fps, 2.5);
  EXPECT_EQ(back->prompt, "");
  EXPECT_EQ(back->sampling->seed, ~std::uint64_t{0});
  EXPECT_EQ(back->sampling->presence_penalty, -1.5);
  EXPECT_EQ(back->sampling->stop_ids, item.sampling->stop_ids);
  EXPECT_EQ(back->error->message, "bad");
}

TEST_F(Table, NoCutOrChangedRecordIsUnpackedIntoMoreThanItHolds) {
  const std::string packed = pack_item(rich_item());
  for (std::size_t cut = 0; cut < packed.size(); ++cut)
    EXPECT_FALSE(unpack_item(packed.substr(0, cut))) << cut;
  for (std::size_t at = 0; at < packed.size(); ++at)
    for (const char value : {'\0', '\x7F', '\xFF'}) {
      std::string changed = packed;
      changed[at] = value;
      static_cast<void>(unpack_item(changed));  // anything but harm
    }
}

TEST_F(Table, AFolderGivesBackWhatWasWrittenAndItsHashIsThatOfItsItems) {
  const ItemTable written = write(1000, {}, folder_.path("t"));
  const ItemTable table(folder_.path("t"));
  ASSERT_EQ(table.size(), 1000U);
  EXPECT_EQ(table.item(999).prompt, "ask 999");
  EXPECT_EQ(table.ordinal(999), 999);
  EXPECT_GT(table.cost(999), 0U);
  EXPECT_EQ(table.summary().max_text_bytes, 7);
  EXPECT_EQ(table.sha256(), sha256_hex(test::read_text(folder_.path("t/items"))));
  EXPECT_EQ(table.sha256(), written.sha256());
  EXPECT_EQ(table.sha256(), write(1000, {}).sha256());
  EXPECT_FALSE(first_difference(table, written));
}

TEST_F(Table, ManyThreadsReadAtOnce) {
  const ItemTable table = write(500, {});
  std::atomic<int> wrong = 0;
  std::vector<std::jthread> threads;
  for (int t = 0; t < 4; ++t)
    threads.emplace_back([&, t] {
      for (std::size_t i = 0; i < 500; ++i) {
        const std::size_t at = (i * 7 + static_cast<std::size_t>(t)) % 500;
        if (table.item(at).id != std::to_string(at)) ++wrong;
      }
    });
  threads.clear();
  EXPECT_EQ(wrong, 0);
}

TEST_F(Table, TheLimitEndsTheListingAndShardsPartTheItems) {
  EXPECT_THAT(ids(write(100, {.shuffle = {}, .limit = 3})), ElementsAre("0", "1", "2"));
  EXPECT_EQ(listed_, 3U);
  EXPECT_THAT(ids(write(100, {.shuffle = {}, .shard = 2, .shards = 40, .limit = 2})),
              ElementsAre("2", "42"));
  EXPECT_EQ(listed_, 43U);
  EXPECT_THAT(ids(write(5, {.shuffle = {}, .shard = 1, .shards = 2})), ElementsAre("1", "3"));
  EXPECT_EQ(write(1, {.shuffle = {}, .shard = 1, .shards = 2}).size(), 0U);
}

TEST_F(Table, ShufflingMovesEveryItemOnceAndKeepsOrdinals) {
  const ItemTable table = write(200, {.shuffle = 5});
  std::vector<std::string> names = ids(table);
  EXPECT_NE(names.front() + names[1] + names[2], "012");
  for (std::size_t i = 0; i < table.size(); ++i) {
    EXPECT_EQ(std::to_string(table.ordinal(i)), names[i]);
    EXPECT_EQ(table.item(i).ordinal, table.ordinal(i));
  }
  std::sort(names.begin(), names.end());
  EXPECT_EQ(std::unique(names.begin(), names.end()), names.end());
  EXPECT_EQ(names.size(), 200U);
}

TEST_F(Table, TheSecondOfAnIdFailsAndAFileReachedTwiceIsOne) {
  ItemTableWriter writer("", {});
  // Enough that parts of the index grow in between.
  for (int i = 0; i < 20000; ++i) writer.add(item_named(std::to_string(i)));
  writer.add(item_named("77"));
  Item file;
  file.id = "a.png";
  writer.add(file);
  writer.add(file);
  writer.add(item_named("a.png"));
  file.id = "19999";
  writer.add(file);
  const ItemTable table = writer.finish();
  ASSERT_EQ(table.size(), 20004U);
  for (std::size_t i = 0; i < 20000; ++i) ASSERT_FALSE(table.item(i).error) << i;
  EXPECT_THAT(table.item(20000).error->message,
              HasSubstr("\"77\" stands already in list.jsonl:77"));
  EXPECT_FALSE(table.item(20001).error);
  EXPECT_THAT(table.item(20002).error->message, HasSubstr("stands already for a file"));
  EXPECT_THAT(table.item(20003).error->message, HasSubstr("in list.jsonl:19999"));
}

TEST_F(Table, DamageIsFoundAndNeverRead) {
  write(50, {}, folder_.path("t"));
  const std::string items = test::read_text(folder_.path("t/items"));
  const std::string index = test::read_text(folder_.path("t/index"));
  std::string changed = items;
  changed[items.size() / 2] = static_cast<char>(changed[items.size() / 2] ^ 1);
  test::write_text(folder_.path("t/items"), changed);
  const ItemTable table(folder_.path("t"));
  int failed = 0;
  for (std::size_t i = 0; i < table.size(); ++i) try {
      EXPECT_EQ(table.item(i).id, std::to_string(i));
    } catch (const SystemError& error) {
      EXPECT_THAT(error.what(), HasSubstr("is damaged"));
      ++failed;
    }
  EXPECT_EQ(failed, 1);
  test::write_text(folder_.path("t/items"), items.substr(0, items.size() - 1));
  EXPECT_THROW(ItemTable(folder_.path("t")), SystemError);
  test::write_text(folder_.path("t/items"), items);
  test::write_text(folder_.path("t/index"), index.substr(16));
  EXPECT_THROW(ItemTable(folder_.path("t")), SystemError);
  test::write_text(folder_.path("t/index"), index);
  EXPECT_NO_THROW(ItemTable(folder_.path("t")));
  std::filesystem::remove(folder_.path("t/table.json"));
  EXPECT_THROW(ItemTable(folder_.path("t")), SystemError);
}

TEST_F(Table, TheFirstDifferenceIsFound) {
  const ItemTable a = write(10, {}), shorter = write(9, {});
  std::vector<Item> items;
  for (std::size_t i = 0; i < 10; ++i) items.push_back(a.item(i));
  EXPECT_FALSE(first_difference(a, ItemTable::of(items)));
  EXPECT_EQ(first_difference(a, shorter), 9U);
  items[4].prompt = "another";
  const ItemTable changed = ItemTable::of(items);
  EXPECT_EQ(first_difference(a, changed), 4U);
  EXPECT_NE(a.sha256(), changed.sha256());
}

TEST_F(Table, WhatWasPassedOverIsKeptBesideTheHash) {
  const std::string folder = folder_.path("t");
  const auto table = [&](bool passed) {
    ItemTableWriter writer(folder, {});
    EXPECT_TRUE(writer.add(item_named("a")));
    if (passed) writer.passed_over(".par\xFFquet", "lies in a folder");
    return writer.finish();
  };
  const std::string sha256 = table(false).sha256();
  EXPECT_TRUE(ItemTable(folder).passed_over().empty());
  EXPECT_THAT(table(true).passed_over(),
              ElementsAre(PassedOver{".par\xFFquet", "lies in a folder", 1}));
  const ItemTable opened(folder);
  EXPECT_EQ(opened.sha256(), sha256);
  EXPECT_THAT(opened.passed_over(),
              ElementsAre(PassedOver{".par\xEF\xBF\xBDquet", "lies in a folder", 1}));
}

}  // namespace
}  // namespace retinue::runtime
