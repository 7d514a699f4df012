#include "runtime/doctor/report.h"

#include "tests/runtime/doctor/invented_facts.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

namespace retinue::runtime {
namespace {

using test::on_gpus;

TEST(DoctorReport, UnknownNumbersAreNull) {
  DoctorFacts facts = on_gpus();
  facts.ranks[0].gpu = {};
  facts.ranks[0].shm_free_bytes = -1;
  facts.ranks[0].open_files = -1, facts.ranks[0].locked_bytes = -2;
  const auto json = nlohmann::json::parse(doctor_json(facts, judge(facts)));
  const auto& first = json["ranks"][0];
  EXPECT_TRUE(first["gpu"]["sm_clock_mhz"].is_null());
  EXPECT_TRUE(first["gpu"]["watts"].is_null());
  EXPECT_TRUE(first["shared_memory"]["free_bytes"].is_null());
  EXPECT_EQ(first["limits"]["open_files"], "unlimited");
  EXPECT_TRUE(first["limits"]["locked_bytes"].is_null());
  EXPECT_EQ(json["sweeps"].size(), 3U);
  EXPECT_EQ(json["sweeps"][0]["points"][1]["algorithm_bytes_per_s"], 1e6 / 255e-6);
}

}  // namespace
}  // namespace retinue::runtime
