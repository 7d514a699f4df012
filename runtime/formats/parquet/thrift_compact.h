#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

/// Thrift's compact protocol, in which Parquet writes its footer and page headers.
/// thrift/doc/specs/thrift-compact-protocol.md
namespace retinue::runtime::detail {

/// Types of a field or an element, as the compact protocol numbers them.
enum class ThriftType : std::uint8_t {
  kTrue = 1,
  kFalse = 2,
  kI8 = 3,
  kI16 = 4,
  kI32 = 5,
  kI64 = 6,
  kDouble = 7,
  kBinary = 8,
  kList = 9,
  kSet = 10,
  kMap = 11,
  kStruct = 12,
};

/// Reads. Nothing is allocated. The first error makes failed() true; from then on every read gives
/// zero and every walk ends.
class ThriftReader {
 public:
  explicit ThriftReader(std::span<const std::byte> bytes) : bytes_(bytes) {}

  [[nodiscard]] bool failed() const { return failed_; }
  /// It failed at the end of the bytes: with more of them it may succeed.
  [[nodiscard]] bool ran_out() const { return ran_out_; }
  /// Bytes read so far.
  [[nodiscard]] std::size_t position() const { return position_; }

  // One value of a field whose type was read; a field of another type fails.
  std::int64_t integer(ThriftType type);
  bool boolean(ThriftType type);
  std::string_view binary(ThriftType type);
  void skip(ThriftType type);

  /// Calls on_field(id, type) for each field; it must read or skip the value.
  template <class OnField>
  void fields(ThriftType type, OnField&& on_field) {
    if (type != ThriftType::kStruct || !enter()) return fail();
    int id = 0;
    for (ThriftType field{}; next_field(id, field);) on_field(id, field);
    --depth_;
  }
  /// Calls on_element(type) for each element; it must read or skip the element.
  template <class OnElement>
  void elements(ThriftType type, OnElement&& on_element) {
    if (type != ThriftType::kList || !enter()) return fail();
    ThriftType element{};
    for (std::uint64_t left = list_header(element); left > 0 && !failed_; --left)
      on_element(element);
    --depth_;
  }

 private:
  void fail() { failed_ = true; }
  bool enter();
  bool next_field(int& id, ThriftType& type);
  std::uint64_t list_header(ThriftType& element);
  std::uint8_t byte();
  std::uint64_t varint();
  std::int64_t zigzag();
  void advance(std::uint64_t count);

  std::span<const std::byte> bytes_;
  std::size_t position_ = 0;
  int depth_ = 0;
  bool failed_ = false, ran_out_ = false;
};

/// Writes one struct, field by field. The ids of a struct rise by 1 to 15 from field to field,
/// which is all that Parquet needs; else BugError.
class ThriftWriter {
 public:
  void i32(int id, std::int32_t value);
  void i64(int id, std::int64_t value);
  void binary(int id, std::string_view value);

  /// A list field; its `size` elements follow.
  void list(int id, ThriftType element, std::size_t size);
  void element_integer(std::int64_t value);
  void element_binary(std::string_view value);

  /// A struct field, or a struct that is an element; its fields follow, then end().
  void begin(int id);
  void begin_element();
  void end();

  /// All that was written; ends the outermost struct.
  std::string finish();

 private:
  void byte(unsigned value) { out_.push_back(static_cast<char>(value)); }
  void varint(std::uint64_t value);
  void field(int id, ThriftType type);

  std::string out_;
  int last_id_ = 0;
  std::vector<int> outer_ids_;  ///< the last id of each struct that is open around this one
};

}  // namespace retinue::runtime::detail
