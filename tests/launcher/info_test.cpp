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

TEST(Info, SaysTheSameToPeople) {
  const std::string text = info_text(false);
  const auto info = nlohmann::json::parse(info_text(true));
  for (const auto& [key, value] : info.items()) EXPECT_THAT(text, testing::HasSubstr(key + ":"));
  EXPECT_THAT(text, testing::HasSubstr(info["cpu"]["kernels"].get<std::string>()));
}

}  // namespace
}  // namespace retinue::launcher
