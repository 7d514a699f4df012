#include "runtime/formats/parquet/codecs.h"

#include "tests/runtime/formats/parquet/parquet_bytes.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace retinue::runtime {
namespace {

using testing::HasSubstr;

TEST(ParquetCodec, AllocatesNothingForAClaimThatTheCodecCannotMeet) {
  const auto stored = bytes_of({0xFF, 0xFF, 0xFF, 0x7F, 1, 2, 3, 4});
  for (const int codec : {0, 1, 2, 6}) {
    const auto page = detail::unpack_page(codec, stored, (std::int64_t{1} << 31) - 1);
    ASSERT_FALSE(page.ok()) << codec;
    EXPECT_THAT(page.error().message, HasSubstr("2147483647"));
  }
  for (const int codec : {1, 2, 6})
    EXPECT_THAT(detail::unpack_page(codec, stored, 16).error().message, HasSubstr("do not unpack"));
}

}  // namespace
}  // namespace retinue::runtime
