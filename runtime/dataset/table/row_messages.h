#pragma once

// Tested through tests/runtime/dataset/table/parquet_items_test.cpp.

#include "parallel/base/result.h"
#include "runtime/dataset/item.h"

#include <nlohmann/json_fwd.hpp>

#include <cstdint>
#include <optional>
#include <string>

namespace retinue::runtime::detail {

/// Messages or conversations of a typed column in the form that JSON text has: absent fields are left
/// out, and the object of lists that datasets' Sequence writes becomes a list of objects.
/// Errors: stage "parquet": such lists of different lengths.
Result<nlohmann::ordered_json> untyped(nlohmann::ordered_json json);

/// Reads the messages of a row of a table. Its images and videos without a file are those that the item
/// has, in order or by the key "index"; each must be shown. A json::binary (nested.h) is bytes in the
/// row.
///   table, row  where the messages lie
/// Errors: as parse_messages(); stage "parquet": images of the row that are not shown, and others.
std::optional<DataError> read_row_messages(nlohmann::ordered_json messages,
                                           const std::string& table, std::int64_t row, Item& item);

}  // namespace retinue::runtime::detail
