#pragma once

// Tested through tests/runtime/formats/parquet/nested_test.cpp.

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace retinue::runtime {

/// One column of a Parquet file: a leaf of its schema.
struct ParquetColumn {
  /// Names from the top, joined by dots: "id", "image.bytes". The levels that Parquet puts between
  /// a list and its elements are left out: "images.bytes" for list<struct<bytes, path>>.
  std::string path;
  std::string type;     ///< "string", "binary", "int64", …: for messages
  bool text = false;    ///< marked as UTF-8 by its writer; not verified
  bool list = false;    ///< a cell holds any number of values
  bool nested = false;  ///< a list in a list: a cell holds an entry for each of its levels
};

/// A node of the schema: a column as its writer sees it. Levels as in Dremel (Melnik et al. 2010).
struct ParquetNode {
  enum class Shape : std::uint8_t { kLeaf, kStruct, kList, kMap };
  enum class Value : std::uint8_t { kText, kNumber, kBoolean, kBinary, kNull };

  std::string name;
  Shape shape = Shape::kLeaf;
  Value value = Value::kText;  ///< of a leaf; kNull: a column without a type, all absent
  std::string type;            ///< of a leaf, as ParquetColumn::type
  int present = 0;             ///< the lowest definition level at which the node is not absent
  int element = 0;  ///< of lists and maps: the lowest definition level at which there is an element
  int repetition = 0;  ///< of lists and maps: the repetition level of a further element
  std::size_t first_column = 0, end_column = 0;  ///< the leaves below the node, which are adjacent
  /// The fields of a struct; the element of a list; key and value of a map.
  std::vector<ParquetNode> children;
};

/// "list<struct<content: string, role: string>>", cut where it is long.
std::string type_of(const ParquetNode& node);

namespace detail {

// The enumeration has the numbers of parquet.thrift.
enum class ParquetType { kBoolean, kInt32, kInt64, kInt96, kFloat, kDouble, kByteArray, kFixed };
/// What the stored number or bytes mean.
enum class ParquetMeaning {
  kNone,
  kText,
  kDecimal,
  kDate,
  kTime,
  kTimestamp,
  kUuid,
  kFloat16,
  kNull
};

/// How the values of one leaf are written.
struct ParquetLeaf {
  ParquetType type = ParquetType::kByteArray;
  ParquetMeaning meaning = ParquetMeaning::kNone;
  int width_bytes = 0;         ///< of one plain value; 0 for byte arrays and booleans
  bool is_unsigned = false;    ///< for integers
  int digits = 0;              ///< behind the point: of a decimal, of the seconds of a time
  bool utc = false;            ///< for timestamps
  int max_definition = 0;      ///< the level of a value that is present
  int max_repetition = 0;      ///< the number of lists around it
  int element_definition = 0;  ///< for a list: the lowest level at which there is an element
  std::string refusal;         ///< why the leaf cannot be read; empty where it can
};

/// A node as a footer has it: the tree is written depth first.
struct SchemaElement {
  std::int64_t type = -1;  ///< -1 for a group
  std::int64_t type_length = 0;
  std::int64_t repetition = 0;  ///< 0 required, 1 optional, 2 repeated
  std::string name;
  std::int64_t children = 0;
  std::int64_t converted = -1;
  int logical = 0;  ///< the field of the union LogicalType; 0: none
  std::int64_t scale = 0;
  int unit = 0;  ///< of a time: 1 ms, 2 µs, 3 ns
  bool is_unsigned = false, utc = false;
};

struct ParquetSchema {
  std::vector<ParquetColumn> columns;
  std::vector<ParquetLeaf> leaves;  ///< by column
  std::vector<ParquetNode> nodes;   ///< the children of the root
};

/// Turns the elements of a footer into columns.
///   returns  false where elements are missing, too deep, left over, or have numbers out of range
bool read_schema(const std::vector<SchemaElement>& elements, ParquetSchema& out);

}  // namespace detail
}  // namespace retinue::runtime
