#include "runtime/formats/parquet/thrift_compact.h"

#include "parallel/base/check.h"

#include <utility>

namespace retinue::runtime::detail {
namespace {

constexpr int kMaxDepth = 32;  // Parquet's own nesting is 7; the stack must not be the limit

}  // namespace

bool ThriftReader::enter() { return !failed_ && ++depth_ <= kMaxDepth; }

std::uint8_t ThriftReader::byte() {
  if (failed_ || position_ >= bytes_.size()) {
    ran_out_ = ran_out_ || !failed_;
    fail();
    return 0;
  }
  return std::to_integer<std::uint8_t>(bytes_[position_++]);
}

void ThriftReader::advance(std::uint64_t count) {
  if (failed_ || count > bytes_.size() - position_) {
    ran_out_ = ran_out_ || !failed_;
    return fail();
  }
  position_ += static_cast<std::size_t>(count);
}

std::uint64_t ThriftReader::varint() {
  std::uint64_t value = 0;
  for (unsigned shift = 0; shift < 64; shift += 7) {
    const std::uint8_t next = byte();
    value |= std::uint64_t{next & 0x7FU} << shift;
    if ((next & 0x80U) == 0) return failed_ ? 0 : value;
  }
  fail();
  return 0;
}

std::int64_t ThriftReader::zigzag() {
  const std::uint64_t value = varint();
  return static_cast<std::int64_t>((value >> 1) ^ (~(value & 1) + 1));
}

bool ThriftReader::next_field(int& id, ThriftType& type) {
  const std::uint8_t head = byte();
  if (failed_ || head == 0) return false;
  const int step = head >> 4;
  const std::int64_t next = step != 0 ? id + step : zigzag();
  type = static_cast<ThriftType>(head & 15U);
  if (next < 0 || next > 32767 || (head & 15U) == 0 || type > ThriftType::kStruct) fail();
  id = static_cast<int>(next);
  return !failed_;
}

std::uint64_t ThriftReader::list_header(ThriftType& element) {
  const std::uint8_t head = byte();
  element = static_cast<ThriftType>(head & 15U);
  const std::uint64_t size = head >> 4 == 15 ? varint() : head >> 4;
  // An element takes a byte at least: a size that the bytes cannot hold is not walked.
  if (size > bytes_.size() - position_) {
    ran_out_ = ran_out_ || !failed_;
    fail();
  }
  return failed_ ? 0 : size;
}

std::int64_t ThriftReader::integer(ThriftType type) {
  if (type == ThriftType::kI8) return static_cast<std::int8_t>(byte());
  if (type == ThriftType::kI16 || type == ThriftType::kI32 || type == ThriftType::kI64)
    return zigzag();
  fail();
  return 0;
}

bool ThriftReader::boolean(ThriftType type) {
  if (type != ThriftType::kTrue && type != ThriftType::kFalse) fail();
  return type == ThriftType::kTrue;
}

std::string_view ThriftReader::binary(ThriftType type) {
  if (type != ThriftType::kBinary) fail();
  const std::uint64_t size = varint();
  const std::size_t start = position_;
  advance(size);
  if (failed_) return {};
  return {reinterpret_cast<const char*>(bytes_.data()) + start, static_cast<std::size_t>(size)};
}

void ThriftReader::skip(ThriftType type) {
  switch (type) {
    case ThriftType::kTrue:
    case ThriftType::kFalse:
      return;  // a field's value is its type
    case ThriftType::kI8:
      return advance(1);
    case ThriftType::kI16:
    case ThriftType::kI32:
    case ThriftType::kI64:
      (void)varint();
      return;
    case ThriftType::kDouble:
      return advance(8);
    case ThriftType::kBinary:
      (void)binary(type);
      return;
    case ThriftType::kStruct:
      return fields(type, [&](int, ThriftType field) { skip(field); });
    case ThriftType::kList:
    case ThriftType::kSet:
      return elements(ThriftType::kList, [&](ThriftType element) {
        const bool flag = element == ThriftType::kTrue || element == ThriftType::kFalse;
        flag ? advance(1) : skip(element);
      });
    case ThriftType::kMap: {
      if (!enter()) return fail();
      const std::uint64_t size = varint();
      const std::uint8_t types = size > 0 ? byte() : 0;
      if (size > bytes_.size() - position_) fail();
      for (std::uint64_t i = 0; i < size && !failed_; ++i)
        for (const int each : {types >> 4, types & 15}) {
          const auto entry = static_cast<ThriftType>(each);
          const bool flag = entry == ThriftType::kTrue || entry == ThriftType::kFalse;
          flag ? advance(1) : skip(entry);
        }
      --depth_;
      return;
    }
  }
  fail();
}

void ThriftWriter::varint(std::uint64_t value) {
  for (; value >= 0x80; value >>= 7) byte(static_cast<unsigned>(value & 0x7F) | 0x80U);
  byte(static_cast<unsigned>(value));
}

void ThriftWriter::field(int id, ThriftType type) {
  check(id > last_id_ && id - last_id_ < 16, "ids rise by 1 to 15");
  byte(static_cast<unsigned>(id - last_id_) << 4 | static_cast<unsigned>(type));
  last_id_ = id;
}

void ThriftWriter::i32(int id, std::int32_t value) {
  field(id, ThriftType::kI32);
  element_integer(value);
}

void ThriftWriter::i64(int id, std::int64_t value) {
  field(id, ThriftType::kI64);
  element_integer(value);
}

void ThriftWriter::binary(int id, std::string_view value) {
  field(id, ThriftType::kBinary);
  element_binary(value);
}

void ThriftWriter::list(int id, ThriftType element, std::size_t size) {
  field(id, ThriftType::kList);
  const auto type = static_cast<unsigned>(element);
  // A size below 15 shares the type's byte.
  byte((size < 15 ? static_cast<unsigned>(size) : 15U) << 4 | type);
  if (size >= 15) varint(size);
}

void ThriftWriter::element_integer(std::int64_t value) {  // zigzag
  varint(static_cast<std::uint64_t>(value) << 1 ^ static_cast<std::uint64_t>(value >> 63));
}

void ThriftWriter::element_binary(std::string_view value) {
  varint(value.size());
  out_ += value;
}

void ThriftWriter::begin(int id) {
  field(id, ThriftType::kStruct);
  begin_element();
}

void ThriftWriter::begin_element() { outer_ids_.push_back(std::exchange(last_id_, 0)); }

void ThriftWriter::end() {
  check(!outer_ids_.empty(), "a struct is open");
  byte(0);
  last_id_ = outer_ids_.back();
  outer_ids_.pop_back();
}

std::string ThriftWriter::finish() {
  check(outer_ids_.empty(), "every struct was ended");
  byte(0);
  return std::move(out_);
}

}  // namespace retinue::runtime::detail
