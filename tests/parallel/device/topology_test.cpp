#include "parallel/device/topology.h"

#include "parallel/base/check.h"
#include "tests/support/temporary_folder.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <set>
#include <thread>

namespace retinue {
namespace {

using testing::ElementsAre;

/// A machine with `nodes` nodes of `cores` cores; the second thread of core c is CPU
/// nodes * cores + c.
Topology machine(int nodes, int cores, bool threads) {
  const int all = nodes * cores;
  std::string cpus;
  for (int core = 0; core < all; ++core)
    for (int thread = 0; thread < (threads ? 2 : 1); ++thread)
      cpus += (cpus.empty() ? "" : ",") + std::to_string(core + thread * all);
  return read_topology("numa:" + std::to_string(nodes) + " core:" + std::to_string(cores) +
                       " pu:" + (threads ? "2" : "1") + "(indexes=" + cpus + ")");
}

CpuList first(int count) {
  CpuList cpus;
  for (int cpu = 0; cpu < count; ++cpu) cpus.push_back(cpu);
  return cpus;
}

/// The shares of all ranks; checks that they are of equal size, disjoint and within `allowed`.
std::vector<CpuList> shares(const Topology& topology, const CpuList& allowed,
                            const std::vector<int>& nodes) {
  std::vector<CpuList> all;
  std::set<int> taken;
  for (int r = 0; r < static_cast<int>(nodes.size()); ++r) {
    all.push_back(share_of_cores(topology, allowed, nodes, r));
    for (const int cpu : all.back()) {
      EXPECT_TRUE(taken.insert(cpu).second) << "CPU " << cpu << " is given twice";
      EXPECT_TRUE(std::binary_search(allowed.begin(), allowed.end(), cpu)) << cpu;
    }
  }
  return all;
}

TEST(CpuLists, AreWrittenAsLinuxDoes) {
  EXPECT_EQ(to_string(CpuList{}), "");
  EXPECT_EQ(to_string({7}), "7");
  EXPECT_EQ(to_string({0, 1}), "0-1");
  EXPECT_EQ(to_string({0, 1, 2, 3, 8, 10, 11}), "0-3,8,10-11");
}

TEST(Topology, KnowsCoresAndNodes) {
  const Topology topology = machine(2, 3, true);
  ASSERT_EQ(topology.cores.size(), 6U);
  EXPECT_THAT(topology.cores[4].cpus, ElementsAre(4, 10));
  EXPECT_EQ(topology.cores[2].node, 0);
  EXPECT_EQ(topology.cores[3].node, 1);
}

TEST(Topology, ListsCoresByNodeThenByTheirFirstCpu) {
  // Nodes take turns: CPUs 0, 2, 4 are of node 0.
  const Topology topology = read_topology("numa:2 core:3 pu:1(indexes=4,0,2,1,5,3)");
  std::vector<int> cpus;
  for (const Core& core : topology.cores) cpus.push_back(core.cpus[0]);
  EXPECT_THAT(cpus, ElementsAre(0, 2, 4, 1, 3, 5));
}

TEST(Topology, AMachineWhereOnlyCpusAreKnownHasOneNodeAndACorePerCpu) {
  const Topology topology = read_topology("pu:3(indexes=0,1,3)");
  ASSERT_EQ(topology.cores.size(), 3U);
  EXPECT_THAT(topology.cores[2].cpus, ElementsAre(3));
  EXPECT_EQ(topology.cores[2].node, 0);
}

TEST(Topology, AMachineThatHwlocCannotReadIsAnError) {
  EXPECT_THROW(read_topology("no such machine"), SystemError);
}

TEST(Topology, ADevicesNodeIsKnownOrUnknown) {
  const test::TemporaryFolder sysfs;
  sysfs.write("bus/pci/devices/0000:c1:00.0/numa_node", "1\n");
  sysfs.write("bus/pci/devices/0000:17:00.0/numa_node", "-1\n");
  EXPECT_EQ(numa_node_of("0000:c1:00.0", sysfs.path()), 1);
  EXPECT_EQ(numa_node_of("0000:17:00.0", sysfs.path()), -1);
  EXPECT_EQ(numa_node_of("0000:99:00.0", sysfs.path()), -1);
}

TEST(Topology, HoldsEveryCpuThatThisProcessMayUse) {
  std::set<int> known;
  for (const Core& core : read_topology().cores) known.insert(core.cpus.begin(), core.cpus.end());
  for (const int cpu : allowed_cpus()) EXPECT_TRUE(known.contains(cpu)) << cpu;
}

TEST(ShareOfCores, IsWholeCoresOfTheOwnNode) {
  const Topology topology = machine(2, 8, true);
  const auto all = shares(topology, first(32), {0, 0, 0, 0, 1, 1, 1, 1});
  EXPECT_EQ(to_string(all[0]), "0-1,16-17");
  EXPECT_EQ(to_string(all[3]), "6-7,22-23");
  EXPECT_EQ(to_string(all[7]), "14-15,30-31");
}

TEST(ShareOfCores, IsEvenAndFilledUpElsewhereWhereANodeHasTooManyGpus) {
  const Topology topology = machine(2, 8, false);
  const auto all = shares(topology, first(16), {0, 0, 0, 0, 0, 0, 1, 1});
  for (const CpuList& cpus : all) EXPECT_EQ(cpus.size(), 2U);
  for (std::size_t r = 0; r < 6; ++r)
    EXPECT_LT(all[r][0], 8) << "rank " << r << " has a CPU of its node";
  EXPECT_EQ(to_string(all[6]), "8-9");
  EXPECT_EQ(to_string(all[7]), "10-11");
}

TEST(ShareOfCores, IsTheSameForGpusOfAnUnknownNode) {
  const Topology topology = machine(2, 4, false);
  const auto all = shares(topology, first(8), {-1, -1, -1, -1});
  EXPECT_EQ(to_string(all[0]), "0-1");
  EXPECT_EQ(to_string(all[3]), "6-7");
}

TEST(ShareOfCores, GivesEveryRankItsFullShareWhateverTheNodesAndTheRanks) {
  for (const bool threads : {false, true}) {
    const Topology topology = machine(3, 5, threads);
    for (std::size_t ranks = 1; ranks <= 15; ++ranks)
      for (const auto& nodes : {std::vector<int>(ranks, 0), std::vector<int>(ranks, 2),
                                std::vector<int>(ranks, 7), std::vector<int>(ranks, -1)}) {
        const std::size_t each = 15 / ranks * (threads ? 2 : 1);
        for (const CpuList& cpus : shares(topology, first(threads ? 30 : 15), nodes))
          EXPECT_EQ(cpus.size(), each);
      }
  }
}

TEST(ShareOfCores, StaysWithinWhatIsAllowed) {
  const Topology topology = machine(2, 4, true);
  // One core whole, one by its second thread alone, two of the other node.
  const CpuList allowed = {1, 9, 10, 4, 5};
  CpuList sorted = allowed;
  std::sort(sorted.begin(), sorted.end());
  const auto all = shares(topology, sorted, {0, 1});
  EXPECT_EQ(to_string(all[0]), "1,9-10");
  EXPECT_EQ(to_string(all[1]), "4-5");
}

TEST(ShareOfCores, WithFewerCoresThanRanksAllShareAll) {
  const Topology topology = machine(1, 2, true);
  for (int r = 0; r < 3; ++r)
    EXPECT_EQ(to_string(share_of_cores(topology, first(4), std::vector<int>{0, 0, 0}, r)), "0-3");
}

TEST(BindThread, HoldsForTheThreadAndEveryThreadThatItStarts) {
  std::thread([] {
    const CpuList one = {allowed_cpus().back()};
    bind_thread(one);
    EXPECT_EQ(allowed_cpus(), one);
    std::thread([&] { EXPECT_EQ(allowed_cpus(), one); }).join();
    EXPECT_THROW(bind_thread({}), SystemError);
  }).join();
}

}  // namespace
}  // namespace retinue
