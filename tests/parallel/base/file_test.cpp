#include "parallel/base/file.h"

#include "parallel/base/check.h"
#include "tests/support/temporary_folder.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <fcntl.h>
#include <string>
#include <unistd.h>

namespace retinue {
namespace {

using testing::HasSubstr;
using testing::ThrowsMessage;

TEST(File, AWholeFileIsReadAndAMissingOneIsNothing) {
  const test::TemporaryFolder folder;
  const std::string bytes = std::string(200'000, 'x') + '\0' + "end";
  EXPECT_EQ(read_file(folder.write("a", bytes), "[test]"), bytes);
  EXPECT_EQ(read_file(folder.write("empty", ""), "[test]"), "");
  EXPECT_EQ(read_file(folder.path("none"), "[test]"), std::nullopt);
  EXPECT_EQ(read_file(folder.path("a/below"), "[test]"), std::nullopt);
}

TEST(File, WhatCannotBeReadIsNoMissingFile) {
  const test::TemporaryFolder folder;
  EXPECT_THAT([&] { (void)read_file(folder.path(), "[test]"); },
              ThrowsMessage<UsageError>(HasSubstr("[test] " + folder.path() + " cannot be read")));
  // The memory of this process has no page at address 0.
  EXPECT_THAT([&] { (void)read_file("/proc/self/mem", "[test]"); },
              ThrowsMessage<SystemError>(HasSubstr("Input/output error")));
}

TEST(File, PartsAreReadUpToTheEnd) {
  const test::TemporaryFolder folder;
  const int file = ::open(folder.write("a", "0123456789").c_str(), O_RDONLY | O_CLOEXEC);
  std::array<std::byte, 4> part{};
  EXPECT_EQ(read_at(file, 3, part), 4);
  EXPECT_EQ(part[0], std::byte{'3'});
  EXPECT_EQ(read_at(file, 8, part), 2);
  EXPECT_EQ(read_at(file, 20, part), 0);
  ::close(file);
  EXPECT_EQ(read_at(file, 0, part), -1);
}

}  // namespace
}  // namespace retinue
