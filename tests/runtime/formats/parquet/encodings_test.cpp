#include "runtime/formats/parquet/encodings.h"

#include "tests/runtime/formats/parquet/parquet_bytes.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <span>
#include <vector>

namespace retinue::runtime {
namespace {

using testing::ElementsAre;

TEST(ParquetEncoding, ReadsTheExamplesOfTheFormat) {
  // Encodings.md: 0 to 7 in three bits, bit-packed; then a run of eleven fours.
  const auto packed = bytes_of({0x03, 0x88, 0xC6, 0xFA, 22, 4});
  std::span<const std::byte> in = packed;
  std::vector<std::uint32_t> out(19);
  ASSERT_TRUE(detail::read_hybrid(in, 3, out));
  EXPECT_THAT(out, ElementsAre(0, 1, 2, 3, 4, 5, 6, 7, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4));
  EXPECT_TRUE(in.empty());
  // 7, 5, 3, 1, 2, 3, 4, 5: differences -2 -2 -2 1 1 1 1, the least -2, the rest in two bits.
  auto delta = bytes_of({0x80, 0x01, 4, 8, 14, 3, 2, 0, 0, 0, 0xC0, 0x3F, 0, 0, 0, 0, 0, 0});
  in = delta;
  std::vector<std::int64_t> numbers;
  ASSERT_TRUE(detail::read_deltas(in, 8, numbers));
  EXPECT_THAT(numbers, ElementsAre(7, 5, 3, 1, 2, 3, 4, 5));
  in = delta;
  EXPECT_FALSE(detail::read_deltas(in, 7, numbers)) << "more values than the page has";
  in = std::span(delta).first(12);
  EXPECT_FALSE(detail::read_deltas(in, 8, numbers)) << "cut";
}

}  // namespace
}  // namespace retinue::runtime
