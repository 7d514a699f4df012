#include "layers/weights/safetensors_writer.h"

#include "layers/weights/safetensors.h"
#include "parallel/base/check.h"
#include "tests/support/temporary_folder.h"

#include <gtest/gtest.h>

#include <cstring>
#include <filesystem>
#include <sys/stat.h>

namespace retinue::layers {
namespace {

TEST(SafetensorsWriter, WritesWhatTheReaderReads) {
  const test::TemporaryFolder folder;
  const std::vector<float> floats = {1.5F, -2, 0, 3, 4, 5};
  const std::vector<std::int64_t> integers = {7, -1};
  SafetensorsWriter writer;
  writer.add("b", Shape{2, 3}, floats);
  writer.add("a", Shape{2}, integers);
  writer.add("none", Shape{0, 4}, std::span<const float>());
  writer.add_metadata("said", "\"so\"");
  writer.write(folder.path("x.safetensors"));
  const SafetensorsFile file(folder.path("x.safetensors"));
  ASSERT_EQ(file.tensors().size(), 3U);
  const StoredTensor& b = file.tensors().at("b");
  EXPECT_EQ(b.shape, (Shape{2, 3}));
  EXPECT_EQ(std::memcmp(b.bytes.data(), floats.data(), b.bytes.size()), 0);
  EXPECT_EQ(file.tensors().at("a").type, StoredType::kI64);
}

TEST(SafetensorsWriter, ReplacesTheTargetOfALinkAndNoDevice) {
  const test::TemporaryFolder folder;
  folder.write("x.safetensors", "old");
  std::filesystem::create_symlink("x.safetensors", folder.path("link"));
  SafetensorsWriter writer;
  writer.add("a", Shape{1}, std::vector<std::int64_t>{7});
  writer.write(folder.path("link"));
  EXPECT_TRUE(std::filesystem::is_symlink(folder.path("link")));
  EXPECT_EQ(SafetensorsFile(folder.path("x.safetensors")).tensors().size(), 1U);
  ASSERT_EQ(::mkfifo(folder.path("pipe").c_str(), 0600), 0);
  EXPECT_THROW(writer.write(folder.path("pipe")), UsageError);
}

TEST(SafetensorsWriter, RefusesWhatDoesNotFit) {
  SafetensorsWriter writer;
  const std::vector<float> values(3);
  EXPECT_THROW(writer.add("x", Shape{2}, values), BugError);
  writer.add("x", Shape{3}, values);
  EXPECT_THROW(writer.add("x", Shape{3}, values), BugError);
  EXPECT_THROW(writer.write("/nowhere/x.safetensors"), UsageError);
  EXPECT_THROW(writer.write("/dev/full/x"), UsageError);
}

}  // namespace
}  // namespace retinue::layers
