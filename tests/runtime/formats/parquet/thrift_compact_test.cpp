#include "runtime/formats/parquet/thrift_compact.h"

#include "parallel/base/check.h"
#include "tests/runtime/formats/parquet/parquet_bytes.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>
#include <span>
#include <string>
#include <vector>

namespace retinue::runtime {
namespace {

using detail::ThriftReader;
using detail::ThriftType;
using detail::ThriftWriter;

const std::vector<std::int64_t> kNumbers = {0,
                                            1,
                                            -1,
                                            63,
                                            64,
                                            -64,
                                            -65,
                                            1 << 20,
                                            -(1 << 30),
                                            std::numeric_limits<std::int64_t>::max(),
                                            std::numeric_limits<std::int64_t>::min()};

/// A struct with all that ThriftWriter writes; the list has `size` elements.
std::string written(std::size_t size) {
  ThriftWriter out;
  out.i32(1, -7);
  out.i64(2, std::int64_t{1} << 40);
  out.binary(5, "some bytes");
  out.begin(6);
  out.begin(1);
  out.end();
  out.binary(2, "");
  out.end();
  out.list(7, ThriftType::kI64, size);
  for (std::size_t i = 0; i < size; ++i) out.element_integer(kNumbers[i % kNumbers.size()]);
  out.list(8, ThriftType::kStruct, 2);
  for (const int value : {3, 4}) {
    out.begin_element();
    out.i32(15, value);
    out.end();
  }
  out.list(9, ThriftType::kBinary, 1);
  out.element_binary("last");
  return out.finish();
}

/// Every value in the order in which it is read, as text.
std::string read_back(ThriftReader& in) {
  std::string seen;
  const auto number = [&](ThriftType type) { seen += std::to_string(in.integer(type)) + " "; };
  const auto text = [&](ThriftType type) { seen += "'" + std::string(in.binary(type)) + "' "; };
  in.fields(ThriftType::kStruct, [&](int id, ThriftType type) {
    seen += std::to_string(id) + ": ";
    if (id == 5) return text(type);
    if (id == 6)
      return in.fields(type, [&](int part, ThriftType value) {
        seen += "." + std::to_string(part) + " ";
        part == 2 ? text(value) : in.skip(value);
      });
    if (id == 7) return in.elements(type, number);
    if (id == 8)
      return in.elements(type, [&](ThriftType each) {
        in.fields(each, [&](int, ThriftType value) { number(value); });
      });
    if (id == 9) return in.elements(type, text);
    number(type);
  });
  return seen;
}

std::span<const std::byte> bytes_in(std::string_view text) {
  return std::as_bytes(std::span(text));
}

TEST(ThriftCompact, ReadsWhatItWrote) {
  // A list's size is written in two forms: below 15 beside the type, else behind it.
  for (const std::size_t size :
       {std::size_t{0}, std::size_t{1}, std::size_t{14}, std::size_t{15}, std::size_t{300}}) {
    std::string wanted = "1: -7 2: 1099511627776 5: 'some bytes' 6: .1 .2 '' 7: ";
    for (std::size_t i = 0; i < size; ++i)
      wanted += std::to_string(kNumbers[i % kNumbers.size()]) + " ";
    wanted += "8: 3 4 9: 'last' ";
    const std::string bytes = written(size);
    ThriftReader in(bytes_in(bytes));
    EXPECT_EQ(read_back(in), wanted);
    EXPECT_FALSE(in.failed());
    EXPECT_EQ(in.position(), bytes.size());
    ThriftReader skipped(bytes_in(bytes));
    skipped.skip(ThriftType::kStruct);
    EXPECT_FALSE(skipped.failed());
    EXPECT_EQ(skipped.position(), bytes.size());
  }
}

TEST(ThriftCompact, RunsOutWhereverItIsCut) {
  const std::string bytes = written(20);
  for (std::size_t length = 0; length < bytes.size(); ++length) {
    const std::string cut = bytes.substr(0, length);
    ThriftReader in(bytes_in(cut));
    (void)read_back(in);
    EXPECT_TRUE(in.failed() && in.ran_out()) << length;
  }
}

TEST(ThriftCompact, WritesOnlyIdsThatRiseByOneToFifteen) {
  ThriftWriter out;
  out.i32(3, 0);
  EXPECT_THROW(out.i32(3, 0), BugError);
  EXPECT_THROW(out.i32(19, 0), BugError);
  EXPECT_THROW(out.end(), BugError);
}

TEST(ThriftCompact, FailsOnWhatTheBytesCannotHold) {
  // Field 1, a list of 2^28 structs in no bytes.
  const auto longer = bytes_of({0x19, 0xFC, 0x80, 0x80, 0x80, 0x80, 0x01});
  ThriftReader list(longer);
  int elements = 0;
  list.fields(ThriftType::kStruct,
              [&](int, ThriftType type) { list.elements(type, [&](ThriftType) { ++elements; }); });
  EXPECT_TRUE(list.failed());
  EXPECT_EQ(elements, 0);
  // Structs in structs without end.
  const std::vector<std::byte> deep(100000, std::byte{0x1C});
  ThriftReader nested(deep);
  nested.skip(ThriftType::kStruct);
  EXPECT_TRUE(nested.failed());
  EXPECT_FALSE(nested.ran_out());
}

}  // namespace
}  // namespace retinue::runtime
