#include "runtime/jobs/caption/preloaded_pixels.h"

#include "parallel/base/check.h"
#include "runtime/decode/prefetcher.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <vector>

namespace retinue::runtime {
namespace {

/// Gives four bytes of pixels for each key it has been asked for, at the second time of asking.
class Source final : public PixelSource {
 public:
  void prefetch(std::uint64_t key) override { prefetched.push_back(key); }
  std::optional<Result<layers::Patches>> take(std::uint64_t key) override {
    if (!second_[key]) {
      second_[key] = true;
      return std::nullopt;
    }
    if (key == bad) return DataError{"image", "broken"};
    layers::Patches patches;
    patches.pixels.resize(4);
    return patches;
  }

  std::vector<std::uint64_t> prefetched;
  std::uint64_t bad = media_key(99, 0);

 private:
  std::map<std::uint64_t, bool> second_;
};

ItemTable items_with(const std::vector<std::size_t>& media) {
  std::vector<Item> items(media.size());
  for (std::size_t i = 0; i < items.size(); ++i) {
    items[i].id = std::to_string(i);
    items[i].media.assign(media[i], {MediaKind::kImage, {MediaFile("a.png")}, 0.0});
  }
  return ItemTable::of(items);
}

TEST(PreloadedPixels, GivesEachKeyOnceAndAsksTheInnerSourceForAllElse) {
  Source loader, inner;
  loader.bad = media_key(2, 0);
  PreloadedPixels pixels(inner);
  pixels.load(loader, items_with({1, 0, 2}), 1000);
  EXPECT_THAT(loader.prefetched,
              testing::ElementsAre(media_key(0, 0), media_key(2, 0), media_key(2, 1)));
  pixels.prefetch(media_key(0, 0));
  EXPECT_TRUE(inner.prefetched.empty());
  const auto first = pixels.take(media_key(0, 0));
  ASSERT_TRUE(first && first->ok());
  const auto broken = pixels.take(media_key(2, 0));
  ASSERT_TRUE(broken && !broken->ok());
  EXPECT_EQ(broken->error().message, "broken");
  pixels.prefetch(media_key(0, 0));
  EXPECT_THAT(inner.prefetched, testing::ElementsAre(media_key(0, 0))) << "it was given out";
  EXPECT_FALSE(pixels.take(media_key(0, 0))) << "the inner source is not ready";
  EXPECT_TRUE(pixels.take(media_key(0, 0)));
}

TEST(PreloadedPixels, RefusesMoreBytesThanItMayTake) {
  Source loader, inner;
  PreloadedPixels pixels(inner);
  try {
    pixels.load(loader, items_with({1, 1, 1}), 8);
    FAIL() << "wanted a UsageError";
  } catch (const UsageError& error) {
    EXPECT_THAT(error.what(), testing::HasSubstr("the pixels of 3 of 3 items"));
  }
}

}  // namespace
}  // namespace retinue::runtime
