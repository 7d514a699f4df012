#include "runtime/media/video.h"

#include "parallel/base/hash.h"
#include "tests/runtime/media/image_golden.h"

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <cstdio>
#include <limits>

namespace retinue::runtime {
namespace {

using Json = nlohmann::json;

/// As the prompt shows it.
std::string shown(double seconds) {
  char text[64];
  std::snprintf(text, sizeof text, "<%.1f seconds>", seconds);
  return text;
}

std::vector<std::string> shown(const std::vector<double>& seconds) {
  std::vector<std::string> out;
  for (const double value : seconds) out.push_back(shown(value));
  return out;
}

std::optional<double> rate_of(const Json& row) {
  return row["container_fps"].is_null() ? std::nullopt
                                        : std::optional<double>(row["container_fps"]);
}

TEST(Video, FramesAndTimesEqualTheReference) {
  const Json rows = read_golden("model/tables.json")["frames"]["sampled"];
  ASSERT_GE(rows.size(), 20U);
  for (const Json& row : rows) {
    FrameSampling sampling{.fps = std::nullopt};
    if (row.contains("fps")) sampling.fps = row["fps"];
    if (row.contains("num_frames")) sampling.num_frames = row["num_frames"];
    const auto indices = choose_frames(row["total_num_frames"], rate_of(row), sampling);
    ASSERT_TRUE(indices.ok());
    EXPECT_EQ(Json(*indices), row["frames_indices"]) << row.dump();
    EXPECT_EQ(Json(shown(frame_timestamps(*indices, rate_of(row)))), row["timestamps"])
        << row.dump();
  }
}

TEST(Video, TimesOfGivenFramesEqualTheReference) {
  const Json rows = read_golden("model/tables.json")["frames"]["timestamps"];
  ASSERT_GE(rows.size(), 20U);
  for (const Json& row : rows) {
    const auto indices = row["frames_indices"].get<std::vector<std::int64_t>>();
    EXPECT_EQ(Json(shown(frame_timestamps(indices, rate_of(row)))), row["timestamps"])
        << row.dump();
  }
}

TEST(Video, ALongVideoIsCappedAndEndsOnItsLastFrame) {
  const auto indices = choose_frames(100000, 30.0);
  ASSERT_TRUE(indices.ok());
  EXPECT_EQ(indices->size(), 768U);
  EXPECT_EQ(indices->front(), 0);
  EXPECT_EQ(indices->back(), 99999);
  const std::vector<std::int32_t> narrow(indices->begin(), indices->end());
  EXPECT_EQ(sha256_hex(std::as_bytes(std::span(narrow))),
            read_golden("model/tables.json")["frames"]["long_clip"]["int32_sha256"]);
}

TEST(Video, AShortVideoKeepsAnOddCount) {
  const auto indices = choose_frames(3, 30.0);
  EXPECT_EQ(*indices, (std::vector<std::int64_t>{0, 1, 2}));
  const auto times = frame_timestamps(*indices, 30.0);
  ASSERT_EQ(times.size(), 2U);
  EXPECT_EQ(times[1], 2.0 / 30.0) << "the last frame is repeated";
}

TEST(Video, RateOfTheContainerMakesTheTimes) {
  const std::vector<std::int64_t> indices{0, 24, 48, 72};
  EXPECT_EQ(frame_timestamps(indices, 48.0), (std::vector<double>{0.25, 1.25}));
  EXPECT_EQ(frame_timestamps(indices, std::nullopt), (std::vector<double>{0.5, 2.5}))
      << "24 is assumed";
}

TEST(Video, WhatCannotBeSampledIsRefused) {
  EXPECT_FALSE(choose_frames(0, 30.0).ok());
  EXPECT_FALSE(choose_frames(-5, 30.0).ok());
  EXPECT_FALSE(choose_frames(10, 0.0).ok());
  EXPECT_FALSE(choose_frames(10, std::numeric_limits<double>::quiet_NaN()).ok());
  EXPECT_FALSE(choose_frames(10, std::numeric_limits<double>::infinity()).ok());
  EXPECT_EQ(choose_frames(100, 1e-300)->size(), 100U)
      << "a tiny rate asks for more frames than there are";
}

}  // namespace
}  // namespace retinue::runtime
