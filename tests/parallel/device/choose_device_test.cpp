#include "parallel/device/choose_device.h"

#include "parallel/base/build_config.h"

#include <gtest/gtest.h>

namespace retinue {
namespace {

TEST(ChooseDevice, WhatIsAskedForByNameIsNeverReplaced) {
  EXPECT_EQ(choose_device(DeviceType::kCpu, DType::kBF16).type, DeviceType::kCpu);
  const DeviceChoice gpu = choose_device(DeviceType::kCuda, DType::kF32);
  EXPECT_EQ(gpu.type, DeviceType::kCuda);
  if constexpr (!build::kCuda) {
    EXPECT_EQ(gpu.missing, "this build has no CUDA");
  }
}

TEST(ChooseDevice, WithoutANameF32GoesToTheCpu) {
  const DeviceChoice choice = choose_device(std::nullopt, DType::kF32);
  EXPECT_EQ(choice.type, DeviceType::kCpu);
  EXPECT_EQ(choice.missing, "");
  if constexpr (!build::kCuda) {
    EXPECT_EQ(choose_device(std::nullopt, std::nullopt).type, DeviceType::kCpu);
  }
}

}  // namespace
}  // namespace retinue
