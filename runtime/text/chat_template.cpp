#include "runtime/text/chat_template.h"

#include "layers/spec/json_text.h"
#include "parallel/base/file.h"
#include "runtime/text/jinja/eval.h"
#include "runtime/text/jinja/lexer.h"
#include "runtime/text/jinja/text.h"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <filesystem>
#include <optional>

namespace retinue::runtime {
namespace {

using Json = nlohmann::ordered_json;

std::optional<std::string> read_text(const std::filesystem::path& path) {
  return read_file(path.string(), "[template]");
}

std::optional<Json> read_json(const std::filesystem::path& path) {
  const auto text = read_text(path);
  if (!text) return std::nullopt;
  return layers::parse_json_or_refuse<Json>(*text, "[template] " + path.string());
}

/// The key chat_template: a string, or a list of {name, template}.
std::optional<std::string> template_in(const std::optional<Json>& json) {
  if (!json || !json->is_object() || !json->contains("chat_template")) return std::nullopt;
  const Json& value = (*json)["chat_template"];
  if (value.is_string()) return value.get<std::string>();
  if (!value.is_array()) return std::nullopt;
  for (const Json& entry : value) {
    if (entry.is_object() && entry.value("name", Json()) == "default" &&
        entry.contains("template") && entry["template"].is_string()) {
      return entry["template"].get<std::string>();
    }
  }
  return std::nullopt;
}

/// "<|im_end|>" or {"content": "<|im_end|>", …}.
std::optional<std::string> token_in(const Json& config, const char* key) {
  if (!config.is_object() || !config.contains(key)) return std::nullopt;
  const Json& value = config[key];
  if (value.is_string()) return value.get<std::string>();
  if (value.is_object() && value.contains("content") && value["content"].is_string()) {
    return value["content"].get<std::string>();
  }
  return std::nullopt;
}

}  // namespace

struct ChatTemplate::Program {
  std::string name;
  std::string source;
  jinja::Body body;
  jinja::Dict tokens;

  /// "NAME:LINE:COLUMN: what"; without line and column where the error has none.
  [[nodiscard]] std::string describe(const jinja::TemplateError& error) const {
    if (error.offset() == jinja::TemplateError::kNowhere) {
      return fmt::format("{}: {}", name, error.what());
    }
    const std::string_view before = std::string_view(source).substr(0, error.offset());
    const auto line = 1 + std::count(before.begin(), before.end(), '\n');
    const std::size_t begin = before.rfind('\n') + 1;  // npos + 1 is 0
    const std::size_t column = 1 + jinja::count_characters(before.substr(begin));
    return fmt::format("{}:{}:{}: {}", name, line, column, error.what());
  }
};

ChatTemplate::ChatTemplate(std::shared_ptr<const Program> program) : program_(std::move(program)) {}

ChatTemplate ChatTemplate::parse(std::string_view source, const std::string& name) {
  auto program = std::make_shared<Program>();
  program->name = name;
  program->source = jinja::normalize_newlines(source);
  try {
    program->body = jinja::parse_template(program->source);
  } catch (const jinja::TemplateError& error) {
    throw UsageError(fmt::format("[template] {}. Use the template of a Qwen3-VL checkpoint.",
                                 program->describe(error)));
  }
  return ChatTemplate(std::move(program));
}

ChatTemplate ChatTemplate::load(const std::string& model_dir) {
  const std::filesystem::path folder(model_dir);
  const auto config = read_json(folder / "tokenizer_config.json");
  std::string name = "chat_template.jinja";
  std::optional<std::string> text = read_text(folder / name);
  if (!text) text = template_in(read_json(folder / (name = "chat_template.json")));
  if (!text) {
    name = "tokenizer_config.json";
    text = template_in(config);
  }
  if (!text) {
    throw UsageError(fmt::format(
        "[template] {}: wanted chat_template.jinja, chat_template.json or the key chat_template in "
        "tokenizer_config.json, found none. Copy the checkpoint's template there.",
        model_dir));
  }
  ChatTemplate parsed = parse(*text, (folder / name).string());
  auto program = std::const_pointer_cast<Program>(parsed.program_);
  for (const char* key : {"bos_token", "eos_token", "pad_token"}) {
    if (const auto token = config ? token_in(*config, key) : std::nullopt) {
      program->tokens.set(key, *token);
    }
  }
  return parsed;
}

Result<std::string> ChatTemplate::render(const Json& messages, const RenderOptions& options) const {
  try {
    jinja::Dict names = jinja::standard_globals();
    for (const auto& [name, token] : program_->tokens.items) names.set(name, token);
    names.set("messages", jinja::from_json(messages));
    names.set("tools", options.tools ? jinja::from_json(*options.tools) : jinja::Value());
    names.set("documents", jinja::Value());
    names.set("add_generation_prompt", options.add_generation_prompt);
    if (options.add_vision_id) names.set("add_vision_id", true);
    if (options.extra != nullptr) {
      for (const auto& [name, value] : options.extra->items()) {
        names.set(name, jinja::from_json(value));
      }
    }
    return jinja::evaluate(program_->body, std::move(names));
  } catch (const jinja::TemplateError& error) {
    return DataError{"template", program_->describe(error)};
  }
}

}  // namespace retinue::runtime
