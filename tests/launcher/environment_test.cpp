#include "launcher/environment.h"

#include "parallel/base/check.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>

namespace retinue::launcher {
namespace {

Getenv fake(std::map<std::string, std::string> variables) {
  return [variables](const std::string& name) {
    const auto found = variables.find(name);
    return found == variables.end() ? std::nullopt : std::optional(found->second);
  };
}

TEST(Environment, PlainIsRankZero) {
  const Environment environment = read_environment();
  EXPECT_FALSE(environment.launched);
  EXPECT_EQ(environment.rank, 0);
}

TEST(Environment, ReadsTheDeadline) {
  EXPECT_EQ(deadline_s(fake({})), 300);
  EXPECT_EQ(deadline_s(fake({{"RETINUE_DEADLINE_S", "2.5"}})), 2.5);
  for (const char* bad : {"", "soon", "0", "-1", "nan"})
    EXPECT_THROW(deadline_s(fake({{"RETINUE_DEADLINE_S", bad}})), UsageError) << bad;
}

TEST(Environment, WaitsAfterOpsOnRequest) {
  EXPECT_FALSE(waits_after_ops(fake({})));
  EXPECT_FALSE(waits_after_ops(fake({{"RETINUE_SYNC", "0"}})));
  EXPECT_TRUE(waits_after_ops(fake({{"RETINUE_SYNC", "1"}})));
}

TEST(Environment, VariablesAreRetinues) {
  for (const Variable& variable : variables()) EXPECT_TRUE(variable.name.starts_with("RETINUE_"));
}

TEST(Hosts, ReadsListsWithAndWithoutSlots) {
  const auto hosts = parse_hosts("a,b:4");
  ASSERT_EQ(hosts.size(), 2u);
  EXPECT_EQ(hosts[0].name, "a");
  EXPECT_EQ(hosts[0].slots, 0);
  EXPECT_EQ(hosts[1].name, "b");
  EXPECT_EQ(hosts[1].slots, 4);
  for (const char* bad : {"", "a,", ",a", "a:", "a:x", "a:0", "a:-1", ":2"})
    EXPECT_THROW(parse_hosts(bad), UsageError) << bad;
}

TEST(Hosts, ReadsFiles) {
  const auto hosts = parse_hostfile("# two\nnode0 slots=2 max_slots=4\n\n node1 # one\n", "f");
  ASSERT_EQ(hosts.size(), 2u);
  EXPECT_EQ(hosts[0].slots, 2);
  EXPECT_EQ(hosts[1].name, "node1");
  EXPECT_EQ(hosts[1].slots, 0);
  EXPECT_THROW(parse_hostfile("# none\n", "f"), UsageError);
  EXPECT_THROW(parse_hostfile("a slots=x\n", "f"), UsageError);
}

TEST(Cores, AreAtLeastOneAndNoMoreThanThreads) {
  const Cores cores = usable_cores();
  EXPECT_GE(cores.physical, 1);
  EXPECT_GE(cores.logical, cores.physical);
}

}  // namespace
}  // namespace retinue::launcher
