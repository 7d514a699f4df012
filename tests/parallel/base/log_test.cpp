#include "parallel/base/log.h"

#include "parallel/base/check.h"
#include "tests/support/temporary_folder.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <functional>
#include <sstream>
#include <string>

namespace retinue {
namespace {

using testing::HasSubstr;
using testing::MatchesRegex;

class LogFile : public testing::Test {
 protected:
  std::string lines_after(const std::function<void(Log&)>& body) {
    {
      Log log({.rank = 5, .place = "dp1.tp0", .directory = folder_.path(), .to_stderr = false});
      body(log);
    }
    std::ifstream file(folder_.path() + "/rank-0005.log");
    std::ostringstream text;
    text << file.rdbuf();
    return text.str();
  }
  test::TemporaryFolder folder_;
};

TEST_F(LogFile, HasALineWithRankPlaceAndSourceForEachEvent) {
  EXPECT_THAT(lines_after([](Log& log) { log.warning("full"); }),
              MatchesRegex("W [0-9:]+[.][0-9]+ r0005 dp1[.]tp0 log_test[.]cpp:[0-9]+\\] full\n"));
}

TEST_F(LogFile, LeavesOutLevelsBelowItsOwn) {
  EXPECT_EQ(lines_after([](Log& log) { log.debug("detail"); }), "");
}

TEST_F(LogFile, CountsRepeatedTextInsteadOfWritingIt) {
  const std::string text = lines_after([](Log& log) {
    for (int i = 0; i < 4; ++i) log.info("again");
    log.info("other");
  });
  EXPECT_THAT(text, HasSubstr("(last line 3 more times)\n"));
  EXPECT_EQ(text.find("again"), text.rfind("again"));
}

TEST(Log, AFolderThatCannotBeWrittenIsAUsageError) {
  Log::Options options;
  options.directory = "/nonexistent";
  EXPECT_THROW(Log log(options), UsageError);
}

}  // namespace
}  // namespace retinue
