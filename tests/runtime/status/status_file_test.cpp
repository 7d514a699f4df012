#include "runtime/status/status_file.h"

#include "tests/support/temporary_folder.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <fstream>
#include <iterator>
#include <memory>
#include <string>

namespace retinue::runtime {
namespace {

using testing::HasSubstr;

TEST(StatusFile, HoldsTheLastStatus) {
  const test::TemporaryFolder folder;
  const std::string path = folder.path("status.json");
  Log log({.rank = 0, .place = "", .directory = "", .to_stderr = false});
  {
    StatusFile file(path, log);
    for (int i = 1; i <= 50; ++i) {
      JobStatus status;
      status.items = i;
      file.publish(std::make_shared<const JobStatus>(status));
    }
  }
  std::ifstream text(path);
  EXPECT_EQ(nlohmann::json::parse(text)["items"]["all"], 50);
  EXPECT_FALSE(std::ifstream(path + ".part"));
}

TEST(StatusFile, ADiskThatRefusesIsNoFailure) {
  const test::TemporaryFolder folder;
  Log log({.rank = 0, .place = "", .directory = folder.path(""), .to_stderr = false});
  StatusFile(folder.path("absent/status.json"), log).publish(std::make_shared<const JobStatus>());
  std::ifstream text(folder.path("rank-0000.log"));
  const std::string line{std::istreambuf_iterator<char>(text), {}};
  EXPECT_THAT(line, HasSubstr("cannot be written: No such file or directory"));
}

}  // namespace
}  // namespace retinue::runtime
