// Linked with video_absent.cpp, as a build without FFmpeg's libraries.
#include "runtime/dataset/media_bytes.h"
#include "runtime/media/media_decoder.h"
#include "runtime/media/video_ffmpeg.h"
#include "tests/support/temporary_folder.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace retinue::runtime {
namespace {

TEST(VideoAbsent, AVideoFailsWithAdvice) {
  EXPECT_EQ(video_libraries(), "");
  const test::TemporaryFolder folder;
  const std::string path =
      folder.write("a.mp4", std::string("\0\0\0\x18", 4) + "ftypisom and more");
  const MediaReference media{MediaKind::kVideo, {path}, 0.0};
  const auto header = read_header(media, *read_media(media).value(), {}, {});
  ASSERT_FALSE(header.ok());
  EXPECT_EQ(header.error().stage, "video");
  EXPECT_THAT(header.error().message,
              testing::AllOf(testing::HasSubstr(path), testing::HasSubstr("setup.sh --video")));
}

}  // namespace
}  // namespace retinue::runtime
