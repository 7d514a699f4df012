#include "runtime/formats/parquet/page.h"

#include "tests/runtime/formats/parquet/parquet_bytes.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>

namespace retinue::runtime {
namespace {

using testing::HasSubstr;

TEST(ParquetPage, RefusesWhatDoesNotFit) {
  detail::PageHeader header;
  header.values = 1;
  header.encoding = detail::kRleDictionary;
  const auto words = std::make_shared<detail::ParquetValues>();
  words->width_bytes = 4;
  words->count = 2;
  words->bytes = detail::HeapBytes(8);
  detail::ParquetLeaf leaf;
  leaf.type = detail::ParquetType::kInt32;
  leaf.width_bytes = 4;
  const auto refusal = [&](const std::vector<std::byte>& stored, bool with_words) {
    header.unpacked_bytes = header.stored_bytes = static_cast<std::int64_t>(stored.size());
    const auto page =
        detail::decode_page(header, stored, leaf, 0, with_words ? words : nullptr, 1 << 20);
    return page.ok() ? "" : page.error().message;
  };
  // Indices of three bits, one run of one.
  EXPECT_EQ(refusal(bytes_of({3, 2, 1}), true), "");
  EXPECT_THAT(refusal(bytes_of({3, 2, 2}), true), HasSubstr("beyond the dictionary"));
  EXPECT_THAT(refusal(bytes_of({3, 2, 1}), false), HasSubstr("there is none"));
  EXPECT_THAT(refusal(bytes_of({33, 2, 1}), true), HasSubstr("indices end early"));
  header.encoding = detail::kPlain;
  EXPECT_THAT(refusal(bytes_of({1, 2, 3}), false), HasSubstr("do not fit their number"));
  // One string that repeats so many bytes of the one before it, and adds none.
  leaf.type = detail::ParquetType::kByteArray;
  header.encoding = detail::kDeltaByteArray;
  const auto repeats = [](int bytes) {
    return bytes_of({0x80, 1, 4, 1, 2 * bytes, 0x80, 1, 4, 1, 0});
  };
  EXPECT_EQ(refusal(repeats(0), false), "");
  EXPECT_THAT(refusal(repeats(5), false), HasSubstr("do not fit their number"));
}

}  // namespace
}  // namespace retinue::runtime
