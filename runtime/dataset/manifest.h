#pragma once

#include "runtime/dataset/item.h"

#include <nlohmann/json_fwd.hpp>

#include <istream>
#include <optional>
#include <string>

namespace retinue::runtime::detail {

/// Reads a manifest, one JSON object per line:
///   {"id"?, "image" | "images" | "video" | "messages", "fps"?, "prompt"?}
/// Paths are relative to `base_dir`; without an id the path of the first image or video is it, else
/// file and line. Empty lines are passed over; a line that cannot be used becomes a failed item.
///   name   for messages and Item::source
/// A line of an OpenAI batch file is taken as such (openai_batch.h). Returns false when `sink`
/// wants no more.
bool read_manifest(std::istream& lines, const std::string& name, const std::string& base_dir,
                   ItemSink& sink);

/// The keys "id" and "prompt" of a line, where they are there. Errors: of another type.
std::optional<DataError> read_id_and_prompt(const nlohmann::ordered_json& line, Item& item);

}  // namespace retinue::runtime::detail
