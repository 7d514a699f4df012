#include "runtime/media/media_decoder.h"

#include "runtime/dataset/media_bytes.h"
#include "tests/support/job_ranks.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace retinue::runtime {
namespace {

using testing::HasSubstr;

class MediaDecoder : public testing::Test {
 protected:
  static std::string image(const std::string& name) {
    return test::golden_folder() + "/images/" + name;
  }
  VisionProcessorSpec spec_ = load_processor_spec(test::golden_config("gqa8-tied"));
};

TEST_F(MediaDecoder, AHeaderEqualsWhatDecodingGives) {
  for (const char* name : {"fence.png", "pond.png", "ridge.png", "stone.png", "tower.png"}) {
    const MediaReference media{MediaKind::kImage, {image(name)}, 0.0};
    const MediaBytes files = read_media(media).value();
    const auto header = read_header(media, *files, spec_, {});
    const auto patches = read_patches(media, *files, spec_, {});
    ASSERT_TRUE(header.ok() && patches.ok());
    EXPECT_EQ(header->grid.grid_thw, patches->grid_thw);
  }
}

TEST_F(MediaDecoder, FramesHaveTheTimesOfTheirRate) {
  MediaReference media{MediaKind::kVideo, {}, 1.0};
  for (int i = 0; i < 5; ++i) media.files.emplace_back(image("walk-" + std::to_string(i) + ".png"));
  const MediaBytes files = read_media(media).value();
  auto header = read_header(media, *files, spec_, {});
  ASSERT_TRUE(header.ok());
  EXPECT_THAT(header->grid.timestamps_s, testing::ElementsAre(0.5, 2.5, 4.0));
  EXPECT_EQ(header->grid.grid_thw.frames, 3);
  media.fps = 0;
  header = read_header(media, *files, spec_, {});
  EXPECT_THAT(header->grid.timestamps_s,
              testing::ElementsAre(testing::DoubleNear(0.5 / 24, 1e-12),
                                   testing::DoubleNear(2.5 / 24, 1e-12),
                                   testing::DoubleNear(4.0 / 24, 1e-12)));
}

TEST_F(MediaDecoder, FramesOfDifferentSizesAreRefused) {
  const MediaReference mixed{MediaKind::kVideo, {image("walk-0.png"), image("pond.png")}, 0.0};
  const auto header = read_header(mixed, *read_media(mixed).value(), spec_, {});
  ASSERT_FALSE(header.ok());
  EXPECT_THAT(header.error().message, HasSubstr("56 x 40"));
}

}  // namespace
}  // namespace retinue::runtime
