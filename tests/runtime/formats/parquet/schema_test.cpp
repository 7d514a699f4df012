#include "runtime/formats/parquet/schema.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <utility>
#include <vector>

namespace retinue::runtime::detail {
namespace {

constexpr int kRequired = 0, kOptional = 1, kRepeated = 2;
constexpr int kMap = 1, kList = 3;  // converted types

SchemaElement leaf(const char* name, int repetition) {
  return {.type = 6, .repetition = repetition, .name = name, .converted = 0};
}

SchemaElement group(const char* name, int repetition, int children, int converted = -1) {
  return {.repetition = repetition, .name = name, .children = children, .converted = converted};
}

ParquetSchema schema_of(std::vector<SchemaElement> elements) {
  elements.insert(elements.begin(), group("root", kRequired, 1));
  ParquetSchema schema;
  EXPECT_TRUE(read_schema(elements, schema));
  return schema;
}

struct Case {
  const char* what;
  std::vector<SchemaElement> elements;
  const char* type;
  const char* path;  ///< of the first leaf
  int definition, repetition;
};

// LogicalTypes.md of parquet-format: "Lists", "Maps", and their rules of backward compatibility.
TEST(ParquetSchema, OlderFormsOfListsAndMapsHaveTheirTypeAndLevels) {
  const std::vector<Case> cases = {
      {"three levels",
       {group("a", kOptional, 1, kList), group("list", kRepeated, 1), leaf("element", kOptional)},
       "list<string>",
       "a",
       3,
       1},
      {"any name between",
       {group("a", kOptional, 1, kList), group("bag", kRepeated, 1),
        leaf("array_element", kOptional)},
       "list<string>",
       "a",
       3,
       1},
      {"two levels",
       {group("a", kOptional, 1, kList), leaf("element", kRepeated)},
       "list<string>",
       "a",
       2,
       1},
      {"two levels of structs",
       {group("a", kOptional, 1, kList), group("element", kRepeated, 2), leaf("x", kRequired),
        leaf("y", kOptional)},
       "list<struct<x: string, y: string>>",
       "a.x",
       2,
       1},
      {"Avro's array of one field",
       {group("a", kOptional, 1, kList), group("array", kRepeated, 1), leaf("x", kRequired)},
       "list<struct<x: string>>",
       "a.x",
       2,
       1},
      {"Thrift's tuple of one field",
       {group("a", kRequired, 1, kList), group("a_tuple", kRepeated, 1), leaf("x", kRequired)},
       "list<struct<x: string>>",
       "a.x",
       1,
       1},
      {"an element that repeats",
       {group("a", kOptional, 1, kList), group("element", kRepeated, 1), leaf("x", kRepeated)},
       "list<struct<x: list<string>>>",
       "a.x",
       3,
       2},
      {"a repeated leaf", {leaf("a", kRepeated)}, "list<string>", "a", 1, 1},
      {"a repeated group",
       {group("a", kRepeated, 1), leaf("x", kOptional)},
       "list<struct<x: string>>",
       "a.x",
       2,
       1},
      {"a list in a list",
       {group("a", kOptional, 1, kList), group("list", kRepeated, 1),
        group("element", kOptional, 1, kList), group("list", kRepeated, 1),
        leaf("element", kOptional)},
       "list<list<string>>",
       "a",
       5,
       2},
      {"a map",
       {group("a", kOptional, 1, kMap), group("key_value", kRepeated, 2), leaf("key", kRequired),
        leaf("value", kOptional)},
       "map<string, string>",
       "a.key_value.key",
       2,
       1},
      {"a map without values",
       {group("a", kOptional, 1, kMap), group("map", kRepeated, 1), leaf("key", kRequired)},
       "struct<map: list<struct<key: string>>>",
       "a.map.key",
       2,
       1}};
  for (const Case& one : cases) {
    const ParquetSchema schema = schema_of(one.elements);
    ASSERT_EQ(schema.nodes.size(), 1U) << one.what;
    EXPECT_EQ(type_of(schema.nodes[0]), one.type) << one.what;
    EXPECT_EQ(schema.nodes[0].name, "a") << one.what;
    EXPECT_EQ(schema.nodes[0].end_column, schema.columns.size()) << one.what;
    EXPECT_EQ(schema.columns[0].path, one.path) << one.what;
    EXPECT_EQ(schema.leaves[0].max_definition, one.definition) << one.what;
    EXPECT_EQ(schema.leaves[0].max_repetition, one.repetition) << one.what;
    EXPECT_EQ(schema.columns[0].nested, one.repetition > 1) << one.what;
  }
}

TEST(ParquetSchema, TreesThatDoNotFitAreRefused) {
  std::vector<SchemaElement> deep = {group("root", kRequired, 1)};
  for (int i = 0; i < 40; ++i) deep.push_back(group("a", kRepeated, 1));
  deep.push_back(leaf("b", kRequired));
  const std::vector<std::vector<SchemaElement>> cases = {
      {},
      deep,
      {group("root", kRequired, 2), leaf("a", kRequired)},
      {group("root", kRequired, 1), leaf("a", kRequired), leaf("b", kRequired)},
      {group("root", kRequired, 1), leaf("a", 3)},
      {group("root", kRequired, 1), group("a", kRequired, -1)},
      {group("root", kRequired, 1), group("a", kRequired, 0)},
      {group("root", kRequired, 1), group("a", kRequired, 1, kList)}};
  for (const auto& elements : cases) {
    ParquetSchema schema;
    EXPECT_FALSE(read_schema(elements, schema)) << elements.size();
  }
}

}  // namespace
}  // namespace retinue::runtime::detail
