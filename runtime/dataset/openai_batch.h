#pragma once

#include "runtime/dataset/item.h"

#include <nlohmann/json_fwd.hpp>

#include <optional>
#include <string>

namespace retinue::runtime::detail {

/// Whether a line of JSON belongs to a batch file: it has custom_id and body.
bool is_batch_line(const nlohmann::ordered_json& line);

/// Reads a request of an OpenAI batch file, in the form of `vllm run-batch`: custom_id is the id,
/// body has messages and sampling options, which override the job's. Null counts as absent. Keys
/// that do not affect the answer (model, stream, user, …) are ignored; other keys beside body are
/// counted in `sink`.
/// Errors: stage "manifest": other methods and addresses; values of a wrong type; keys that affect
///   the answer and are not supported (tools, n above 1, response_format, …); unknown keys.
std::optional<DataError> read_batch_line(const nlohmann::ordered_json& line,
                                         const std::string& base_dir, Item& item, ItemSink& sink);

/// Reads a sampling key of a manifest line as a batch's body gives it, or max_new_tokens.
/// Errors: stage "manifest": another type or a number out of bounds; both names of one limit.
std::optional<DataError> read_sampling_key(const std::string& key,
                                           const nlohmann::ordered_json& value,
                                           const nlohmann::ordered_json& line,
                                           ItemSampling& sampling);

}  // namespace retinue::runtime::detail
