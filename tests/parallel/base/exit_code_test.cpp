#include "parallel/base/exit_code.h"

#include "parallel/base/check.h"

#include <gtest/gtest.h>

#include <new>
#include <stdexcept>
#include <string>

namespace retinue {
namespace {

template <class E>
ExitReason reason(const E& error) {
  return exit_reason(std::make_exception_ptr(error));
}

TEST(ExitCode, FollowsWhoMustAct) {
  EXPECT_EQ(reason(UsageError("[x] y")).code, 2);
  EXPECT_EQ(reason(SystemError("[x] y")).code, 75);
  EXPECT_EQ(reason(DeviceError("[x] y")).code, 75);
  EXPECT_EQ(reason(std::bad_alloc()).code, 75);
  EXPECT_EQ(reason(BugError("x")).code, 1);
  EXPECT_EQ(reason(std::runtime_error("x")).code, 1);
  EXPECT_EQ(reason(UsageError("[x] y")).message, "[x] y");
}

TEST(ExitCode, OfTwoTheWorseOneStays) {
  EXPECT_EQ(worse_exit_code(0, 3), 3);
  EXPECT_EQ(worse_exit_code(4, 3), 4);
  EXPECT_EQ(worse_exit_code(75, 4), 75);
  EXPECT_EQ(worse_exit_code(2, 75), 2);
  EXPECT_EQ(worse_exit_code(1, 2), 1);
  EXPECT_EQ(worse_exit_code(0, 137), 1);
}

}  // namespace
}  // namespace retinue
