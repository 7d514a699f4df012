#include "runtime/study/compare.h"

#include "parallel/base/check.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace retinue::study {
namespace {

using testing::HasSubstr;

/// A study of one layout, with a trial for each of `seconds`.
Study study_of(const std::vector<double>& seconds) {
  Study study;
  study.provenance.model_sha256 = "abc", study.provenance.arguments = "--limit 8";
  for (std::size_t i = 0; i < seconds.size(); ++i) {
    MeasuredCell cell;
    cell.cell.trial = static_cast<int>(i) + 1;
    cell.measurement.done = cell.measurement.items = 8;
    cell.measurement.work_s = seconds[i];
    study.cells.push_back(cell);
  }
  study.planned = study.cells.size();
  return study;
}

TEST(Compare, RatioIsOfRatesAndItsRangeOfAllPairs) {
  const Comparison c = compare(study_of({4, 5, 6}), study_of({2, 2.5, 3}));
  ASSERT_EQ(c.cases.size(), 1U);
  EXPECT_DOUBLE_EQ(c.cases[0].ratio, 2);
  EXPECT_DOUBLE_EQ(c.cases[0].least, 4.0 / 3);
  EXPECT_DOUBLE_EQ(c.cases[0].most, 3);
  EXPECT_TRUE(c.cases[0].differs());
  EXPECT_THAT(comparison_table(c), HasSubstr("faster"));
}

TEST(Compare, OverlappingTrialsAreNoDifference) {
  EXPECT_FALSE(compare(study_of({4, 5, 6}), study_of({3.9, 5, 5.5})).cases[0].differs());
  EXPECT_FALSE(
      compare(study_of({4}), study_of({2})).cases[0].differs());  // one trial is not enough
}

TEST(Compare, UnlikeStudiesAreRefusedWithEveryReason) {
  Study other = study_of({1, 2, 3});
  other.provenance.model_sha256 = "def", other.provenance.arguments = "--limit 9";
  other.planned = 7;
  try {
    (void)compare(study_of({1, 2, 3}), other);
    FAIL();
  } catch (const UsageError& error) {
    EXPECT_THAT(error.what(), HasSubstr("config.json"));
    EXPECT_THAT(error.what(), HasSubstr("--limit 9"));
    EXPECT_THAT(error.what(), HasSubstr("3 of 7"));
  }
}

TEST(Compare, OtherCaptionsAndMachinesAreRemarked) {
  Study other = study_of({1, 2, 3});
  other.provenance.machine = "larger";
  other.cells[0].measurement.captions.sha256 = "x";
  const std::string text = comparison_table(compare(study_of({1, 2, 3}), other));
  EXPECT_THAT(text, HasSubstr("other machines"));
  EXPECT_THAT(text, HasSubstr("CAPTIONS DIFFER"));
}

}  // namespace
}  // namespace retinue::study
