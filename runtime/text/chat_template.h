#pragma once

#include "parallel/base/result.h"

#include <nlohmann/json_fwd.hpp>

#include <memory>
#include <string>
#include <string_view>

namespace retinue::runtime {

/// The inputs of a template beside the messages. Pointers are borrowed for the call.
struct RenderOptions {
  bool add_generation_prompt = true;
  bool add_vision_id = false;                     ///< "Image 1: " before an image
  const nlohmann::ordered_json* tools = nullptr;  ///< an array of function schemas
  const nlohmann::ordered_json* extra = nullptr;  ///< an object: further names for the template
};

/// The chat template of a checkpoint, run as transformers' apply_chat_template runs it: Jinja2 with
/// trim_blocks and lstrip_blocks, loop controls, raise_exception, and a tojson that neither escapes
/// nor sorts. Inheritance, includes and recursive loops are refused; case changes know ASCII only.
/// Immutable: any number of threads may render.
class ChatTemplate {
 public:
  /// chat_template.jinja in `model_dir`, else chat_template.json, else the key chat_template of
  /// tokenizer_config.json; of named templates the one called "default". bos_token, eos_token and
  /// pad_token of tokenizer_config.json are names that the template may use.
  /// Throws: UsageError where none of these exists, or the template does not parse, with line and
  ///   column.
  static ChatTemplate load(const std::string& model_dir);

  /// Parses the template's text; `name` names it in messages.
  static ChatTemplate parse(std::string_view source, const std::string& name);

  ///   messages  an array of {role, content, …}, not normalised here: parse_messages() does that
  /// Errors: with line and column, where the template refuses the messages: its own
  ///   raise_exception, a field of something undefined, a value of the wrong type.
  [[nodiscard]] Result<std::string> render(const nlohmann::ordered_json& messages,
                                           const RenderOptions& options) const;

 private:
  struct Program;
  explicit ChatTemplate(std::shared_ptr<const Program> program);

  std::shared_ptr<const Program> program_;  // shared by copies; read only
};

}  // namespace retinue::runtime
