#pragma once

// Tested through tests/runtime/dataset/source_test.cpp.

#include "runtime/dataset/item.h"

#include <nlohmann/json_fwd.hpp>

#include <functional>
#include <optional>
#include <span>
#include <string_view>

namespace retinue::runtime::detail {

/// Whether a line has the key with a value: null, "" and [] are how data frames write an absent one.
bool has_value(const nlohmann::ordered_json& line, std::string_view key);

/// The name that `key` is a slip of: but for case, hyphens and underscores, or by one letter where the
/// name has five at least. Empty: of none.
///   there  whether a name is in the same line or table, too: then another case is no slip
std::string_view near_name(std::string_view key, std::span<const std::string_view> names,
                           const std::function<bool(std::string_view)>& there);

/// Finds the keys of a line that ask something which is not done, and counts in `sink` the others
/// that are not read.
/// Errors: stage "manifest", by name: slips of a known key (promt, Image, max-tokens); keys of
///   qwen-vl-utils; in a line without image or video, other tools' names for one (image_path).
std::optional<DataError> check_keys(const nlohmann::ordered_json& line, ItemSink& sink);

/// Reads the sampling keys of a line.   Errors: as in an OpenAI batch; keys of other engines that ask
/// something that is not served (num_beams).
std::optional<DataError> read_sampling(const nlohmann::ordered_json& line, Item& item);

}  // namespace retinue::runtime::detail
