#include "runtime/dataset/media_bytes.h"

#include "parallel/base/hash.h"
#include "runtime/dataset/item.h"
#include "tests/support/job_ranks.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <sys/stat.h>

namespace retinue::runtime {
namespace {

using testing::HasSubstr;

class MediaBytesTest : public testing::Test {
 protected:
  static std::string image(const std::string& name) {
    return test::golden_folder() + "/images/" + name;
  }
  test::TemporaryFolder folder_;
};

TEST_F(MediaBytesTest, FramesOfAFolderAreInTheNaturalOrderOfTheirNumbers) {
  const std::vector<std::string> ordered = {"a",
                                            "f1.png",
                                            "f01.png",
                                            "f2.png",
                                            "f2a1.png",
                                            "f2a10.png",
                                            "f9.png",
                                            "f10.png",
                                            "f10b.png",
                                            "f99999999999999999999.png",
                                            "f100000000000000000000.png",
                                            "g0.png"};
  std::filesystem::create_directories(folder_.path("frames"));
  for (const std::string& frame : ordered) test::write_text(folder_.path("frames/" + frame), "x");
  const auto media = expand_frame_folder({MediaKind::kVideo, {folder_.path("frames")}, 0.0});
  ASSERT_TRUE(media.ok());
  std::vector<std::string> names;
  for (const MediaFile& file : media->files)
    names.push_back(std::filesystem::path(file.path).filename().string());
  // Equal numbers: bytes decide.
  EXPECT_THAT(names,
              testing::ElementsAre("a", "f01.png", "f1.png", "f2.png", "f2a1.png", "f2a10.png",
                                   "f9.png", "f10.png", "f10b.png", "f99999999999999999999.png",
                                   "f100000000000000000000.png", "g0.png"));
}

TEST_F(MediaBytesTest, AVideoThatIsAFolderIsItsFrames) {
  for (const int i : {2, 0, 1})
    std::filesystem::copy(image("walk-" + std::to_string(i) + ".png"),
                          folder_.path(std::to_string(i) + ".png"));
  const auto media = expand_frame_folder({MediaKind::kVideo, {folder_.path()}, 0.0});
  ASSERT_TRUE(media.ok());
  EXPECT_THAT(media->files,
              testing::ElementsAre(testing::Field(&MediaFile::path, folder_.path("0.png")),
                                   testing::Field(&MediaFile::path, folder_.path("1.png")),
                                   testing::Field(&MediaFile::path, folder_.path("2.png"))));
}

class Counts final : public ItemSink {
 public:
  bool add(Item /*item*/) override { return true; }
  void passed_over(std::string_view what, std::string_view /*why*/) override {
    names.emplace_back(what);
  }
  std::vector<std::string> names;
};

// Systems leave files in folders of frames, too; but no frame may be missing.
TEST_F(MediaBytesTest, WhatSystemsLeaveIsNoFrameAndWhatCannotBeReadIsOne) {
  for (const char* name :
       {"f/1.png", "f/._1.png", "f/.DS_Store", "f/Thumbs.db", "f/desktop.ini", "f/@eaDir/1.png",
        "f/__MACOSX/._1.png", "f/.ipynb_checkpoints/1.png", "f/depth/1.png", "f/3.txt"})
    folder_.write(name, "x");
  std::filesystem::create_symlink("gone.png", folder_.path("f/2.png"));
  ASSERT_EQ(::mkfifo(folder_.path("f/4.png").c_str(), 0600), 0);
  Counts counts;
  const auto media = expand_frame_folder({MediaKind::kVideo, {folder_.path("f")}, 0.0}, &counts);
  ASSERT_TRUE(media.ok());
  std::vector<std::string> names;
  for (const MediaFile& file : media->files)
    names.push_back(std::filesystem::path(file.path).filename().string());
  EXPECT_THAT(names, testing::ElementsAre("1.png", "2.png", "3.txt", "4.png"));
  const std::string files = "files such as ._x and .DS_Store";
  EXPECT_THAT(counts.names,
              testing::UnorderedElementsAre(files, files, files, files, "@eaDir", "__MACOSX",
                                            ".ipynb_checkpoints", "folders"));
  EXPECT_FALSE(read_media(media.value()).ok());
  folder_.write("only-left/.DS_Store", "x");
  EXPECT_FALSE(
      expand_frame_folder({MediaKind::kVideo, {folder_.path("only-left")}, 0.0}, nullptr).ok());
}

TEST_F(MediaBytesTest, AnErrorNamesTheReason) {
  for (const auto& [path, why] : {std::pair{folder_.path("missing.png"), "No such file"},
                                  std::pair{folder_.path(), "is not a file"},
                                  std::pair{std::string("data:image/png,xx"), "base64"},
                                  std::pair{std::string("data:;base64,a*b"), "base64"}}) {
    const auto files = read_media({MediaKind::kImage, {path}, 0.0});
    ASSERT_FALSE(files.ok()) << path;
    EXPECT_THAT(files.error().message, HasSubstr(why));
  }
}

TEST_F(MediaBytesTest, DataAddressesAreDecoded) {
  const auto files = read_media({MediaKind::kImage, {"data:text/plain;base64,SGVsbG8="}, 0.0});
  ASSERT_TRUE(files.ok());
  EXPECT_EQ(sha256_of(std::span(&files.value(), 1)), sha256_hex(std::string_view("Hello")));
}

TEST_F(MediaBytesTest, ARangeOfAFileIsReadAlone) {
  test::write_text(folder_.path("a.tar"), "headHellotail");
  MediaFile part(folder_.path("a.tar"));
  part.place = MediaPlace::kRange;
  part.member = "x/hello.png";
  part.offset = 4;
  part.bytes = 5;
  const auto files = read_media({MediaKind::kImage, {part}, 0.0});
  ASSERT_TRUE(files.ok());
  EXPECT_EQ(sha256_of(std::span(&files.value(), 1)), sha256_hex(std::string_view("Hello")));
  part.bytes = 10;
  const auto cut = read_media({MediaKind::kImage, {part}, 0.0});
  ASSERT_FALSE(cut.ok());
  EXPECT_THAT(cut.error().message, HasSubstr("a.tar:x/hello.png: its file is shorter"));
}

TEST_F(MediaBytesTest, ANamedPipeIsRefusedWithoutWaiting) {
  ASSERT_EQ(::mkfifo(folder_.path("pipe.png").c_str(), 0600), 0);
  const auto files = read_media({MediaKind::kImage, {folder_.path("pipe.png")}, 0.0});
  ASSERT_FALSE(files.ok());
  EXPECT_THAT(files.error().message, HasSubstr("is not a file"));
}

}  // namespace
}  // namespace retinue::runtime
