#include "layers/decoder/mrope.h"

#include "parallel/base/check.h"

#include <gtest/gtest.h>

namespace retinue::layers {
namespace {

constexpr std::int32_t kText = 5, kImage = 8, kVideo = 9;

ModelConfig config() {
  ModelConfig c;
  c.image_token_id = kImage, c.video_token_id = kVideo;
  c.vision.spatial_merge_size = 2;
  return c;
}

std::vector<std::int32_t> ids(std::initializer_list<std::pair<int, std::int32_t>> runs) {
  std::vector<std::int32_t> all;
  for (const auto& [count, id] : runs) all.insert(all.end(), static_cast<std::size_t>(count), id);
  return all;
}

// Examples A and B of the model's description, worked by hand.
TEST(PromptPositions, AnImageTakesThreeAxesAndAdvancesByItsLongerSide) {
  const auto positions = prompt_positions(config(), ids({{4, kText}, {6, kImage}, {3, kText}}),
                                          std::vector<GridThw>{{1, 4, 6}});
  const std::vector<std::int32_t> wanted = {0, 1, 2, 3, 4, 4, 4, 4, 4, 4, 7, 8, 9,  //
                                            0, 1, 2, 3, 4, 4, 4, 5, 5, 5, 7, 8, 9,  //
                                            0, 1, 2, 3, 4, 5, 6, 4, 5, 6, 7, 8, 9};
  EXPECT_EQ(positions.values, wanted);
  EXPECT_EQ(positions.next, 10);
}

TEST(PromptPositions, EachSliceOfAVideoIsABlockOfItsOwn) {
  const auto prompt = ids({{9, kText}, {4, kVideo}, {8, kText}, {4, kVideo}, {3, kText}});
  const auto positions = prompt_positions(config(), prompt, std::vector<GridThw>{{2, 4, 4}});
  EXPECT_EQ(positions.values[9], 9);
  EXPECT_EQ(positions.values[13], 11);
  EXPECT_EQ(positions.values[21], 19);
  EXPECT_EQ(positions.values[25], 21);
  EXPECT_EQ(positions.next, 24);
  EXPECT_EQ(positions.next - static_cast<std::int32_t>(prompt.size()), -4)
      << "the reference's rope_delta";
}

TEST(PromptPositions, PlaceholdersThatDoNotFitTheGridsAreABug) {
  const std::vector<GridThw> grid = {{1, 4, 6}};
  EXPECT_THROW((void)prompt_positions(config(), ids({{2, kText}, {5, kImage}}), grid), BugError);
  EXPECT_THROW((void)prompt_positions(config(), ids({{2, kText}, {5, kImage}, {4, kText}}), grid),
               BugError);
  EXPECT_THROW((void)prompt_positions(config(), ids({{7, kImage}}), grid), BugError);
  EXPECT_THROW((void)prompt_positions(config(), ids({{2, kText}}), grid), BugError);
}

}  // namespace
}  // namespace retinue::layers
