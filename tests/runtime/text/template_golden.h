#pragma once

#include "runtime/text/chat_template.h"
#include "tests/runtime/text/text_goldens.h"

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

namespace retinue::runtime {

using Json = nlohmann::ordered_json;

/// templates.json of scripts/golden/text.py.
inline const Json& template_goldens() {
  static const Json json = Json::parse(read_file(text_golden("templates.json")));
  return json;
}

/// Every conversation through the template that the goldens call `name`.
inline void expect_chats_of_reference(const ChatTemplate& chat_template, const std::string& name) {
  for (const Json& row : template_goldens()["chats"]) {
    Json names = row["names"];
    RenderOptions options;
    options.add_generation_prompt = names["add_generation_prompt"];
    options.add_vision_id = names.value("add_vision_id", false);
    if (names.contains("tools")) options.tools = &names["tools"];
    Json extra = Json::object();
    if (names.contains("enable_thinking")) extra["enable_thinking"] = names["enable_thinking"];
    options.extra = &extra;
    const auto text = chat_template.render(row["messages"], options);
    const Json& wanted = row["texts"][name];
    EXPECT_EQ(text.ok(), wanted.is_string()) << row["messages"];
    if (text.ok() && wanted.is_string()) {
      EXPECT_EQ(*text, wanted.get<std::string>()) << row["messages"];
    } else if (!text.ok() && wanted.is_string()) {
      ADD_FAILURE() << text.error().message;
    }
  }
}

}  // namespace retinue::runtime
