#include "parallel/device/nvml.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>

namespace retinue {
namespace {

using testing::HasSubstr;

/// tests/support/fake_nvml.cpp.
class NvmlTest : public testing::Test {
 protected:
  ~NvmlTest() override { ::unsetenv("RETINUE_FAKE_NVML"); }
  static constexpr const char* kGpu = "0000:17:00.0";
};

TEST_F(NvmlTest, GivesTheFactsOfTheDriver) {
  const Nvml nvml(RETINUE_FAKE_NVML);
  EXPECT_EQ(nvml.absent(), "");
  EXPECT_EQ(nvml.driver_version(), "560.35.03");
  std::string error = "before";
  const NvmlFacts gpu = nvml.facts(kGpu, error);
  EXPECT_EQ(error, "");
  EXPECT_EQ(gpu.name, "NVIDIA Something");
  EXPECT_EQ(gpu.sm_clock_mhz, 1200);
  EXPECT_EQ(gpu.most_sm_clock_mhz, 1980);
  EXPECT_EQ(gpu.memory_clock_mhz, 2619);
  EXPECT_EQ(gpu.most_memory_clock_mhz, 2620);
  EXPECT_EQ(gpu.throttle_reasons, 0x44);
  EXPECT_EQ(gpu.ecc, 1);
  EXPECT_EQ(gpu.uncorrected_errors, 4);
  EXPECT_EQ(gpu.memory_bytes, 80'000'000'000);
  EXPECT_EQ(gpu.free_bytes, 79'000'000'000);
  EXPECT_EQ(gpu.celsius, 61);
  EXPECT_DOUBLE_EQ(gpu.watts, 312.5);
  EXPECT_DOUBLE_EQ(gpu.most_watts, 700);
}

TEST_F(NvmlTest, AnUnknownGpuIsAnErrorMessage) {
  const Nvml nvml(RETINUE_FAKE_NVML);
  std::string error;
  EXPECT_EQ(nvml.facts("0000:99:00.0", error).sm_clock_mhz, -1);
  EXPECT_THAT(error, HasSubstr("no GPU at 0000:99:00.0 (code 6)"));
}

TEST_F(NvmlTest, AFactThatAGpuDoesNotGiveStaysUnknown) {
  ::setenv("RETINUE_FAKE_NVML", "old", 1);
  const Nvml nvml(RETINUE_FAKE_NVML);
  std::string error;
  const NvmlFacts gpu = nvml.facts(kGpu, error);
  EXPECT_EQ(error, "");
  EXPECT_EQ(gpu.sm_clock_mhz, 1200);
  EXPECT_EQ(gpu.most_sm_clock_mhz, -1);
  EXPECT_EQ(gpu.ecc, -1);
  EXPECT_EQ(gpu.uncorrected_errors, -1);
}

TEST_F(NvmlTest, AnAbsentLibrarySaysSo) {
  const Nvml nvml("libno-such-thing.so.1");
  EXPECT_THAT(nvml.absent(), HasSubstr("libno-such-thing.so.1 is not installed"));
  EXPECT_EQ(nvml.driver_version(), "");
  std::string error;
  EXPECT_EQ(nvml.facts(kGpu, error).memory_bytes, -1);
  EXPECT_EQ(error, nvml.absent());
}

TEST_F(NvmlTest, AnAbsentDriverSaysSo) {
  ::setenv("RETINUE_FAKE_NVML", "broken", 1);
  const Nvml nvml(RETINUE_FAKE_NVML);
  EXPECT_THAT(nvml.absent(), HasSubstr("does not start (code 9)"));
}

}  // namespace
}  // namespace retinue
