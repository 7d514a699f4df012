#include "parallel/base/result.h"

#include <gtest/gtest.h>

#include <memory>

namespace retinue {
namespace {

TEST(Result, HoldsEitherAValueOrAnError) {
  const Result<int> good = 7;
  EXPECT_TRUE(good.ok());
  EXPECT_EQ(good.value(), 7);
  EXPECT_THROW((void)good.error(), BugError);

  const Result<int> bad = DataError{"image", "not a JPEG"};
  EXPECT_FALSE(bad);
  EXPECT_EQ(bad.error().stage, "image");
  EXPECT_THROW((void)bad.value(), BugError);
}

TEST(Result, MovesItsValueOut) {
  Result<std::unique_ptr<int>> result = std::make_unique<int>(3);
  const std::unique_ptr<int> taken = std::move(result).value();
  EXPECT_EQ(*taken, 3);
}

TEST(BugError, NamesTheSourceLine) {
  try {
    check(false, "the invariant");
    FAIL();
  } catch (const BugError& error) {
    EXPECT_NE(std::string(error.what()).find("result_test.cpp"), std::string::npos) << error.what();
  }
}

}  // namespace
}  // namespace retinue
