#include "runtime/dataset/source.h"

#include "parallel/base/check.h"
#include "runtime/dataset/media_bytes.h"
#include "tests/runtime/formats/plain_tar.h"
#include "tests/support/job_ranks.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <sstream>
#include <sys/stat.h>
#include <thread>

namespace retinue::runtime {
namespace {

namespace fs = std::filesystem;
using testing::ElementsAre;
using testing::HasSubstr;

class Source : public testing::Test {
 protected:
  Source() {
    for (const char* name : {"in/b/2.png", "in/b/10.png", "in/a.png", "in/C.PNG"}) {
      fs::create_directories(fs::path(folder_.path(name)).parent_path());
      fs::copy(test::golden_folder() + "/images/pond.png", folder_.path(name));
    }
    test::write_text(folder_.path("in/notes.txt"), "no image");
    test::write_text(folder_.path("in/readme"), "no image");
    fs::copy(test::golden_folder() + "/images/pond.png", folder_.path("in/unnamed"));
    test::write_text(folder_.path("in/broken.jpg"), "no image");
  }

  std::vector<Item> list(const std::vector<std::string>& inputs, SourceOptions options = {}) {
    std::istringstream in(stdin_);
    options.inputs = inputs;
    const ItemTable table = list_table(options, in, "");
    std::vector<Item> items;
    for (std::size_t i = 0; i < table.size(); ++i) items.push_back(table.item(i));
    return items;
  }
  /// Ids below the folder.
  std::vector<std::string> ids(const std::vector<Item>& items) {
    std::vector<std::string> names;
    for (const Item& item : items)
      names.push_back(item.id.starts_with(folder_.path())
                          ? item.id.substr(folder_.path().size() + 1)
                          : item.id);
    return names;
  }
  std::string refusal(const std::vector<std::string>& inputs, const SourceOptions& options = {}) {
    try {
      list(inputs, options);
    } catch (const UsageError& error) {
      return error.what();
    }
    return "";
  }
  std::string manifest(const std::string& text) {
    test::write_text(folder_.path("list.jsonl"), text);
    return folder_.path("list.jsonl");
  }

  /// What was passed over, without reasons.
  std::vector<std::string> counts(const std::vector<std::string>& inputs) {
    std::istringstream in;
    SourceOptions options;
    options.inputs = inputs;
    const ItemTable table = list_table(options, in, "");
    std::vector<std::string> texts;
    for (const PassedOver& kind : table.passed_over())
      texts.push_back(kind.what + ": " + std::to_string(kind.count));
    return texts;
  }

  test::TemporaryFolder folder_;
  std::string stdin_;
};

TEST_F(Source, AFolderGivesItsImagesByPath) {
  EXPECT_THAT(ids(list({folder_.path("in")})),
              ElementsAre("in/C.PNG", "in/a.png", "in/b/10.png", "in/b/2.png", "in/broken.jpg",
                          "in/unnamed"));
}

TEST_F(Source, FilesGlobsAndFoldersMix) {
  EXPECT_THAT(
      ids(list({folder_.path("in/b/2.png"), folder_.path("in/*.png"), folder_.path("in/b")})),
      ElementsAre("in/b/2.png", "in/a.png", "in/b/10.png"));
}

TEST_F(Source, LinesOfAManifestBecomeItems) {
  const auto items = list({manifest(
      R"({"id": "one", "image": "in/a.png", "prompt": "What?"})"
      "\n\n"
      R"({"images": ["in/a.png", "in/b/2.png"]})"
      "\n"
      R"({"id": 7, "video": ["in/a.png", "in/b/2.png"], "fps": 4})"
      "\r\n"
      R"({"id": "m", "messages": [{"role": "user", "content": [{"type": "image", "image": "in/a.png"}, {"type": "text", "text": "?"}]}]})"
      "\n"
      R"({"id": "t", "prompt": "Hello"})")});
  ASSERT_EQ(items.size(), 5U);
  for (const Item& item : items) EXPECT_FALSE(item.error) << item.source << item.error->message;
  EXPECT_EQ(items[0].prompt, "What?");
  EXPECT_EQ(items[0].media[0].files[0].path, folder_.path("in/a.png"));
  EXPECT_EQ(items[1].id, folder_.path("list.jsonl:3"));
  EXPECT_EQ(items[1].media.size(), 2U);
  EXPECT_EQ(items[2].id, "7");
  EXPECT_EQ(items[2].media[0].kind, MediaKind::kVideo);
  EXPECT_EQ(items[2].media[0].fps, 4.0);
  EXPECT_EQ(items[3].media[0].files[0].path, folder_.path("in/a.png"));
  EXPECT_THAT(items[3].messages, HasSubstr("\"role\":\"user\""));
  EXPECT_TRUE(items[4].media.empty());
}

TEST_F(Source, BadLinesFailAloneAndSayWhere) {
  const auto items =
      list({manifest("{\"id\": \"a\", \"image\": \"x.png\"}\n"
                     "{\"id\": \"b\"\n"
                     "[1]\n"
                     "{\"id\": \"a\", \"image\": \"y.png\"}\n"
                     "{\"id\": true, \"image\": \"y.png\"}\n"
                     "{\"id\": \"c\", \"image\": [3]}\n"
                     "{\"id\": \"d\", \"images\": [1]}\n"
                     "{\"id\": \"e\"}\n"
                     "{\"id\": \"f\", \"image\": \"http://x/y.png\"}\n"
                     "{\"id\": \"g\", \"messages\": \"hi\"}\n"
                     "{\"id\": \"h\", \"image\": \"x.png\", \"prompt\": 3}\n"
                     "\xFF\xFE\n"
                     "{\"id\": \"z\", \"image\": \"z.png\"}\n")});
  ASSERT_EQ(items.size(), 13U);
  EXPECT_FALSE(items.front().error);
  EXPECT_FALSE(items.back().error);
  for (std::size_t i = 1; i + 1 < items.size(); ++i) {
    ASSERT_TRUE(items[i].error) << i;
    EXPECT_EQ(items[i].source, folder_.path("list.jsonl:" + std::to_string(i + 1)));
  }
  EXPECT_THAT(items[3].error->message, HasSubstr("list.jsonl:1"));
}

TEST_F(Source, EmptyValuesOfADataFrameAreAbsentAndALineWithoutItsImageFails) {
  const auto items = list({manifest(
      R"({"id": 1.0, "image": "in/a.png", "images": null, "messages": []})"
      "\n"
      R"({"id": "b", "image": ["in/a.png", "in/b/2.png"], "score": NaN})"
      "\n"
      R"({"id": "c", "image": {"path": "in/a.png", "bytes": null}})"
      "\n"
      R"({"id": "d", "image": null, "prompt": "What?"})"
      "\n"
      R"({"id": "e", "images": [], "prompt": "What?"})"
      "\n"
      R"({"id": "f", "image": NaN, "prompt": "What?"})"
      "\n"
      R"({"id": "g", "prompt": Infinity})"
      "\n"
      R"({"id": "", "prompt": "What?"})"
      "\n"
      R"({"id": "j", "messages": [{"role": "user", "content": [{"type": "text", "text": "?", "image": null}]}]})")});
  ASSERT_EQ(items.size(), 9U);
  EXPECT_EQ(items[7].id, folder_.path("list.jsonl:8"));
  for (std::size_t i = 7; i < 9; ++i) EXPECT_FALSE(items[i].error) << items[i].error->message;
  EXPECT_EQ(items[0].id, "1");
  for (std::size_t i = 0; i < 3; ++i) EXPECT_FALSE(items[i].error) << i;
  EXPECT_EQ(items[1].media.size(), 2U);
  EXPECT_EQ(items[2].media[0].files[0].path, folder_.path("in/a.png"));
  for (std::size_t i = 3; i < 7; ++i) EXPECT_TRUE(items[i].error) << i;
}

TEST_F(Source, KeysThatAskAreReadAndSlipsFailByName) {
  const auto items = list({manifest(
      R"({"id": "a", "image": "in/a.png", "conversations": [{"from": "human", "value": "<image>\nHow many?"}, {"from": "gpt", "value": "Two."}]})"
      "\n"
      R"({"id": "b", "image": "in/a.png", "question": "How many?", "system": "Be short.", "max_new_tokens": 2})"
      "\n"
      R"({"id": "c", "image": "in/a.png", "promt": "How many?"})"
      "\n"
      R"({"id": "d", "image": "in/a.png", "Prompt": "How many?"})"
      "\n"
      R"({"id": "e", "imgae": "in/a.png", "prompt": "How many?"})"
      "\n"
      R"({"id": "f", "image": "in/a.png", "licence": "CC", "pages": 4})"
      "\n"
      R"({"id": "g", "image": "in/a.png", "max_tokens": 9223372036854775807})"
      "\n"
      R"({"id": "h", "video": "in/a.png", "nframes": 4})")});
  ASSERT_EQ(items.size(), 8U);
  for (const std::size_t i : {0U, 1U, 5U}) EXPECT_FALSE(items[i].error) << items[i].error->message;
  EXPECT_EQ(items[0].messages,
            R"([{"role":"user","content":[{"type":"image"},{"type":"text","text":"How many?"}]}])");
  EXPECT_EQ(items[0].media.size(), 1U);
  EXPECT_EQ(items[1].prompt, "How many?");
  EXPECT_EQ(items[1].system, "Be short.");
  EXPECT_EQ(items[1].sampling->max_new_tokens, 2);
  const std::vector<std::pair<std::size_t, const char*>> failed = {
      {2, "promt"}, {3, "Prompt"}, {4, "imgae"}, {6, "max_tokens"}, {7, "nframes"}};
  for (const auto& [i, key] : failed) {
    ASSERT_TRUE(items[i].error) << key;
    EXPECT_THAT(items[i].error->message, HasSubstr(key));
  }
}

// qwen-vl-utils reads these keys; they are not read here yet.
TEST_F(Source, KeysOfQwenVlUtilsFailTheItemWhereverTheyAre) {
  const std::vector<std::string> options = {
      "video_start", "video_end",    "nframes",        "min_frames",    "max_frames", "min_pixels",
      "max_pixels",  "total_pixels", "resized_height", "resized_width", "sample_fps", "raw_fps"};
  const std::string image = R"({"type":"image","image":"in/a.png","KEY":4})",
                    video = R"({"type":"video","video":["in/a.png","in/b/2.png"],"KEY":4})",
                    url = R"({"type":"image_url","image_url":{"url":"in/a.png","KEY":4}})",
                    frame =
                        R"({"type":"video","video":[{"path":"in/a.png","KEY":4},"in/b/2.png"]})";
  std::vector<std::string> lines = {R"({"image":"in/a.png","KEY":4})",
                                    R"({"video":"in/a.png","KEY":4})",
                                    R"({"image":{"path":"in/a.png","KEY":4}})",
                                    R"({"images":["in/a.png",{"path":"in/a.png","KEY":4}]})",
                                    R"({"messages":[{"role":"user","content":"?","KEY":4}]})"};
  for (const std::string& part : {image, video, url, frame}) {
    const std::string messages = R"([{"role":"user","content":[)" + part + "]}]";
    lines.push_back(R"({"messages":)" + messages + "}");
    lines.push_back(R"({"custom_id":"x","body":{"messages":)" + messages + "}}");
  }
  for (const std::string& option : options)
    for (const std::string& line : lines) {
      const auto read = [&](const std::string& key) {
        std::string text = line;
        text.replace(text.find("KEY"), 3, key);
        return list({manifest(text + "\n")})[0].error;
      };
      const auto error = read(option);
      ASSERT_TRUE(error) << line;
      EXPECT_THAT(error->message, HasSubstr(option)) << line;
    }
}

TEST_F(Source, ImagesOfMessagesMayBeObjectsOfHuggingFace) {
  const auto items = list({manifest(
      R"({"messages":[{"role":"user","content":[{"type":"image","image":{"path":"in/a.png","bytes":null}}]}]})"
      "\n"
      R"({"messages":[{"role":"user","content":[{"type":"image","image":{"path":null,"bytes":"aGVsbG8="}}]}]})"
      "\n"
      R"({"messages":[{"role":"user","content":[{"type":"video","video":[{"url":"in/a.png"},"in/b/2.png"]}]}]})"
      "\n"
      R"({"messages":[{"role":"user","content":[{"type":"image","image":{"path":null,"bytes":null}}]}]})"
      "\n"
      R"({"messages":[{"role":"user","content":[{"type":"image","image":["in/a.png"]}]}]})")});
  ASSERT_EQ(items.size(), 5U);
  for (std::size_t i = 0; i < 3; ++i) ASSERT_FALSE(items[i].error) << items[i].error->message;
  EXPECT_EQ(items[0].media[0].files[0].path, folder_.path("in/a.png"));
  EXPECT_EQ(items[1].media[0].files[0].place, MediaPlace::kBase64);
  EXPECT_EQ(items[2].media[0].files.size(), 2U);
  for (std::size_t i = 3; i < 5; ++i) EXPECT_TRUE(items[i].error) << i;
}

TEST_F(Source, AGivenPromptWinsOverTheJsonOfAnArchiveAndNotOverAManifest) {
  const std::string image = test::read_text(test::golden_folder() + "/images/pond.png");
  test::write_text(folder_.path("a.tar"), plain_tar({{"a.png", image},
                                                     {"a.json", R"({"prompt":"Json?"})"},
                                                     {"b.png", image},
                                                     {"b.prompt", "Member?"},
                                                     {"c.png", image},
                                                     {"c.json", "{}"}}));
  SourceOptions options;
  const std::vector<std::string> inputs = {
      folder_.path("a.tar"), manifest(R"({"id":"d","image":"in/a.png","prompt":"Line?"})")};
  const auto prompts = [&] {
    std::vector<std::string> found;
    for (const Item& item : list(inputs, options)) found.push_back(item.prompt.value_or("none"));
    return found;
  };
  EXPECT_THAT(prompts(), ElementsAre("Json?", "Member?", "none", "Line?"));
  options.given.prompt = true;
  EXPECT_THAT(prompts(), ElementsAre("none", "Member?", "none", "Line?"));
  options.inputs = inputs;
  std::istringstream none;
  EXPECT_EQ(
      describe(list_table(options, none, "").passed_over()),
      "prompt in the data: 1 (a flag of the same name is given, and wins), --prompt not used: 2 "
      "(the items have texts of their own, which win)");
}

TEST_F(Source, TwoQuestionsAboutOneImageAreTwoItems) {
  const auto items =
      list({manifest("{\"image\": \"in/a.png\", \"prompt\": \"Who?\"}\n"
                     "{\"image\": \"in/a.png\", \"prompt\": \"What?\"}\n")});
  ASSERT_EQ(items.size(), 2U);
  EXPECT_FALSE(items[1].error);
  EXPECT_EQ(items[0].id, "in/a.png");
  EXPECT_EQ(items[1].id, folder_.path("list.jsonl:2"));
}

TEST_F(Source, PathsThatCannotBeOpenedFailShortlyAndUrisAreRead) {
  fs::copy(folder_.path("in/a.png"), folder_.path("in/a b.png"));
  const auto items = list(
      {manifest("{\"image\": \"file://localhost" + folder_.path("in/a%20b.png") + "\"}\n" +
                "{\"image\": \"in/a.png\\u0000.jpg\"}\n" + "{\"image\": \"/9j/" +
                std::string(9000, 'A') + "\"}\n" + "{\"image\": \"file://elsewhere/a.png\"}\n")});
  ASSERT_EQ(items.size(), 4U);
  ASSERT_FALSE(items[0].error) << items[0].error->message;
  EXPECT_EQ(items[0].media[0].files[0].path, folder_.path("in/a b.png"));
  EXPECT_THAT(items[1].error->message, HasSubstr("NUL"));
  EXPECT_THAT(items[2].error->message, HasSubstr("base64"));
  EXPECT_LT(items[2].error->message.size() + items[2].id.size(), 1000U);
  EXPECT_THAT(items[3].error->message, HasSubstr("elsewhere"));
}

TEST_F(Source, ADeepLineFailsAlone) {
  const std::string deep = std::string(100000, '[') + std::string(100000, ']');
  const auto items = list({manifest(
      "{\"id\": \"a\", \"prompt\": \"x\"}\n{\"id\": \"b\", \"prompt\": \"x\", \"extra\": " + deep +
      "}\n{\"custom_id\": \"c\", \"url\": " + deep + ", \"body\": {\"messages\": []}}\n")});
  ASSERT_EQ(items.size(), 3U);
  EXPECT_FALSE(items[0].error);
  for (const std::size_t i : {1U, 2U})
    EXPECT_THAT(items[i].error.value().message, HasSubstr("levels of brackets"));
}

TEST_F(Source, AFileOfAnotherFormIsRefusedOnce) {
  using namespace std::string_literals;
  const std::vector<std::pair<std::string, const char*>> cases = {
      {"\xFF\xFE{\0\"\0"s, "UTF-16"},
      {"[{\"image\": \"a\"}]\n", "JSON array"},
      {"[\n{\"image\": \"a\"}\n]\n", "JSON array"},
      {"{\n  \"image\": \"a\"\n}\n", "several lines"},
      {"{\"image\": \"a\"}{\"image\": \"b\"}\n", "several objects in a line"},
      {"{\"image\": \"a\"},\n{\"image\": \"b\"},\n", "commas behind"},
      {"{'image': 'a'}\n{'image': 'b'}\n", "Python"},
      {"\x1E{\"image\": \"a\"}\n\x1E{\"image\": \"b\"}\n", "jq --seq"},
      {"{\"data\": [{\"image\": \"a\"}]}\n", "jq -c '.[\"data\"][]'"},
      {"{\"images\": [{\"file_name\": \"a\"}], \"annotations\": []}\n", "list \"images\""},
      {"[\"a.jpg\"]\n[\"b.jpg\"]\n", "jq -c '{images: .}'"},
      {"image,prompt\na.jpg,What?\n", "CSV"},
      {"image\tprompt\na.jpg\tWhat?\n", R"(delimiter="\t")"},
      {"image;prompt\na.jpg;What?\n", R"(delimiter=";")"},
      {"image|prompt\na.jpg|What?\n", R"(delimiter="|")"},
      {"a.jpg\nb.jpg\n", "list of paths"},
      {"\"a.jpg\"\n\"b.jpg\"\n", "list of texts"}};
  for (const auto& [text, found] : cases) EXPECT_THAT(refusal({manifest(text)}), HasSubstr(found));
  // One bad line costs no more than itself.
  for (const char* text :
       {"{\"image\": \"a\"},\n{\"image\": \"b\"}\n", "{\"image\": \n{\"image\": \"b\"}\n",
        "{'image': 'a'}\n{\"image\": \"b\"}\n", "{\"images\": [{\"path\": \"a\"}]}\n"})
    EXPECT_EQ(refusal({manifest(text)}), "") << text;
}

TEST_F(Source, StandardInputIsAManifest) {
  stdin_ = "{\"id\": \"a\", \"prompt\": \"x\"}\n";
  EXPECT_THAT(ids(list({"-"})), ElementsAre("a"));
}

TEST_F(Source, ShardsPartTheItemsAndShufflingKeepsOrdinals) {
  std::vector<std::string> parts;
  for (const char* shard : {"0/3", "1/3", "2/3"}) {
    SourceOptions options;
    options.shard = parse_shard(shard);
    options.shuffle = 5;
    for (const Item& item : list({folder_.path("in")}, options)) parts.push_back(item.id);
  }
  SourceOptions shuffled;
  shuffled.shuffle = 5;
  const auto items = list({folder_.path("in")}, shuffled);
  const auto plain = list({folder_.path("in")});
  std::vector<std::string> straight;
  bool moved = false;
  for (std::size_t i = 0; i < items.size(); ++i) {
    straight.push_back(items[i].id);
    EXPECT_EQ(plain[static_cast<std::size_t>(items[i].ordinal)].id, items[i].id);
    moved = moved || items[i].ordinal != static_cast<std::int64_t>(i);
  }
  EXPECT_TRUE(moved);
  EXPECT_THAT(parts, testing::UnorderedElementsAreArray(straight));
  SourceOptions limited;
  limited.limit = 2;
  EXPECT_THAT(ids(list({folder_.path("in")}, limited)), ElementsAre("in/C.PNG", "in/a.png"));
}

TEST_F(Source, VideosAreRecognisedByContentAndThenByName) {
  const std::string mp4 = std::string("\0\0\0\x18", 4) + "ftypisom and more";
  const std::string heic = std::string("\0\0\0\x18", 4) + "ftypheic and more";
  for (const auto& [name, content, video] :
       {std::tuple{"v/1", mp4, true}, std::tuple{"v/2.mp4", std::string("?"), true},
        std::tuple{"v/3.gif", std::string("GIF89a and more"), true},
        std::tuple{"v/4.jpg", mp4, true}, std::tuple{"v/5.heic", heic, false},
        std::tuple{"v/6.webm", test::read_text(test::golden_folder() + "/images/pond.png"), false},
        std::tuple{"v/7", std::string("\x1A\x45\xDF\xA3 and more"), true},
        std::tuple{"v/8.dat", std::string("RIFF....AVI LIST"), true}}) {
    fs::create_directories(folder_.path("v"));
    test::write_text(folder_.path(name), content);
    for (const char* input : {"v", name}) {
      const auto items = list({folder_.path(input)});
      ASSERT_FALSE(items.empty());
      EXPECT_EQ(items.back().media[0].kind, video ? MediaKind::kVideo : MediaKind::kImage) << name;
    }
  }
  SourceOptions options;
  options.format = InputFormat::kImage;
  EXPECT_EQ(list({folder_.path("v/2.mp4")}, options)[0].media[0].kind, MediaKind::kImage);
}

TEST_F(Source, NothingToReadIsNoSuccess) {
  fs::create_directories(folder_.path("empty"));
  EXPECT_THAT(refusal({folder_.path("empty")}), HasSubstr("no images or videos"));
  folder_.write("shards/0.tar", plain_tar({{"0.jpg", "x"}}));
  EXPECT_THAT(refusal({folder_.path("shards")}),
              AllOf(HasSubstr("no images or videos"), HasSubstr(".tar: 1 (in a folder")));
  EXPECT_THAT(refusal({folder_.path("missing")}), HasSubstr("no such file"));
  EXPECT_THAT(refusal({manifest("\n")}), HasSubstr("nothing"));
  EXPECT_THAT(refusal({}), HasSubstr("--input"));
}

TEST(Shard, IsReadFromItsFormAlone) {
  EXPECT_EQ(parse_shard("2/3"), (Shard{.index = 2, .count = 3}));
  EXPECT_EQ((Shard{.index = 2, .count = 3}).text(), "2/3");
  EXPECT_EQ(parse_shard(Shard{}.text()), Shard{});
  for (const char* text : {"3/3", "a/2", "1", "-1/2", "0/0", "1/2x"}) {
    try {
      parse_shard(text);
      ADD_FAILURE() << text;
    } catch (const UsageError& error) {
      EXPECT_THAT(error.what(), HasSubstr("--shard"));
    }
  }
}

TEST_F(Source, ALinkToAFolderAboveIsNotFollowedAndOneToNothingFails) {
  fs::create_directory_symlink(folder_.path("in"), folder_.path("in/b/again"));
  fs::create_symlink(folder_.path("gone.png"), folder_.path("in/b/link.png"));
  EXPECT_THAT(ids(list({folder_.path("in/b")})),
              ElementsAre("in/b/10.png", "in/b/2.png", "in/b/again/C.PNG", "in/b/again/a.png",
                          "in/b/again/broken.jpg", "in/b/again/unnamed", "in/b/link.png"));
}

TEST_F(Source, ALinkToItselfFailsAsAnItem) {
  fs::create_symlink("loop.png", folder_.path("in/b/loop.png"));
  EXPECT_THAT(ids(list({folder_.path("in/b/loop.png")})), ElementsAre("in/b/loop.png"));
  EXPECT_THAT(refusal({std::string(300, 'a')}), HasSubstr("no such file"));
}

// Opening a named pipe waits for its writer.
TEST_F(Source, APipeInAFolderOrGlobIsAnItemAndIsNotOpened) {
  ASSERT_EQ(mkfifo(folder_.path("in/b/pipe.jpg").c_str(), 0600), 0);
  ASSERT_EQ(mkfifo(folder_.path("in/b/pipe").c_str(), 0600), 0);
  EXPECT_THAT(ids(list({folder_.path("in/b")})),
              ElementsAre("in/b/10.png", "in/b/2.png", "in/b/pipe.jpg"));
  EXPECT_THAT(ids(list({folder_.path("in/b/p*.jpg")})), ElementsAre("in/b/pipe.jpg"));
  SourceOptions options;
  for (const InputFormat format : {InputFormat::kParquet, InputFormat::kWebDataset,
                                   InputFormat::kManifest, InputFormat::kImage}) {
    options.format = format;
    EXPECT_THAT(ids(list({folder_.path("in/b/p*.jpg")}, options)), ElementsAre("in/b/pipe.jpg"));
  }
  EXPECT_THAT(refusal({folder_.path("in/b/pipe")}), HasSubstr("--input-format manifest"));
}

TEST_F(Source, AManifestIsReadFromAPipeWhoseFormatIsGiven) {
  const std::string pipe = folder_.path("pipe");
  ASSERT_EQ(mkfifo(pipe.c_str(), 0600), 0);
  std::jthread writer([&] {
    test::write_text(pipe, "{\"image\":\"data:image/png;base64,QUFB\"}\n{\"prompt\":\"b\"}\n");
  });
  SourceOptions options;
  options.format = InputFormat::kManifest;
  const auto items = list({pipe}, options);
  ASSERT_EQ(items.size(), 2U);
  EXPECT_EQ(items[0].media[0].files[0].path, "data:image/png;base64,QUFB");  // stays in the item
}

TEST_F(Source, WhatAFolderHoldsBesideItemsIsCounted) {
  for (const char* name : {"._a.jpg", ".DS_Store", "shard.tar", "part.parquet", "x.txt", "y.txt",
                           "code.ts", "scan.jp2", "old.wmv"})
    test::write_text(folder_.path(std::string("in/b/") + name), "PAR1");
  for (const char* name : {"__MACOSX", "@eaDir", ".ipynb_checkpoints"}) {
    fs::create_directories(folder_.path(std::string("in/b/") + name));
    fs::copy(test::golden_folder() + "/images/pond.png",
             folder_.path(std::string("in/b/") + name + "/copy.png"));
  }
  std::istringstream in;
  SourceOptions options;
  options.inputs = {folder_.path("in/b")};
  const ItemTable table = list_table(options, in, "");
  std::vector<std::string> names;
  for (std::size_t i = 0; i < table.size(); ++i)
    names.push_back(fs::path(table.item(i).id).filename().string());
  EXPECT_THAT(names, ElementsAre("10.png", "2.png", "old.wmv", "scan.jp2"));
  const std::string text = describe(table.passed_over());
  for (const char* part :
       {".parquet: 1", ".tar: 1", ".txt: 2", ".ts: 1", "files such as ._x and .DS_Store: 2",
        "__MACOSX: 1", "@eaDir: 1", ".ipynb_checkpoints: 1"})
    EXPECT_THAT(text, HasSubstr(part));
}

TEST_F(Source, WhatSystemsLeaveIsNoMatchOfAPatternUnlessItNamesIt) {
  const std::string png = test::read_text(test::golden_folder() + "/images/pond.png");
  for (const char* name : {"g/__MACOSX/x.jpg", "g/@eaDir/x.jpg", "g/Thumbs.db", "g/a/1.png",
                           "g/PaxHeaders.7/1.png", "g/2.png"})
    folder_.write(name, png);
  folder_.write("g/texts/a.txt", "no image");
  EXPECT_THAT(ids(list({folder_.path("g/*")})), ElementsAre("g/2.png", "g/a/1.png"));
  EXPECT_THAT(
      counts({folder_.path("g/*")}),
      testing::UnorderedElementsAre("__MACOSX: 1", "@eaDir: 1", "PaxHeaders: 1",
                                    "files such as ._x and .DS_Store: 1", "folders: 1", ".txt: 1"));
  EXPECT_THAT(ids(list({folder_.path("g/*/*.*")})), ElementsAre("g/a/1.png", "g/texts/a.txt"));
  for (const char* named : {"g/__MACOSX", "g/__MACOSX/*", "g/{__MACOSX,a}/x*", "g/@eaDir/x.jpg"})
    EXPECT_EQ(list({folder_.path(named)}).size(), 1U) << named;
  EXPECT_THAT(refusal({folder_.path("g/texts")}), HasSubstr("no images or videos"));
  EXPECT_THAT(refusal({folder_.path("g/{a,texts}")}), HasSubstr("no images or videos"));
  EXPECT_THAT(refusal({folder_.path("g/tex*")}),
              AllOf(HasSubstr("names nothing"), HasSubstr("There are: "), HasSubstr(".txt: 1")));
}

TEST_F(Source, AFolderThatSeveralInputsReachIsReadOnce) {
  fs::create_directory_symlink("b", folder_.path("in/link"));
  const std::string in = folder_.path("in"), b = folder_.path("in/b");
  const std::vector<std::string> all = ids(list({in}));
  ASSERT_EQ(all.size(), 6U);
  const std::vector<std::vector<std::string>> cases = {
      {in, in},   {in, in + "/"},       {in, in + "/."},    {in, in + "/../in"},
      {in, b},    {in, in + "/link"},   {in, in + "/*/"},   {in, in + "/{b,link}"},
      {in, b, b}, {in, in + "/l*", in}, {in + "/../in", in}};
  for (const auto& inputs : cases) {
    EXPECT_EQ(list(inputs).size(), all.size()) << testing::PrintToString(inputs);
    EXPECT_THAT(counts(inputs), testing::Contains(testing::StartsWith("folders: ")))
        << testing::PrintToString(inputs);
  }
  EXPECT_EQ(list({b, in}).size(), all.size());
}

TEST_F(Source, AContainerThatSeveralInputsReachIsReadOnce) {
  const std::string tar = folder_.write("a.tar", plain_tar({{"0.jpg", "x"}, {"1.jpg", "x"}}));
  fs::create_symlink("a.tar", folder_.path("b.tar"));
  const std::string lines = manifest("{\"id\": \"a\", \"prompt\": \"x\"}\n");
  for (const auto& inputs : std::vector<std::vector<std::string>>{
           {tar, tar}, {folder_.path("*.tar")}, {tar, folder_.path("./a.tar")}, {lines, lines}}) {
    const auto once = ids(list({inputs[0] == lines ? lines : tar}));
    EXPECT_EQ(ids(list(inputs)), once);
    EXPECT_THAT(counts(inputs), ElementsAre("archives, tables and manifests: 1"));
  }
}

// `git clone` without Git LFS leaves such a file in place of each large one.
TEST_F(Source, APointerOfGitLfsIsNamedWhereverItIs) {
  const std::string pointer =
      "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n";
  for (const char* name : {"p/a.jpg", "p/b.mp4", "p/c.ts", "p/d.heic", "p/x.tar", "p/y.parquet",
                           "p/z.bin", "p/w.jsonl"})
    folder_.write(name, pointer);
  const auto items = list({folder_.path("p")});
  EXPECT_THAT(ids(items), ElementsAre("p/a.jpg", "p/b.mp4", "p/c.ts", "p/d.heic"));
  for (const Item& item : items) {
    const auto bytes = read_media(item.media[0]);
    ASSERT_FALSE(bytes.ok());
    EXPECT_THAT(bytes.error().message, HasSubstr("is a pointer of Git LFS"));
    EXPECT_THAT(bytes.error().message, HasSubstr("git lfs pull"));
  }
  EXPECT_THAT(counts({folder_.path("p")}),
              ElementsAre(".bin: 1", ".jsonl: 1", ".parquet: 1", ".tar: 1"));
  for (const char* name : {"p/x.tar", "p/y.parquet", "p/w.jsonl", "p/*.tar"})
    EXPECT_THAT(refusal({folder_.path(name)}), HasSubstr("is a pointer of Git LFS")) << name;
  SourceOptions options;
  for (const InputFormat format :
       {InputFormat::kWebDataset, InputFormat::kParquet, InputFormat::kManifest}) {
    options.format = format;
    EXPECT_THAT(refusal({folder_.path("p/z.bin")}, options), HasSubstr("is a pointer of Git LFS"));
  }
  const auto packed = list({folder_.write(
      "q.tar", plain_tar({{"0.jpg", pointer}, {"1.jpg", "x"}, {"1.json", pointer}}))});
  ASSERT_EQ(packed.size(), 2U);
  EXPECT_THAT(read_media(packed[0].media[0]).error().message,
              HasSubstr("q.tar:0.jpg: is a pointer of Git LFS"));
  EXPECT_THAT(packed[1].error.value().message, HasSubstr("1.json: is a pointer of Git LFS"));
}

// Two links in each of 30 folders would give 2^30 paths.
TEST_F(Source, AFolderWithManyLinksToItIsReadOnce) {
  std::string deepest = folder_.path("links");
  for (int level = 0; level < 30; ++level) {
    fs::create_directories(deepest + "/d");
    fs::create_directory_symlink("d", deepest + "/a");
    fs::create_directory_symlink("d", deepest + "/b");
    deepest += "/d";
  }
  fs::copy(test::golden_folder() + "/images/pond.png", deepest + "/x.png");
  EXPECT_EQ(list({folder_.path("links")}).size(), 1U);
}

TEST_F(Source, NamesThatDifferInBytesThatAreNoUtf8KeepTwoIds) {
  for (const char* name : {"in/b/\xFF.png", "in/b/\xFE.png", "in/b/\xC3\xA9.png"})
    fs::copy(test::golden_folder() + "/images/pond.png", folder_.path(name));
  EXPECT_THAT(ids(list({folder_.path("in/b")})),
              ElementsAre("in/b/10.png", "in/b/2.png", "in/b/\xC3\xA9.png", "in/b/\\xfe.png",
                          "in/b/\\xff.png"));
}

// The id of a name that is no UTF-8 may be the name of another file, which is not lost for it.
TEST_F(Source, AFileWhoseIdIsTakenByAnotherFileFails) {
  for (const char* name : {"in/b/\xFF.png", "in/b/\\xff.png"})
    fs::copy(test::golden_folder() + "/images/pond.png", folder_.path(name));
  const auto items = list({folder_.path("in/b")});
  ASSERT_EQ(items.size(), 4U);
  EXPECT_TRUE(items[3].error.has_value());
}

TEST_F(Source, ARangeNamesItsFilesAndEachMustExist) {
  EXPECT_THAT(ids(list({folder_.path("in/b/{2..2}.png")})), ElementsAre("in/b/2.png"));
  EXPECT_THAT(refusal({folder_.path("in/b/{2..3}.png")}), HasSubstr("3.png: no such file"));
}

TEST_F(Source, AFoldersOrderIsThatOfWholePaths) {
  for (const char* name : {"o/a/1.png", "o/a.png", "o/a-b/1.png", "o/a0/1.png"}) {
    fs::create_directories(fs::path(folder_.path(name)).parent_path());
    test::write_text(folder_.path(name), "");
  }
  EXPECT_THAT(ids(list({folder_.path("o")})),
              ElementsAre("o/a-b/1.png", "o/a.png", "o/a/1.png", "o/a0/1.png"));
}

TEST_F(Source, ACompressedArchiveIsRefusedWithAdvice) {
  for (const std::string& magic : {std::string("\x1F\x8B\x08"), std::string("\x28\xB5\x2F\xFD")}) {
    test::write_text(folder_.path("a.tar.gz"), magic + "and more");
    EXPECT_THAT(refusal({folder_.path("a.tar.gz")}), HasSubstr("Unpack it first"));
  }
}

}  // namespace
}  // namespace retinue::runtime
