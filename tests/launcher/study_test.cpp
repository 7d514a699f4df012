#include "launcher/study.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace retinue::launcher {
namespace {

using Arguments = std::vector<std::string>;

TEST(StudyArguments, CompareTakesTwoFolders) {
  EXPECT_EQ(study_arguments({"--compare", "a", "b"}),
            (Arguments{"--compare", "a", "--compare", "b"}));
  EXPECT_EQ(study_arguments({"--quiet", "--compare", "a", "b", "--limit", "4"}),
            (Arguments{"--quiet", "--compare", "a", "--compare", "b", "--limit", "4"}));
}

TEST(StudyArguments, AFlagAfterTheFirstFolderStays) {
  const Arguments twice = {"--compare", "a", "--compare", "b"};
  EXPECT_EQ(study_arguments(twice), twice);
  const Arguments one = {"--compare", "a"};
  EXPECT_EQ(study_arguments(one), one);
}

}  // namespace
}  // namespace retinue::launcher
