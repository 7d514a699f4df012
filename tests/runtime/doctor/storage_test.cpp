#include "runtime/doctor/storage.h"

#include "tests/support/job_ranks.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

namespace retinue::runtime {
namespace {

using testing::AnyOf;
using testing::HasSubstr;

const SteadyClock kClock;

TEST(ReadRate, RanksReadEachByteOfTheLargestFileOnce) {
  const test::TemporaryFolder folder;
  test::write_text(folder.path() + "/small.safetensors", "x");
  test::write_text(folder.path() + "/other.bin", std::string(9'000'000, 'x'));
  // Sizes at, below and above multiples of a disk's block.
  for (const std::int64_t size : {1, 4095, 4096, 4097, 8193, 5'000'000}) {
    test::write_text(folder.path() + "/big.safetensors",
                     std::string(static_cast<std::size_t>(size), 'x'));
    for (const int ranks : {1, 2, 3, 8}) {
      std::int64_t all = 0;
      for (int rank = 0; rank < ranks; ++rank) {
        const ReadRate rate = read_rate(folder.path(), rank, ranks, kClock);
        EXPECT_EQ(rate.error, "");
        all += rate.bytes;
      }
      EXPECT_EQ(all, size) << ranks << " ranks";
    }
  }
}

TEST(ReadRate, SaysHowItWasRead) {
  const test::TemporaryFolder folder;
  test::write_text(folder.path() + "/a.safetensors", std::string(2'000'000, 'x'));
  const ReadRate rate = read_rate(folder.path(), 0, 1, kClock);
  EXPECT_THAT(rate.how, AnyOf("direct", "cold", "cached"));
  EXPECT_GT(rate.bytes_per_s(), 0);
  // Bytes that are not on the disk yet cannot leave the cache.
  const ReadRate through = read_rate(folder.path(), 0, 1, kClock, {.direct = false});
  EXPECT_THAT(through.how, AnyOf("cold", "cached"));
  EXPECT_EQ(through.bytes, 2'000'000);
}

TEST(ReadRate, EndsWithItsTimeOrItsBytes) {
  const test::TemporaryFolder folder;
  test::write_text(folder.path() + "/a.safetensors", std::string(12 << 20, 'x'));
  EXPECT_EQ(read_rate(folder.path(), 0, 1, kClock, {.most_bytes = 5 << 20}).bytes, 5 << 20);
  EXPECT_LT(read_rate(folder.path(), 0, 1, kClock, {.seconds = 1e-9}).bytes, 12 << 20);
}

TEST(ReadRate, NamesWhatCannotBeRead) {
  const test::TemporaryFolder folder;
  EXPECT_THAT(read_rate(folder.path(), 0, 1, kClock).error, HasSubstr("has no weights"));
  EXPECT_THAT(read_rate(folder.path() + "/none", 0, 1, kClock).error, HasSubstr("has no weights"));
}

}  // namespace
}  // namespace retinue::runtime
