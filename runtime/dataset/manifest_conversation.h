#pragma once

// Tested through tests/runtime/dataset/source_test.cpp.

#include "parallel/base/result.h"
#include "runtime/dataset/item.h"

#include <nlohmann/json_fwd.hpp>

#include <optional>
#include <string>

namespace retinue::runtime::detail {

/// Turns the key conversations of LLaVA into messages for parse_messages(): a list of {from, value}
/// or {role, content}, where human is the user and gpt the assistant. <image> and <video> are
/// replaced by `media` in order; without such marks all media come first. The last turn, where it is
/// an answer, is left out: the model answers it.
///   media      parts of a message: {"type": "image", "image": path}
///   system     put first; empty: none
///   left_out   set where an answer was left out
/// Errors: stage "manifest": another form; marks and media that differ in kind or number.
Result<nlohmann::ordered_json> read_conversations(const nlohmann::ordered_json& turns,
                                                  const nlohmann::ordered_json& media,
                                                  const std::string& system, bool& left_out);

/// Makes conversations the messages of an item, whose images and videos it shows, and its system prompt
/// the first of them.   Errors: as read_conversations() and parse_messages().
std::optional<DataError> take_conversations(const nlohmann::ordered_json& turns, Item& item,
                                            ItemSink& sink);

}  // namespace retinue::runtime::detail
