#include "layers/weights/safetensors.h"

#include "parallel/base/check.h"
#include "tests/support/temporary_folder.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>
#include <string>

namespace retinue::layers {
namespace {

using testing::HasSubstr;

std::string file_of(const std::string& header, std::size_t data_bytes, std::int64_t claimed = -1) {
  const auto length =
      static_cast<std::uint64_t>(claimed < 0 ? static_cast<std::int64_t>(header.size()) : claimed);
  std::string file(8, '\0');
  std::memcpy(file.data(), &length, 8);
  return file + header + std::string(data_bytes, '\1');
}

class Safetensors : public testing::Test {
 protected:
  /// The message of the UsageError that opening the content gives; "" when it opens.
  std::string refusal(const std::string& content) {
    const std::string path = folder_.write("model.safetensors", content);
    try {
      const SafetensorsFile file(path);
      return "";
    } catch (const UsageError& error) {
      EXPECT_THAT(error.what(), HasSubstr("model.safetensors")) << "the message names the file";
      return error.what();
    }
  }

  test::TemporaryFolder folder_;
};

constexpr const char* kGood =
    R"({"__metadata__":{"format":"pt"},"a":{"dtype":"BF16","shape":[2,3],"data_offsets":[0,12]},)"
    R"("b":{"dtype":"F32","shape":[1],"data_offsets":[12,16]},"c":{"dtype":"I64","shape":[0],"data_offsets":[16,16]}})";

TEST_F(Safetensors, GivesTypeShapeAndBytesOfEachTensor) {
  const SafetensorsFile file(folder_.write("model.safetensors", file_of(kGood, 16)));
  ASSERT_EQ(file.tensors().size(), 3U);
  EXPECT_EQ(file.tensors().at("a").shape, Shape({2, 3}));
  EXPECT_EQ(file.tensors().at("a").bytes.size(), 12U);
  EXPECT_EQ(file.tensors().at("b").type, StoredType::kF32);
}

TEST_F(Safetensors, RefusesEveryLieOfAHeader) {
  const auto one = [](const std::string& entry) { return R"({"a":)" + entry + "}"; };
  EXPECT_THAT(refusal(file_of(kGood, 16, 1 << 20)), HasSubstr("claims a header of 1048576 bytes"));
  EXPECT_THAT(refusal(file_of(kGood, 16, std::int64_t{1} << 62)), HasSubstr("claims a header"));
  EXPECT_THAT(refusal(file_of("not json", 0)), HasSubstr("not a JSON object"));
  EXPECT_THAT(refusal(file_of("[]", 0)), HasSubstr("not a JSON object"));
  EXPECT_THAT(refusal(file_of(kGood, 15)), HasSubstr("incomplete"));
  EXPECT_THAT(refusal(file_of(kGood, 17)),
              HasSubstr("describes 16 bytes of data, the file has 17"));
  EXPECT_THAT(refusal(file_of(one(R"({"dtype":"F8_E5M2","shape":[4],"data_offsets":[0,4]})"), 4)),
              HasSubstr("F8_E5M2"));
  EXPECT_THAT(refusal(file_of(one(R"({"dtype":"BF16","shape":[4],"data_offsets":[0,4]})"), 4)),
              HasSubstr("takes 8 bytes"));
  EXPECT_THAT(refusal(file_of(one(R"({"dtype":"BF16","shape":[-2],"data_offsets":[0,4]})"), 4)),
              HasSubstr("well-formed"));
  EXPECT_THAT(refusal(file_of(one(R"({"dtype":"BF16","shape":[2],"data_offsets":[4,0]})"), 4)),
              HasSubstr("lies at bytes"));
  EXPECT_THAT(refusal(file_of(one(R"({"dtype":"BF16","shape":[2]})"), 4)),
              HasSubstr("well-formed"));
  EXPECT_THAT(
      refusal(file_of(
          one(R"({"dtype":"BF16","shape":[1152921504606846976,32],"data_offsets":[0,4]})"), 4)),
      HasSubstr("impossible shape"));
  EXPECT_THAT(
      refusal(file_of(one(R"({"dtype":"BF16","shape":[1,1,1,1,1,2],"data_offsets":[0,4]})"), 4)),
      HasSubstr("6 dimensions"));
  EXPECT_THAT(
      refusal(file_of(
          R"({"a":{"dtype":"U8","shape":[4],"data_offsets":[0,4]},"b":{"dtype":"U8","shape":[4],"data_offsets":[2,6]}})",
          6)),
      HasSubstr("overlap"));
  EXPECT_THAT(
      refusal(file_of(
          R"({"a":{"dtype":"U8","shape":[2],"data_offsets":[0,2]},"b":{"dtype":"U8","shape":[2],"data_offsets":[4,6]}})",
          6)),
      HasSubstr("leave a hole"));
  EXPECT_THAT(
      refusal(file_of(
          R"({"a":{"dtype":"U8","shape":[2],"data_offsets":[0,2]},"a":{"dtype":"U8","shape":[2],"data_offsets":[0,2]}})",
          2)),
      HasSubstr("twice"));
}

TEST_F(Safetensors, RefusesAHeaderOf500000Levels) {
  const std::string deep = std::string(500'000, '[') + std::string(500'000, ']');
  for (const std::string& header :
       {deep, R"({"a":)" + deep + "}", R"({"a":{"dtype":"U8","shape":)" + deep + "}}",
        R"({"__metadata__":)" + deep + "}"})
    EXPECT_THAT(refusal(file_of(header, 0)),
                HasSubstr("model.safetensors: wanted at most 1000 levels of brackets"));
}

TEST_F(Safetensors, RefusesAFileCutAtAnyByte) {
  const std::string whole = file_of(kGood, 16);
  for (std::size_t size = 0; size < whole.size(); ++size)
    EXPECT_NE(refusal(whole.substr(0, size)), "") << size << " bytes";
  EXPECT_EQ(refusal(whole), "");
}

TEST_F(Safetensors, RefusesAMissingFile) {
  EXPECT_THROW(SafetensorsFile("nowhere/model.safetensors"), UsageError);
}

}  // namespace
}  // namespace retinue::layers
