#include "launcher/info.h"

#include "parallel/base/build_config.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

namespace retinue::launcher {
namespace {

TEST(Info, IsOneJsonObject) {
  const auto info = nlohmann::ordered_json::parse(info_text(true));
  EXPECT_EQ(info.begin().key(), "schema_version");
  EXPECT_EQ(info["schema_version"], 1);
  EXPECT_EQ(info["version"], build::kVersion);
  EXPECT_EQ(info["default_reduce"], "ordered");
  EXPECT_EQ(info["build"]["cuda"], build::kCuda);
  EXPECT_GE(info["cpu"]["logical_cores"], 1);
  for (const auto& [name, version] : info["libraries"].items())
    EXPECT_NE(version, "") << name << ": no version was found at configuration";
}

TEST(Info, NamesEveryGpuWithWhatPlacementAndPlanGoBy) {
  const auto info = nlohmann::ordered_json::parse(info_text(true));
  ASSERT_EQ(info["devices"][0], "cpu");
  ASSERT_EQ(info["devices"].size(), info["gpus"].size() + 1);
  EXPECT_EQ(info["cuda_versions"].empty(), !build::kCuda);
  for (const auto& [name, version] : info["cuda_versions"].items())
    EXPECT_THAT(version.get<std::string>(), testing::MatchesRegex("[0-9]+\\.[0-9.]+")) << name;
  std::size_t index = 0;
  for (const auto& [name, gpu] : info["gpus"].items()) {
    EXPECT_EQ(info["devices"][++index], name);
    EXPECT_GT(gpu["memory_mib"], 0);
    EXPECT_LE(gpu["free_mib"], gpu["memory_mib"]);
    EXPECT_THAT(gpu["pci_bus_id"].get<std::string>(),
                testing::MatchesRegex("[0-9a-f]+:[0-9a-f]+:[0-9a-f]+\\.[0-9]"));
    EXPECT_GE(gpu["numa_node"], -1);
    for (const auto& peer : gpu["reads_memory_of"]) EXPECT_NE(peer, name);
  }
  if (info["gpus"].empty()) {
    EXPECT_THAT(info["cuda"].get<std::string>(),
                testing::MatchesRegex("not built.*|unavailable: .+"));
  }
  EXPECT_FALSE(info["numa_nodes"].empty());
}

TEST(Info, SaysTheSameToPeople) {
  const std::string text = info_text(false);
  const auto info = nlohmann::json::parse(info_text(true));
  for (const auto& [key, value] : info.items()) EXPECT_THAT(text, testing::HasSubstr(key + ":"));
  EXPECT_THAT(text, testing::HasSubstr(info["cpu"]["kernels"].get<std::string>()));
}

}  // namespace
}  // namespace retinue::launcher
