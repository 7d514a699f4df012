#pragma once

// Tested through tests/runtime/dataset/source_test.cpp.

#include "runtime/dataset/item.h"

#include <nlohmann/json_fwd.hpp>

#include <istream>
#include <optional>
#include <string>

namespace retinue::runtime::detail {

/// Reads a manifest, one JSON object per line:
///   {"id"?, "image" | "images" | "video" | "messages", "fps"?, "prompt" | "question"?, "system"?,
///    "conversations"?, "max_new_tokens"?, "temperature"?, …}
/// Null, "" and [] are absent, but a line whose only images are absent fails. Other keys: see
/// manifest_keys.h. Paths: see resolve_media_path(). Without "id" the path of the only image or video
/// is the id; file and line are where there is no such path or another item has it. Empty lines are skipped; a line that cannot be used becomes a failed item.
/// Lines of an OpenAI batch file are recognised (openai_batch.h).
///   name     of the manifest, for messages and Item::source
///   returns  false when `sink` wants no more
/// Throws: UsageError for a whole file of another form (manifest_shape.h); SystemError when the
///   stream fails before its end.
bool read_manifest(std::istream& lines, const std::string& name, const std::string& base_dir,
                   ItemSink& sink);

/// Reads "system", and "question" as the prompt of a line that has no other.   Errors: another type.
std::optional<DataError> read_system_and_question(const nlohmann::ordered_json& line, Item& item);

/// Reads the keys "id" and "prompt" of a line, where it has them.   Errors: another type.
std::optional<DataError> read_id_and_prompt(const nlohmann::ordered_json& line, Item& item);

}  // namespace retinue::runtime::detail
