#include "runtime/study/model/step_model.h"

#include "parallel/base/check.h"
#include "parallel/base/rng.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <cmath>
#include <vector>

namespace retinue::study {
namespace {

TEST(StepModel, FitKeepsTheSumAndFindsWhatMadeTheSteps) {
  std::vector<TimedStep> steps;
  double sum = 0;
  for (std::uint64_t i = 0; i < 600; ++i) {
    const auto random = [&](std::uint64_t k) { return to_unit_double(random_bits(i, k)); };
    TimedStep step;
    step.work.rows = std::floor(1 + 60 * random(0));
    step.work.logit_rows = std::floor(step.work.rows * random(1));
    step.work.keys = step.work.rows * std::floor(200 * random(2));
    step.work.patches = i % 5 == 0 ? 64 : 0;
    // One step in ten takes twice as long, as on a busy machine.
    step.seconds = (5e-3 + 1e-4 * step.work.rows + 1e-5 * step.work.logit_rows +
                    1e-7 * step.work.keys + (step.work.patches > 0 ? 2e-3 + 64e-5 : 0)) *
                   (i % 10 == 3 ? 2 : 1);
    sum += step.seconds;
    steps.push_back(step);
  }
  const StepTimes times = fit_step_times(steps);
  double predicted = 0;
  for (const TimedStep& step : steps) predicted += times.seconds(step.work);
  EXPECT_NEAR(predicted / sum, 1, 0.002);
  // The long steps add a factor of 1.1 on average.
  EXPECT_NEAR(times.seconds({.rows = 30, .logit_rows = 15, .keys = 3000}), 1.1 * 8.45e-3, 5e-4);
}

TEST(StepModel, TooFewStepsAreRefusedWithWhatToDo) {
  try {
    (void)fit_step_times(std::vector<TimedStep>(3));
    FAIL();
  } catch (const UsageError& error) {
    EXPECT_THAT(error.what(), testing::HasSubstr("at least 8"));
  }
}

}  // namespace
}  // namespace retinue::study
