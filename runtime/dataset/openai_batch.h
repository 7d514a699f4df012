#pragma once

#include "runtime/dataset/item.h"

#include <nlohmann/json_fwd.hpp>

#include <optional>
#include <string>

namespace retinue::runtime::detail {

/// Whether a line of JSON is one of a batch file: it has custom_id and body.
bool is_batch_line(const nlohmann::ordered_json& line);

/// A request of an OpenAI batch file, as `vllm run-batch` takes it: custom_id is the id, body holds
/// messages and sampling, which goes over the job's. Keys that are null count as absent; those that
/// say nothing about the answer (model, stream, user, …) are passed over.
/// Errors: stage "manifest": other methods and addresses; ill-typed fields; fields that would
/// change the answer and are not served (tools, n above 1, response_format, …), or that are not
/// known.
std::optional<DataError> read_batch_line(const nlohmann::ordered_json& line,
                                         const std::string& base_dir, Item& item);

}  // namespace retinue::runtime::detail
