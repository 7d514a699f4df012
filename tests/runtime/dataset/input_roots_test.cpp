#include "runtime/dataset/input_roots.h"

#include "tests/support/job_ranks.h"

#include <gtest/gtest.h>

#include <array>
#include <filesystem>

namespace retinue::runtime {
namespace {

namespace fs = std::filesystem;

Item showing(MediaFile file) {
  Item item;
  item.media.push_back({MediaKind::kImage, {std::move(file)}, 0.0});
  return item;
}

TEST(InputRoots, AMissingFileFailsItsItemAndAMissingFolderStopsTheJob) {
  const test::TemporaryFolder folder;
  folder.write("in/sub/a.png", "x");
  folder.write("in/sub/b.png", "x");
  const Item a = showing(folder.path("in/sub/a.png"));
  const InputRoots roots({folder.path("in/"), "-", folder.path("*.png")},
                         ItemTable::of(std::array{a}));
  EXPECT_FALSE(roots.gone(a));
  fs::remove(folder.path("in/sub/a.png"));
  EXPECT_FALSE(roots.gone(a));
  fs::remove_all(folder.path("in/sub"));
  EXPECT_FALSE(roots.gone(a));
  fs::rename(folder.path("in"), folder.path("away"));
  EXPECT_TRUE(roots.gone(a));
  fs::create_directory(folder.path("in"));
  EXPECT_TRUE(roots.gone(a)) << "another folder of its name, as under an unmounted disk";
  EXPECT_FALSE(roots.gone(showing(folder.path("inside.png"))));
}

TEST(InputRoots, AnArchiveIsARootAndAnImageIsNot) {
  const test::TemporaryFolder folder;
  const std::string tar = folder.write("a.tar", "x"), image = folder.write("a.png", "x");
  MediaFile member(tar);
  member.place = MediaPlace::kRange;
  const std::array items = {showing(member), showing(image)};
  const InputRoots roots({tar, image}, ItemTable::of(items));
  fs::remove(tar);
  fs::remove(image);
  EXPECT_TRUE(roots.gone(items[0]));
  EXPECT_FALSE(roots.gone(items[1]));
}

}  // namespace
}  // namespace retinue::runtime
