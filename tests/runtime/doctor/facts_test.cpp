#include "runtime/doctor/facts.h"

#include "parallel/base/check.h"
#include "tests/runtime/doctor/invented_facts.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace retinue::runtime {
namespace {

using test::on_gpus;
using testing::HasSubstr;

TEST(DoctorFacts, TravelAsText) {
  const DoctorFacts facts = on_gpus();
  const RankFacts there = rank_facts(to_text(facts.ranks[3]));
  EXPECT_EQ(to_text(there), to_text(facts.ranks[3]));
  EXPECT_EQ(there.gpu.most_sm_clock_mhz, 1980);
  EXPECT_EQ(there.read.how, "direct");
  EXPECT_EQ(to_text(sweep_facts(to_text(facts.sweeps))), to_text(facts.sweeps));
  RankFacts strange = facts.ranks[0];
  strange.model_error = "caf\xe9";  // no UTF-8
  EXPECT_THAT(rank_facts(to_text(strange)).model_error, HasSubstr("caf"));
  EXPECT_THROW(rank_facts("{"), BugError);
  EXPECT_THROW(rank_facts("{}"), BugError);
}

}  // namespace
}  // namespace retinue::runtime
