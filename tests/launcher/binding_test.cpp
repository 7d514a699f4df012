#include "launcher/binding.h"

#include "parallel/base/build_config.h"
#include "parallel/device/cuda/runtime.h"
#include "parallel/device/topology.h"
#include "tests/support/temporary_folder.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <thread>

namespace retinue::launcher {
namespace {

using testing::ElementsAre;
using testing::EndsWith;
using testing::HasSubstr;

// Ranks of several processes meet in tests/parallel/device/topology_test.cpp, as numbers.
TEST(BindRanks, LeavesARankOnCpusWhereItIs) {
  World world;
  const CpuList before = allowed_cpus();
  EXPECT_THAT(bind_ranks(world, false),
              ElementsAre("rank 0 on " + world.host() + ": cpu, CPUs " + to_string(before)));
  EXPECT_EQ(allowed_cpus(), before);
}

TEST(BindRanks, GivesTheOnlyRankOfAHostAllThatItMayUse) {
  std::thread([] {
    World world;
    const CpuList before = allowed_cpus();
    bind_ranks(world, true);
    EXPECT_EQ(allowed_cpus(), before);
  }).join();
}

TEST(BindRanks, NamesTheGpuAndItsNode) {
  if constexpr (build::kCuda) {
    if (cuda::availability().devices == 0) return;
    std::thread([] {
      const std::string bus_id = cuda::pci_bus_id(0);
      const test::TemporaryFolder sysfs;
      sysfs.write("bus/pci/devices/" + bus_id + "/numa_node", "1\n");
      const std::string only_cpu = "pu:1(indexes=" + std::to_string(allowed_cpus()[0]) + ")";
      World world;
      const std::string line = bind_ranks(world, true, sysfs.path(), only_cpu).at(0);
      EXPECT_THAT(line, HasSubstr(": cuda:0 (" + bus_id + "), node 1, CPUs "));
      EXPECT_THAT(line, EndsWith("CPUs " + std::to_string(allowed_cpus()[0])));
      EXPECT_EQ(allowed_cpus().size(), 1U);
    }).join();
  }
}

}  // namespace
}  // namespace retinue::launcher
