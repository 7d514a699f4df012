#include "launcher/energy.h"

#include "tests/support/temporary_folder.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <string>

namespace retinue::launcher {
namespace {

void add_zone(const test::TemporaryFolder& sysfs, const std::string& name,
              const std::string& microjoules) {
  const std::string folder = sysfs.path("class/powercap/" + name);
  std::filesystem::create_directories(folder);
  if (!microjoules.empty()) std::ofstream(folder + "/energy_uj") << microjoules;
}

TEST(Energy, IsTheSumOfThePackages) {
  const test::TemporaryFolder sysfs;
  add_zone(sysfs, "intel-rapl", "7");
  add_zone(sysfs, "intel-rapl:0", "1000000");
  add_zone(sysfs, "intel-rapl:0:0", "400000");
  add_zone(sysfs, "intel-rapl:1", "2500000");
  ASSERT_TRUE(energy_counter_j(sysfs.path()));
  EXPECT_DOUBLE_EQ(*energy_counter_j(sysfs.path()), 3.5);
}

TEST(Energy, IsUnknownWithoutCountersThatCanBeRead) {
  const test::TemporaryFolder sysfs;
  EXPECT_EQ(energy_counter_j(sysfs.path()), std::nullopt);
  add_zone(sysfs, "intel-rapl:0", "1000000");
  add_zone(sysfs, "intel-rapl:1", "");
  EXPECT_EQ(energy_counter_j(sysfs.path()), std::nullopt);
}

}  // namespace
}  // namespace retinue::launcher
