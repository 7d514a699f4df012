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

const std::string kAnimations = RETINUE_SOURCE_DIR "/tests/golden/video_containers/";

TEST_F(MediaDecoder, AnAnimationIsNoStillImage) {
  struct Case {
    std::string name, got;
  };
  for (const auto& [name, got] :
       {Case{kAnimations + "animation.webp", "an animated WebP with 4 frames"},
        {kAnimations + "uneven.webp", "an animated WebP with 5 frames"},
        {kAnimations + "animation.png", "an animated PNG with 4 frames"}}) {
    const MediaReference media{MediaKind::kImage, {name}, 0.0};
    const std::string wanted = name + ": wanted a still image, got " + got +
                               ". Give it as a video, or save one frame of it.";
    const auto header = read_header(media, *read_media(media).value(), spec_, {});
    const auto patches = read_patches(media, *read_media(media).value(), spec_, {});
    ASSERT_TRUE(!header.ok() && !patches.ok());
    EXPECT_EQ(header.error().message, wanted);
    EXPECT_EQ(patches.error().message, wanted);
    const MediaReference frames{MediaKind::kVideo, {name, name}, 0.0};
    EXPECT_EQ(read_header(frames, *read_media(frames).value(), spec_, {}).error().message, wanted);
  }
}

TEST_F(MediaDecoder, AnAnimatedWebpIsAVideoInEveryBuild) {
  MediaReference media{MediaKind::kVideo, {kAnimations + "uneven.webp"}, 0.0};
  media.fps = 100;  // every frame
  const MediaBytes files = read_media(media).value();
  const auto header = read_header(media, *files, spec_, {});
  ASSERT_TRUE(header.ok()) << header.error().message;
  EXPECT_EQ(header->frames, 5);
  EXPECT_EQ(header->size, (ImageSize{32, 48}));
  // 100, 40, 400, 200 and 60 ms
  EXPECT_THAT(header->grid.timestamps_s,
              testing::ElementsAre(testing::DoubleEq((0 + 0.1) / 2),
                                   testing::DoubleEq((0.14 + 0.54) / 2), testing::DoubleEq(0.74)));
  const auto patches = read_patches(media, *files, spec_, {});
  ASSERT_TRUE(patches.ok()) << patches.error().message;
  EXPECT_EQ(patches->grid_thw, header->grid.grid_thw);
}

TEST_F(MediaDecoder, AnImageOfOneFrameInAnAnimationIsStill) {
  // The marks of an animation, with one frame.
  auto files =
      *read_media(MediaReference{MediaKind::kImage, {kAnimations + "animation.png"}, 0.0}).value();
  std::vector<std::byte>& png = files[0];
  const std::string_view text(reinterpret_cast<const char*>(png.data()), png.size());
  png[text.find("acTL") + 7] = std::byte{1};
  const MediaReference media{MediaKind::kImage, {kAnimations + "animation.png"}, 0.0};
  const auto header = read_header(media, files, spec_, {});
  ASSERT_TRUE(header.ok()) << header.error().message;
  EXPECT_EQ(header->frames, 1);
}

TEST_F(MediaDecoder, ADamagedAnimationFails) {
  const MediaReference media{MediaKind::kVideo, {kAnimations + "uneven.webp"}, 0.0};
  const auto whole = *read_media(media).value();
  for (std::size_t length = 40; length < whole[0].size(); length += 7) {
    std::vector<FileBytes> cut = whole;
    cut[0].resize(length);
    const auto patches = read_patches(media, cut, spec_, {});
    EXPECT_FALSE(patches.ok()) << length;
  }
  std::vector<FileBytes> twice = whole;
  twice[0].insert(twice[0].end(), whole[0].begin(), whole[0].end());
  EXPECT_THAT(read_patches(media, twice, spec_, {}).error().message,
              HasSubstr("is several videos one behind another"));
}

}  // namespace
}  // namespace retinue::runtime
