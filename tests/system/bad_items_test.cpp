// Twenty-odd kinds of items that cannot be captioned among good ones: each good one gets its
// caption, each bad one a true reason, and the job ends with 3, whatever they did to its ranks.
// RETINUE_BAD_ITEMS_GOOD says how many are good.
#include "tests/support/shell.h"
#include "tests/support/temporary_folder.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <map>
#include <set>
#include <string>
#include <sys/stat.h>
#include <vector>

namespace retinue {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;

struct Bad {
  std::string id;
  std::string line;    ///< of the manifest
  std::string reason;  ///< in the failure
};

class BadItems : public testing::Test {
 protected:
  BadItems() {
    const std::string images = std::string(RETINUE_SOURCE_DIR) + "/tests/golden/images/files/";
    const auto file = [&](const std::string& id, const std::string& from, const char* reason) {
      fs::copy(images + from, folder_.path(id));
      add(id, id, reason);
    };
    file("cut.jpg", "cut_jpeg_420_97x63.jpg", "the file ends before the image does");
    file("cut.png", "cut_png_rgb8.png", "the file ends before the image does");
    file("damaged.png", "png_broken_stream.png", "damaged");
    file("empty.jpg", "empty.jpg", "an empty file");
    file("byte.png", "one_byte.png", "got text");
    file("ratio.png", "png_201x1.png", "201");
    file("deep.jpg", "jpeg_12_bits.jpg", "12 bits");
    file("picture.gif", "picture.gif", "a GIF");
    folder_.write("text.jpg", "This is no image.\n");
    add("text", "text.jpg", "text");
    add("missing", "missing.png", "No such file");
    fs::copy(images + "png_rgb8.png", folder_.path("forbidden.png"));
    add("forbidden", "forbidden.png", "Permission denied");
    fs::copy(images + "png_rgb8.png", folder_.path("vanished.png"));
    add("vanished", "vanished.png", "No such file");
    fs::create_symlink("loop.png", folder_.path("loop.png"));
    add("loop", "loop.png", "Too many levels of symbolic links");
    fs::create_directories(folder_.path("folder.png"));
    add("folder", "folder.png", "is not a file");
    mkfifo(folder_.path("pipe.png").c_str(), 0600);
    add("pipe", "pipe.png", "is not a file");
    folder_.write("sparse.png", "");
    fs::resize_file(folder_.path("sparse.png"), std::uintmax_t{3} << 30);
    add("sparse", "sparse.png", "at most");
    folder_.write("huge.png", huge_png());
    add("huge", "huge.png", "pixels");
    add("base64", "data:image/png;base64,@@@@", "outside base64");
    bad_.push_back({"long",
                    R"({"id":"long","image":")" + good_image() + R"(","prompt":")" +
                        std::string(40'000, 'x') + R"("})",
                    "tokens"});
    bad_.push_back({"", R"({"id":"good-0","image":")" + good_image() + "\"}", "good-0"});
    bad_.push_back({"", "not JSON", "JSON"});
    bad_.push_back({"number", R"({"id":"number","image":5})", "image"});
    for (const char* name : {"poison.png", "poison-later.png", "poison-segv.png"}) {
      fs::copy(images + "png_rgb8.png", folder_.path(name));
      add(name, name, "the process died of it 2 times: SIG");
    }
  }

  void add(const std::string& id, const std::string& image, const std::string& reason) {
    bad_.push_back({id, Json{{"id", id}, {"image", image}}.dump(), reason});
  }
  [[nodiscard]] static std::string good_image() {
    return std::string(RETINUE_SOURCE_DIR) + "/configs/examples/scene-000.jpg";
  }
  /// A header of 100,000 x 100,000 pixels, with the checksum that belongs to it.
  [[nodiscard]] static std::string huge_png() {
    using namespace std::string_literals;
    std::string png = "\x89PNG\r\n\x1A\n\0\0\0\x0DIHDR\0\x01\x86\xA0\0\x01\x86\xA0\x08\x02\0\0\0"s;
    std::uint32_t crc = 0xFFFFFFFFU;
    for (std::size_t i = 12; i < png.size(); ++i) {
      crc ^= static_cast<std::uint8_t>(png[i]);
      for (int bit = 0; bit < 8; ++bit) crc = (crc >> 1) ^ ((crc & 1U) != 0 ? 0xEDB88320U : 0U);
    }
    for (int shift = 24; shift >= 0; shift -= 8) png += static_cast<char>(~crc >> shift);
    return png + "\0\0\0\0IDAT"s;
  }

  test::TemporaryFolder folder_;
  std::vector<Bad> bad_;
};

TEST_F(BadItems, HurtNoOthersAndSayWhatIsWrongWithThem) {
  const char* asked = std::getenv("RETINUE_BAD_ITEMS_GOOD");
  const std::size_t good = asked != nullptr ? std::strtoull(asked, nullptr, 10) : 200;
  const std::string images = std::string(RETINUE_SOURCE_DIR) + "/tests/golden/images/files/";
  const std::vector<std::string> names = {"jpeg_cmyk.jpg", "png_gray16.png", "exif_6.jpg",
                                          "jpeg_ycck.jpg", "webp_lossy_53x37.webp"};
  // Bad ones spread evenly among the good.
  std::string list;
  const std::size_t every = good / bad_.size();
  for (std::size_t i = 0; i < good; ++i) {
    list += Json{{"id", "good-" + std::to_string(i)},
                 {"image", images + names[i % names.size()]},
                 {"prompt", "Item " + std::to_string(i)}}
                .dump() +
            "\n";
    if ((i + 1) % every == 0 && i / every < bad_.size()) list += bad_[i / every].line + "\n";
  }
  folder_.write("list.jsonl", list);
  const std::string command =
      "LD_PRELOAD=" RETINUE_FAULTS " FAULTS_FILES=1 FAULTS_POISON=1 " RETINUE_EXECUTABLE
      " caption --model " RETINUE_SOURCE_DIR
      "/configs/models/emoji-captioner --threads 1 --max-new-tokens 16 --quiet --ranks 2 --retries "
      "6 "
      "--input " +
      folder_.path("list.jsonl") + " --output " + folder_.path("job") + " 2>&1";
  const test::ShellOutcome outcome = test::shell(command);
  EXPECT_EQ(outcome.exit_code, 3) << outcome.text;

  std::set<std::string> done;
  std::ifstream captions(folder_.path("job/captions.jsonl"));
  for (std::string line; std::getline(captions, line);)
    done.insert(Json::parse(line)["id"].get<std::string>());
  EXPECT_EQ(done.size(), good) << outcome.text;
  for (std::size_t i = 0; i < good; ++i)
    EXPECT_TRUE(done.contains("good-" + std::to_string(i))) << i;

  std::vector<Json> failures;
  std::ifstream failed(folder_.path("job/failures.jsonl"));
  for (std::string line; std::getline(failed, line);) failures.push_back(Json::parse(line));
  ASSERT_EQ(failures.size(), bad_.size()) << outcome.text;
  for (std::size_t i = 0; i < bad_.size(); ++i) {
    if (!bad_[i].id.empty()) {
      EXPECT_EQ(failures[i]["id"], bad_[i].id);
    }
    EXPECT_THAT(failures[i].dump(), testing::HasSubstr(bad_[i].reason))
        << bad_[i].line.substr(0, 80);
  }
}

}  // namespace
}  // namespace retinue
