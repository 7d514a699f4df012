#include "runtime/dataset/webdataset.h"

#include "runtime/dataset/media_bytes.h"
#include "runtime/dataset/source.h"
#include "tests/runtime/formats/plain_tar.h"
#include "tests/support/job_ranks.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <fstream>
#include <map>
#include <sstream>

namespace retinue::runtime {
namespace {

using Json = nlohmann::json;
using testing::ElementsAre;
using testing::HasSubstr;

std::string golden() { return test::golden_folder() + "/../archive_files"; }

std::string sha256_of_media(const MediaReference& media) {
  const auto files = read_media(media);
  EXPECT_TRUE(files.ok());
  return files.ok() ? sha256_of(std::span(&files.value(), 1)) : "";
}

class WebDataset : public testing::Test {
 protected:
  static ItemTable table_of(const std::vector<std::string>& inputs, bool prompt_given = false) {
    std::istringstream none;
    SourceOptions options;
    options.inputs = inputs;
    options.given.prompt = prompt_given;
    return list_table(options, none, "");
  }
  std::vector<Item> list(const std::vector<std::string>& inputs) {
    const ItemTable table = table_of(inputs);
    std::vector<Item> items;
    for (std::size_t i = 0; i < table.size(); ++i) items.push_back(table.item(i));
    return items;
  }
  static std::vector<std::string> ids(const std::vector<Item>& items) {
    std::vector<std::string> names;
    for (const Item& item : items) names.push_back(item.id);
    return names;
  }
  /// What was passed over: "kind: count", without reasons.
  static std::vector<std::string> counts(const std::vector<std::string>& inputs) {
    const ItemTable table = table_of(inputs);
    std::vector<std::string> texts;
    for (const PassedOver& kind : table.passed_over())
      texts.push_back(kind.what + ": " + std::to_string(kind.count));
    return texts;
  }
  const Json manifest_ = Json::parse(std::ifstream(golden() + "/manifest.json"));
  test::TemporaryFolder folder_;
};

TEST_F(WebDataset, ItemsAreTheSamplesThatWebdatasetReads) {
  for (const auto& [name, samples] : manifest_["samples"].items()) {
    // webdataset skips links and pipes; here they are items.
    std::vector<Item> items;
    for (Item& item : list({golden() + "/" + name}))
      if (item.id != "link" && item.id != "hard" && item.id != "pipe") items.push_back(item);
    ASSERT_EQ(items.size(), samples.size()) << name;
    for (std::size_t i = 0; i < items.size(); ++i) {
      const Item& item = items[i];
      ASSERT_FALSE(item.error) << item.error->message;
      EXPECT_TRUE(item.source.ends_with(samples[i][0].get<std::string>()));
      std::vector<std::string> wanted, got;
      bool has_json = false;
      for (const Json& part : samples[i][1]) {
        const auto extension = part[0].get<std::string>();
        has_json = has_json || extension == "json";
        for (const char* image : {"jpg", "png", "webp"})
          if (extension.ends_with(image)) wanted.push_back(part[1].get<std::string>());
      }
      for (const MediaReference& media : item.media) got.push_back(sha256_of_media(media));
      EXPECT_EQ(got, wanted) << name << " " << item.id;
      if (has_json && name != "webdataset.tar")
        EXPECT_THAT(*item.prompt, testing::StartsWith("What is "));
      else
        EXPECT_EQ(item.id, samples[i][0].get<std::string>());
    }
  }
}

TEST_F(WebDataset, MembersOfASampleGivePromptImagesAndId) {
  const std::string image = test::read_text(test::golden_folder() + "/images/pond.png");
  test::write_text(folder_.path("a.tar"),
                   plain_tar({{"a.unknown", image},
                              {"b.txt", "a caption"},
                              {"b.jpg", "x"},
                              {"c.prompt", "Why?\n"},
                              {"c.mp4", "x"},
                              {"d.json", R"({"id": 7, "messages": [{"role": "user", "content":
               [{"type": "image", "image": "d.2.png"}, {"type": "image", "image": "1.png"}]}]})"},
                              {"d.1.png", "1"},
                              {"d.2.png", "22"},
                              {"e.txt", "no image"},
                              {"f.json", "[]"},
                              {"f.jpg", "x"},
                              {"g.jpg", "x"},
                              {"g.JPG", "x"},
                              {"h.json", R"({"messages": [{"role": "user", "content":
               [{"type": "image", "image": "elsewhere.png"}]}]})"}}));
  const auto items = list({folder_.path("a.tar")});
  EXPECT_THAT(ids(items), ElementsAre("a", "b", "c", "7", "f", "g", "h"));
  EXPECT_EQ(items[0].media.size(), 1U);
  EXPECT_FALSE(items[1].prompt) << "a txt is a caption, not a prompt";
  EXPECT_EQ(items[2].prompt, "Why?");
  EXPECT_EQ(items[2].media[0].kind, MediaKind::kVideo);
  ASSERT_EQ(items[3].media.size(), 2U);
  EXPECT_EQ(items[3].media[0].files[0].name(), folder_.path("a.tar:d.2.png"));
  EXPECT_EQ(items[3].media[0].files[0].bytes, 2);
  EXPECT_THAT(items[4].error->message, HasSubstr("f.json: is no JSON object"));
  EXPECT_THAT(items[5].error->message, HasSubstr("two members are \"g.jpg\""));
  EXPECT_THAT(items[6].error->message, HasSubstr("no member of the sample"));
}

// The table of file_kind.h is that of folders, too: no name is lost in the one and an item in the
// other.
TEST_F(WebDataset, WhatHasTheNameOfAnImageOrVideoIsAnItemHereAndInAFolder) {
  const std::vector<std::string> names = {
      "a.heif", "b.jp2", "c.ppm",  "d.mpg",  "e.wmv", "f.flv", "g.m2ts", "h.HEIC", "i.cr3",
      "j.tga",  "k.qoi", "l.psd",  "m.ico",  "n.svg", "o.exr", "p.vob",  "q.ogv",  "r.rmvb",
      "s.mxf",  "t.y4m", "u.hevc", "v.divx", "w.bpg", "x.jxr", "y.avifs"};
  std::vector<std::pair<std::string, std::string>> members;
  for (const std::string& name : names) {
    folder_.write("in/" + name, "?");
    members.emplace_back(name, "?");
  }
  members.emplace_back("z.ts", "export {}\n");
  members.emplace_back("zz.ts", std::string("\0\1", 2));
  folder_.write("in/z.ts", "export {}\n");
  folder_.write("in/zz.ts", std::string("\0\1", 2));
  test::write_text(folder_.path("a.tar"), plain_tar(members));
  const auto packed = list({folder_.path("a.tar")}), plain = list({folder_.path("in")});
  ASSERT_EQ(packed.size(), names.size() + 1);
  ASSERT_EQ(plain.size(), packed.size());
  for (std::size_t i = 0; i < packed.size(); ++i) {
    EXPECT_EQ(packed[i].media[0].kind, plain[i].media[0].kind) << plain[i].id;
    EXPECT_THAT(plain[i].id, HasSubstr("/in/" + packed[i].id + ".")) << i;
  }
}

TEST_F(WebDataset, TheSameKeyInTwoArchivesIsTwoItems) {
  for (const char* name : {"a.tar", "b.tar"})
    test::write_text(folder_.path(name), plain_tar({{"0.jpg", "x"}, {"1.jpg", "x"}}));
  EXPECT_THAT(ids(list({folder_.path("*.tar")})),
              ElementsAre("0", "1", folder_.path("b.tar:0"), folder_.path("b.tar:1")));
  // A key that comes back in one archive is another sample of the same name.
  test::write_text(folder_.path("c.tar"),
                   plain_tar({{"0.jpg", "x"}, {"1.jpg", "x"}, {"0.png", "x"}}));
  EXPECT_THAT(ids(list({folder_.path("c.tar")})), ElementsAre("0", "1", folder_.path("c.tar:0")));
}

TEST_F(WebDataset, PartsThatAreNotAdjacentJoinTheirSampleAndAreCounted) {
  test::write_text(folder_.path("a.tar"), plain_tar({{"0.jpg", "x"},
                                                     {"1.jpg", "x"},
                                                     {"0.prompt", "p"},
                                                     {"2.prompt", "q"},
                                                     {"1.prompt", "r"},
                                                     {"2.jpg", "x"}}));
  const ItemTable table = table_of({folder_.path("a.tar")});
  EXPECT_THAT(ids(list({folder_.path("a.tar")})), ElementsAre("0", "1", "2"));
  for (std::size_t i = 0; i < 3; ++i) {
    EXPECT_EQ(table.item(i).media.size(), 1U) << i;
    EXPECT_EQ(table.item(i).prompt, std::string(1, "prq"[i])) << i;
  }
  EXPECT_EQ(describe(table.passed_over()),
            "parts in " + folder_.path("a.tar") +
                ": 2 (are not adjacent to their sample and are joined to it)");
}

TEST_F(WebDataset, ALinkIsItsFileAndOneToNothingFailsByName) {
  for (const auto& [name, files] : manifest_["extracted"].items()) {
    if (!name.starts_with("links")) continue;
    std::map<std::string, Item> items;
    for (const Item& item : list({golden() + "/" + name})) items[item.source] = item;
    std::size_t wanted = 0;
    for (const Json& entry : files) {
      const auto member = entry[0].get<std::string>();
      const auto dot = member.rfind('.');
      if (dot == std::string::npos || member.find('/', dot) != std::string::npos) continue;
      ++wanted;
      const auto found = items.find(golden() + "/" + name + ":" + member.substr(0, dot));
      ASSERT_NE(found, items.end()) << member;
      ASSERT_EQ(found->second.error.has_value(), entry[1].is_null()) << member;
      if (entry[1].is_null())
        EXPECT_THAT(found->second.error->message, HasSubstr(member));
      else
        EXPECT_EQ(sha256_of_media(found->second.media[0]), entry[1].get<std::string>()) << member;
    }
    EXPECT_EQ(items.size(), wanted);
    EXPECT_THAT(
        counts({golden() + "/" + name}),
        testing::UnorderedElementsAre("files without extension: 1", "links, pipes and devices: 2"));
  }
}

// An image among them may be one that a tool wrote with holes.
TEST_F(WebDataset, ASparseFileFailsItsSampleAlone) {
  for (const char* name : {"sparse_gnu.tar", "sparse_pax_00.tar", "sparse_pax_10.tar"}) {
    std::string tar = test::read_text(golden() + "/" + name);
    EXPECT_THAT(ids(list({golden() + "/" + name})), ElementsAre("0", "1")) << name;
    EXPECT_THAT(counts({golden() + "/" + name}), ElementsAre(".img: 2")) << name;
    for (auto at = tar.find("sparse-1.img"); at != std::string::npos; at = tar.find("sparse-1.img"))
      tar.replace(at, 12, "sparse-1.png");
    mend_checksums(tar);
    test::write_text(folder_.path(name), tar);
    const auto items = list({folder_.path(name)});
    EXPECT_THAT(ids(items), ElementsAre("0", "sparse-1", "1")) << name;
    EXPECT_THAT(items[1].error.value().message, HasSubstr("sparse-1.png is a sparse file"));
  }
}

TEST_F(WebDataset, APromptThatIsALinkToNothingIsNotLeftOut) {
  std::string tar = tar_entry("a.prompt", '2', "gone.prompt", "") +
                    tar_entry("b.prompt", '2', "c.txt", "") + tar_entry("d.txt", '2', "gone", "") +
                    plain_tar({{"a.jpg", "x"}, {"b.jpg", "x"}, {"c.txt", "Why?"}, {"d.jpg", "x"}});
  test::write_text(folder_.path("a.tar"), tar);
  const auto items = list({folder_.path("a.tar")});
  EXPECT_THAT(ids(items), ElementsAre("a", "b", "d"));
  EXPECT_THAT(items[0].error.value().message, HasSubstr("a.prompt is a link to gone.prompt"));
  EXPECT_EQ(items[1].prompt, "Why?");
  EXPECT_FALSE(items[2].error) << "a caption is not read";
}

// As `cat` joins archives; GNU tar reads the second with --ignore-zeros.
TEST_F(WebDataset, EveryArchiveOfAFileIsRead) {
  const std::string one = plain_tar({{"0.jpg", "x"}, {"1.jpg", "x"}}),
                    two = plain_tar({{"1.prompt", "Why?"}, {"2.jpg", "x"}});
  test::write_text(folder_.path("a.tar"), one + std::string(512 * 300, '\0') + two);
  const auto items = list({folder_.path("a.tar")});
  EXPECT_THAT(ids(items), ElementsAre("0", "1", "2"));
  EXPECT_EQ(items[1].prompt, "Why?") << "as in an archive of both";
  EXPECT_THAT(counts({folder_.path("a.tar")}),
              ElementsAre("end marks inside " + folder_.path("a.tar") + ": 1"));
  // Shards that each begin with key 1 stay three items.
  test::write_text(folder_.path("b.tar"), one + one + one);
  const std::string name = folder_.path("b.tar");
  EXPECT_THAT(ids(list({name})),
              ElementsAre("0", "1", name + ":0", name + ":1", name + ":0#3", name + ":1#3"));
  const std::string single = plain_tar({{"0.jpg", "x"}});
  test::write_text(name, single + single);
  EXPECT_THAT(ids(list({name})), ElementsAre("0", name + ":0"));
}

TEST_F(WebDataset, BytesBehindTheEndMarkAreCountedAndADamagedArchiveThereFails) {
  const std::string one = plain_tar({{"0.jpg", "x"}}), name = folder_.path("a.tar");
  test::write_text(name, one + "\x1F\x8B and more");
  EXPECT_THAT(ids(list({name})), ElementsAre("0"));
  EXPECT_THAT(counts({name}), ElementsAre("11 bytes behind the end of " + name + ": 1"));
  // The second part of sample 5 is cut, so 5 must not run without it.
  const std::string two = plain_tar({{"5.0.jpg", "x"}, {"5.1.jpg", "y"}});
  test::write_text(name, one + two.substr(0, 1536));
  const auto items = list({name});
  EXPECT_THAT(ids(items), ElementsAre("0", "5"));
  EXPECT_TRUE(items[1].error);
  test::write_text(name, std::string(1024, '\0'));
  EXPECT_THAT(ids(list({name, folder_.write("0.jpg", "x")})), ElementsAre(folder_.path("0.jpg")));
  EXPECT_THAT(counts({name, folder_.path("0.jpg")}), ElementsAre("archives without a file: 1"));
}

TEST_F(WebDataset, WhatIsNoItemIsCountedByKindAndReason) {
  const std::string png = test::read_text(test::golden_folder() + "/images/pond.png");
  const std::string tar =
      tar_entry("fifo", '6', "", "") + plain_tar({{"__MACOSX/._a.jpg", "x"},
                                                  {"._a.jpg", "x"},
                                                  {".DS_Store", "x"},
                                                  {"sub/Thumbs.db", "x"},
                                                  {"@eaDir/a.jpg", png},
                                                  {"x/@eaDir/a.png", png},
                                                  {".ipynb_checkpoints/a-checkpoint.png", png},
                                                  {"PaxHeaders.71/a.jpg", "27 mtime=1"},
                                                  {"./PaxHeader/b.png", "27 mtime=1"},
                                                  {"__meta__/x.jpg", "x"},
                                                  {"README", "x"},
                                                  {"a.jpg", png},
                                                  {"a.txt", "x"},
                                                  {"a.cls", "1"},
                                                  {"b.txt", "x"},
                                                  {"b.json", "{}"},
                                                  {"inner.tar", "x"},
                                                  {"inner.parquet", "PAR1"},
                                                  {"notes.md", "x"},
                                                  {".hidden", "x"},
                                                  {".hidden.jpg", png},
                                                  {"sub/.b.png", png}});
  test::write_text(folder_.path("a.tar"), tar);
  EXPECT_THAT(ids(list({folder_.path("a.tar")})), ElementsAre("a", ".hidden", "sub/.b"));
  EXPECT_THAT(counts({folder_.path("a.tar")}),
              testing::UnorderedElementsAre(
                  "__MACOSX: 1", "files such as ._x and .DS_Store: 3", "@eaDir: 2",
                  ".ipynb_checkpoints: 1", "PaxHeaders: 2", "files such as __x__: 1",
                  "files without extension: 2", ".txt: 2", ".cls: 1", ".json: 1", ".tar: 1",
                  ".parquet: 1", ".md: 1", "links, pipes and devices: 1"));
}

TEST_F(WebDataset, AJsonAsksAsALineOfAManifestDoes) {
  const auto member = [](const std::string& key, const std::string& json) {
    return std::vector<std::pair<std::string, std::string>>{{key + ".jpg", "x"},
                                                            {key + ".json", json}};
  };
  std::vector<std::pair<std::string, std::string>> members = {{"f.prompt", "Where?"}};
  for (const auto& sample :
       {member("a", R"({"question": "Why?", "system": "Be short.", "url": "x", "promt": "What?"})"),
        member("b", R"({"conversations": [{"from": "human", "value": "<image>\nWho?"},
                                          {"from": "gpt", "value": "Ann."}]})"),
        member("c", R"({"prompt": null, "messages": [], "caption": "a cat"})"),
        member("d", R"({"question": 3})"), member("e", R"({"prompt": "A", "question": "B"})"),
        member("f", R"({"prompt": null, "conversations": [{"from": "human", "value": "B"}]})"),
        member("g", R"({"system": "A", "messages": [{"role": "user", "content": "B"}]})")})
    members.insert(members.end(), sample.begin(), sample.end());
  test::write_text(folder_.path("a.tar"), plain_tar(members));
  const auto items = list({folder_.path("a.tar")});
  // The first part of sample f lies before all others.
  EXPECT_THAT(ids(items), ElementsAre("f", "a", "b", "c", "d", "e", "g"));
  EXPECT_EQ(items[0].prompt, "Where?");
  EXPECT_EQ(items[1].prompt, "Why?");
  EXPECT_EQ(items[1].system, "Be short.");
  EXPECT_THAT(items[2].messages, AllOf(HasSubstr("Who?"), testing::Not(HasSubstr("Ann"))));
  EXPECT_EQ(items[2].media.size(), 1U);
  EXPECT_FALSE(items[3].prompt || items[3].error);
  EXPECT_THAT(items[4].error.value().message, HasSubstr("question: wanted a string"));
  EXPECT_EQ(items[5].prompt, "A");
  EXPECT_THAT(items[6].error.value().message, HasSubstr("messages stand alone"));
  EXPECT_THAT(counts({folder_.path("a.tar")}),
              testing::UnorderedElementsAre(
                  "parts in " + folder_.path("a.tar") + ": 2", "key \"url\": 1", "key \"promt\": 1",
                  "key \"caption\": 1", "key \"question\": 1", "key \"conversations\": 1",
                  "last answer of \"conversations\": 1"));
}

TEST_F(WebDataset, ASlipInAJsonFailsItsSampleWhereNothingElseAsks) {
  const std::string path = folder_.path("a.tar");
  for (const char* slip : {"promt", "Prompt", "message", "conversation"}) {
    test::write_text(path, plain_tar({{"a.jpg", "x"},
                                      {"a.json", R"({")" + std::string(slip) + R"(": "Why?"})"}}));
    const auto items = list({path});
    ASSERT_EQ(items.size(), 1U);
    EXPECT_THAT(items[0].error.value().message, HasSubstr(std::string(slip) + " is not read"));
    EXPECT_FALSE(table_of({path}, true).item(0).error) << slip << ": the job asks";
  }
  for (const char* json : {R"({"promt": "", "caption": "a cat"})", R"({"prompted": "Why?"})",
                           R"({"prompt": null, "promt": "Why?"})"}) {
    test::write_text(path, plain_tar({{"a.jpg", "x"}, {"a.json", json}}));
    EXPECT_FALSE(list({path})[0].error) << json;
  }
}

TEST_F(WebDataset, AnImageThatMessagesDoNotNameIsCounted) {
  test::write_text(folder_.path("a.tar"),
                   plain_tar({{"d.json", R"({"messages": [{"role": "user", "content":
               [{"type": "image", "image": "d.2.png"}]}]})"},
                              {"d.1.png", "1"},
                              {"d.2.png", "22"}}));
  EXPECT_EQ(list({folder_.path("a.tar")})[0].media.size(), 1U);
  EXPECT_THAT(counts({folder_.path("a.tar")}), ElementsAre(".png: 1"));
}

TEST_F(WebDataset, ALaterImageOfASampleIsShownOrAnItemOfItsOwnAndIsSaid) {
  const std::string name = folder_.path("a.tar");
  // Adjacent: one caption for all of them.
  test::write_text(name, plain_tar({{"a.jpg", "x"}, {"a.png", "x"}, {"a.2.jpg", "x"}}));
  EXPECT_EQ(list({name})[0].media.size(), 3U);
  EXPECT_THAT(counts({name}),
              ElementsAre("samples of several images, such as \"a\" of 3, in " + name + ": 1"));
  test::write_text(name, plain_tar({{"a.jpg", "x"}, {"b.jpg", "x"}, {"a.png", "x"}}));
  EXPECT_THAT(ids(list({name})), ElementsAre("a", "b", name + ":a"));
  EXPECT_THAT(counts({name}), ElementsAre("keys that are there again in " + name + ": 1"));
  test::write_text(name, plain_tar({{"a.prompt", "x"}, {"a.prompt.txt", "y"}, {"a.png", "x"}}));
  EXPECT_THAT(list({name})[0].error.value().message, HasSubstr("two members are its prompt"));
}

TEST_F(WebDataset, NamesThatAreNoUtf8GiveDistinctIdsInUtf8) {
  test::write_text(
      folder_.path("a.tar"),
      plain_tar(
          {{"\xFF.jpg", "x"}, {"\xFE.jpg", "x"}, {"\xC3\xA9.jpg", "x"}, {"\xFF/1.json", "["}}));
  const auto items = list({folder_.path("a.tar")});
  EXPECT_THAT(ids(items), ElementsAre("\\xff", "\\xfe", "\xC3\xA9", "\\xff/1"));
  EXPECT_TRUE(items[0].source.ends_with("a.tar:\\xff"));
  EXPECT_EQ(items[0].media[0].files[0].member, "\xFF.jpg");
  EXPECT_THAT(items[3].error.value().message, HasSubstr("\\xff/1.json"));
}

// The damaged member belongs to one sample, and only that one is lost with it.
TEST_F(WebDataset, ACutMemberCostsTheSampleThatItBelongsToAlone) {
  const auto sources = [&](const std::vector<std::pair<std::string, std::string>>& members) {
    const std::string whole = plain_tar(members);
    // The header of the last of three members is there, its bytes are not.
    test::write_text(folder_.path("a.tar"), whole.substr(0, 2 * 1024 + 512));
    std::vector<std::string> names;
    for (const Item& item : list({folder_.path("a.tar")}))
      names.push_back((item.error ? "failed " : "") +
                      item.source.substr(item.source.rfind(':') + 1));
    return names;
  };
  EXPECT_THAT(sources({{"0.jpg", "x"}, {"1.jpg", "x"}, {"0.jpg", "y"}}),
              ElementsAre("0", "1", "failed 0"));
  EXPECT_THAT(sources({{"0.jpg", "x"}, {"1.jpg", "x"}, {"0.prompt", "y"}}),
              ElementsAre("1", "failed 0"));
  EXPECT_THAT(sources({{"0.jpg", "x"}, {"1.jpg", "x"}, {"1.prompt", "y"}}),
              ElementsAre("0", "failed 1"));
}

// A name up to its first dot is the key, as webdataset has it: three screenshots are one sample.
TEST_F(WebDataset, DottedNamesThatMakeOneSampleAreCounted) {
  test::write_text(
      folder_.path("a.tar"),
      plain_tar({{"at 10.00.png", "x"}, {"at 10.01.png", "x"}, {"at 10.02.png", "x"}}));
  const ItemTable table = table_of({folder_.path("a.tar")});
  EXPECT_EQ(table.size(), 1U);
  EXPECT_THAT(describe(table.passed_over()),
              HasSubstr("samples of several images, such as \"at 10\" of 3, in "));
}

TEST_F(WebDataset, ACutArchiveGivesTheSamplesBeforeTheCutAndOneFailure) {
  const std::string whole =
      plain_tar({{"0.jpg", "0"}, {"0.json", "{}"}, {"1.jpg", "1"}, {"2.jpg", "2"}});
  for (std::size_t cut = 0; cut < whole.size() - 1023; cut += cut % 512 == 1 ? 255 : 1) {
    test::write_text(folder_.path("cut.tar"), whole.substr(0, cut));
    const auto items = list({folder_.path("cut.tar")});
    ASSERT_GE(items.size(), 1U);
    for (std::size_t i = 0; i + 1 < items.size(); ++i) {
      EXPECT_FALSE(items[i].error);
      EXPECT_EQ(items[i].id, std::to_string(i));
    }
    ASSERT_TRUE(items.back().error) << cut;
    EXPECT_THAT(items.back().error->message, HasSubstr("cut.tar: at byte")) << cut;
  }
  test::write_text(folder_.path("cut.tar"), whole.substr(0, 512 * 3 + 1));
  const auto items = list({folder_.path("cut.tar")});
  EXPECT_THAT(ids(items), ElementsAre("0")) << "a sample without its json does not run";
  EXPECT_TRUE(items[0].error);
}

}  // namespace
}  // namespace retinue::runtime
