#include <gtest/gtest.h>

#include <cuda_emulator/ranges.h>
#include <nvtx3/nvToolsExt.h>
#include <nvtx3/nvtx3.hpp>

namespace cuda_emulator::testing {
namespace {

struct Mine {
  static constexpr char const* name = "mine";
};

TEST(Ranges, AreRecordedWithDomainAndDepth) {
  forget_ranges();
  {
    const nvtx3::scoped_range outer("outer");
    const nvtx3::scoped_range_in<Mine> inner("inner", nvtx3::rgb{1, 2, 3});
    nvtx3::mark("here");
    EXPECT_EQ(open_range_depth(), 2);
  }
  EXPECT_EQ(nvtxRangePushA("plain"), 0);
  EXPECT_EQ(nvtxRangePop(), 0);
  EXPECT_EQ(nvtxRangePop(), -1);
  const auto ranges = opened_ranges();
  ASSERT_EQ(ranges.size(), 4u);
  EXPECT_EQ(ranges[0].name, "outer");
  EXPECT_EQ(ranges[1].domain, "mine");
  EXPECT_EQ(ranges[1].depth, 1);
  EXPECT_TRUE(ranges[2].is_mark);
  EXPECT_EQ(ranges[3].name, "plain");
}

}  // namespace
}  // namespace cuda_emulator::testing
