#include "runtime/engine/encode_queue.h"

#include <gtest/gtest.h>

#include <map>
#include <vector>

namespace retinue::runtime {
namespace {

TEST(EncodeQueue, AssignsTheCostliestFirstToTheLeastLoaded) {
  EncodeQueue queue(2, 0.0);
  // Costs 4, 16, 9 and 9 in units of patches squared.
  const std::vector<EncodeQueue::Image> images = {
      {1, {1, 1, 2}}, {2, {1, 2, 2}}, {3, {1, 1, 3}}, {4, {1, 1, 3}}};
  const auto owned = queue.assign(images);
  std::map<std::uint64_t, int> owner;
  for (const OwnedImage& image : owned) owner[image.key] = image.owner;
  EXPECT_EQ(owner[2], 0);
  EXPECT_EQ(owner[3], 1);
  EXPECT_EQ(owner[4], 1);
  EXPECT_EQ(owner[1], 0);
  queue.done(3), queue.done(4);
  EXPECT_EQ(queue.assign(std::vector<EncodeQueue::Image>{{5, {1, 1, 1}}})[0].owner, 1);
}

TEST(EncodeQueue, TemporalSlicesAddUpWhereOneImageGrowsWithItsSquare) {
  EXPECT_EQ(encode_cost({4, 2, 2}, 10), 4 * encode_cost({1, 2, 2}, 10));
  EXPECT_GT(encode_cost({1, 4, 4}, 10), 4 * encode_cost({1, 2, 2}, 10));
}

}  // namespace
}  // namespace retinue::runtime
