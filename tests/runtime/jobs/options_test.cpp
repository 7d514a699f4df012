#include "runtime/jobs/options.h"

#include "parallel/base/check.h"

#include <gtest/gtest.h>

#include <limits>

namespace retinue::runtime {
namespace {

TEST(Weights, AreReadFromTheirFormAlone) {
  EXPECT_EQ(parse_weights("checkpoint"), Weights{});
  EXPECT_EQ(parse_weights("random"), (Weights{.random = true}));
  EXPECT_EQ(parse_weights("random:7"), (Weights{.random = true, .seed = 7}));
  for (const char* text : {"checkpoint", "random", "random:0", "random:18446744073709551615"})
    EXPECT_EQ(parse_weights(text).text(), text);
  for (const char* text : {"", "random:", "random:x", "random:-1", "random:1 ", "Random"})
    EXPECT_THROW(parse_weights(text), UsageError) << text;
}

TEST(FailureBudget, IsANumberOrAShareOfAllItems) {
  EXPECT_EQ(parse_failure_budget("2").of(1000), 2);
  EXPECT_EQ(parse_failure_budget("1.5%").of(1000), 15);
  EXPECT_EQ(parse_failure_budget("0").of(1000), 0);
  EXPECT_EQ(parse_failure_budget("").of(1000), std::numeric_limits<std::int64_t>::max());
  for (const char* text : {"", "2", "1.5%", "100%"})
    EXPECT_EQ(parse_failure_budget(text).text(), text);
  for (const char* text : {"x", "-1", "101%", "5%%", "%", "nan"})
    EXPECT_THROW(parse_failure_budget(text), UsageError) << text;
}

}  // namespace
}  // namespace retinue::runtime
