#include "runtime/formats/parquet/value_text.h"

#include "tests/runtime/formats/parquet/parquet_bytes.h"

#include <gtest/gtest.h>

namespace retinue::runtime::detail {
namespace {

// What pyarrow writes is in nested_test.cpp; here is what it does not.
TEST(ParquetValueText, ValuesOfOlderAndOtherWritersHaveTheTextOfTheirType) {
  ParquetLeaf leaf;
  leaf.meaning = ParquetMeaning::kDecimal;
  leaf.digits = 2;
  EXPECT_EQ(value_text(leaf, bytes_of({0xFF, 0x38})), "-2.00") << "bytes of any number";
  EXPECT_EQ(value_text(leaf, {}), "0.00");
  const std::vector<std::byte> long_one(1000, std::byte{1});
  EXPECT_EQ(value_text(leaf, long_one).size(), 1000U) << "no number of that size: its bytes";
  leaf.type = ParquetType::kInt32;
  EXPECT_EQ(value_text(leaf, bytes_of({0x39, 0x30, 0, 0})), "123.45");
  leaf.type = ParquetType::kInt64;
  leaf.meaning = ParquetMeaning::kTimestamp;
  leaf.digits = 9;
  leaf.utc = true;
  EXPECT_EQ(value_text(leaf, bytes_of({0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF})),
            "1969-12-31T23:59:59.999999999+00:00");
  EXPECT_EQ(value_text(leaf, bytes_of({0, 0, 0, 0, 0, 0, 0, 0x80})),
            "1677-09-21T00:12:43.145224192+00:00");
  leaf.digits = 3;
  EXPECT_EQ(value_text(leaf, bytes_of({0, 0, 0, 0, 0, 0, 0, 0x80})).substr(0, 10), "-292275055");
  leaf.type = ParquetType::kFixed;
  leaf.meaning = ParquetMeaning::kFloat16;
  EXPECT_EQ(value_text(leaf, bytes_of({0, 0xFC})), "-inf");
  EXPECT_EQ(value_text(leaf, bytes_of({1, 0x7E})), "nan");
  EXPECT_EQ(value_text(leaf, bytes_of({1, 0})), "5.9604645e-08");
}

}  // namespace
}  // namespace retinue::runtime::detail
