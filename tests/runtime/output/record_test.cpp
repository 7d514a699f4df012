#include "runtime/output/record.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace retinue::runtime {
namespace {

using testing::HasSubstr;

TEST(Record, ReplacesMalformedUtf8AndShortensDataAddresses) {
  Record record;
  record.id = "a\xFF";
  record.media.push_back({.video = false,
                          .paths = {"data:image/png;base64,AAAA"},
                          .width = 1,
                          .height = 2,
                          .visual_tokens = 3});
  const std::string line = to_json(record);
  EXPECT_THAT(line, HasSubstr("\"a\xEF\xBF\xBD\""));
  EXPECT_THAT(line, HasSubstr("\"data:image/png;base64\""));
  EXPECT_THAT(line, HasSubstr("\"sha256\":null"));
  EXPECT_EQ(to_json(FailureRecord{"x", "", "read", "gone"}),
            R"({"id":"x","stage":"read","message":"gone"})");
}

}  // namespace
}  // namespace retinue::runtime
