#include "runtime/engine/feature_cache.h"

#include "parallel/base/check.h"

#include <gtest/gtest.h>

#include <vector>

namespace retinue::runtime {
namespace {

RequestImage image(std::uint64_t key, std::uint64_t content) {
  return {key, {1, 2, 2}, content == 0 ? ContentKey{} : ContentKey{content, 1}};
}

TEST(FeatureCache, EqualContentIsOneFeatureUnknownContentIsNot) {
  FeatureCache cache(10, true);
  Feature& a = cache.use(image(1, 7), 4);
  EXPECT_EQ(&cache.use(image(2, 7), 4), &a);
  EXPECT_NE(&cache.use(image(3, 0), 4), &cache.use(image(4, 0), 4));
  EXPECT_EQ(a.users, 2);
  FeatureCache alone(10, false);
  EXPECT_NE(&alone.use(image(1, 7), 4), &alone.use(image(2, 7), 4));
}

TEST(FeatureCache, EncodedFeaturesStayUntilTheirRowsAreWanted) {
  FeatureCache cache(10, true);
  std::vector<std::uint64_t> gone;
  const auto note = [&](Feature& feature) { gone.push_back(feature.key); };
  const auto encoded = [&](std::uint64_t key, std::uint64_t content) -> Feature& {
    Feature& feature = cache.use(image(key, content), 4);
    EXPECT_TRUE(cache.place(feature));
    feature.state = Feature::State::kEncoded;
    feature.pins = 1;
    return feature;
  };
  Feature &a = encoded(1, 7), &b = encoded(2, 8);
  a.pins = b.pins = 0;
  cache.release(a, note);
  cache.release(b, note);
  EXPECT_TRUE(gone.empty());
  EXPECT_EQ(&cache.use(image(5, 8), 4), &b) << "found again";
  b.pins = 1;
  Feature& c = cache.use(image(3, 9), 4);
  EXPECT_TRUE(cache.place(c)) << "in the place of one without users";
  EXPECT_EQ(cache.find(1), nullptr);
  c.pins = 1;
  Feature& d = cache.use(image(4, 0), 4);
  EXPECT_FALSE(cache.place(d)) << "all others are pinned";
  b.pins = 0;
  EXPECT_TRUE(cache.place(d));
  EXPECT_EQ(b.state, Feature::State::kAwaited) << "its users need the pixels again";
  cache.release(d, note);
  EXPECT_EQ(gone, std::vector<std::uint64_t>{4}) << "neither encoded nor assigned: nothing to keep";
}

TEST(FeatureCache, AFeatureStaysWhileItsPixelsAreOnTheirWay) {
  FeatureCache cache(10, true);
  Feature& feature = cache.use(image(1, 0), 4);
  feature.assigned = true;
  cache.release(feature, [](Feature&) { FAIL() << "its pixels are still to come"; });
  EXPECT_EQ(cache.find(1), &feature);
  EXPECT_EQ(&cache.use(image(1, 0), 4), &feature) << "a request for the same image finds it";
}

TEST(FeatureRows, FillGapsAndRefuseWhatDoesNotFit) {
  FeatureRows rows(10);
  EXPECT_EQ(rows.allocate(4), 0);
  EXPECT_EQ(rows.allocate(4), 4);
  EXPECT_EQ(rows.allocate(3), -1);
  rows.release(0, 4);
  EXPECT_EQ(rows.allocate(3), 0);
  EXPECT_EQ(rows.allocate(2), 8);
  EXPECT_THROW(rows.release(1, 3), BugError);
}

}  // namespace
}  // namespace retinue::runtime
