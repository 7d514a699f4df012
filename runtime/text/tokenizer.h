#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace retinue::runtime {

/// The meaning of a special token's text, such as `<|image_pad|>`, within a text.
enum class SpecialText {
  kTokens,  ///< the special token; for text that a template made
  kPlain,   ///< some nine ordinary tokens; for text of a user
};

/// Byte-level BPE of Qwen, from a checkpoint's tokenizer.json.  tokenizers: Tokenizer.encode with
/// add_special_tokens=False. Added tokens are cut out of the raw text, longest match first; the
/// rest goes through NFC, the Qwen split and the merges. Immutable: any number of threads may
/// encode.
class Tokenizer {
 public:
  /// Throws: UsageError, with file and key, when the file is missing, malformed or describes
  ///   another pipeline.
  static Tokenizer load(const std::string& path);

  /// The same from the file's text; `name` names it in messages.
  static Tokenizer parse(std::string_view json, const std::string& name);

  /// Malformed UTF-8 reads as U+FFFD, as Python's errors="replace". Added tokens that are not
  /// flagged special (<tool_call>, <think>) are tokens under either rule, as in the reference.
  [[nodiscard]] std::vector<std::int32_t> encode(std::string_view text,
                                                 SpecialText rule = SpecialText::kTokens) const;

  /// Special tokens are tokens, except those that begin at one of `plain_at`: byte offsets into
  /// `text`, ascending. `text` is well-formed UTF-8. SpecialMarks::unmark gives these offsets.
  [[nodiscard]] std::vector<std::int32_t> encode(std::string_view text,
                                                 std::span<const std::size_t> plain_at) const;

  /// The id of an added token or of a vocabulary entry in its file form ("Ġworld").
  [[nodiscard]] std::optional<std::int32_t> token_to_id(std::string_view token) const;

  /// The token of an id in its file form; empty for an id without a token.
  [[nodiscard]] std::string_view id_to_token(std::int32_t id) const;

  /// All ids are smaller. A model may have more rows (Qwen3-VL: 151669 ids, 151936 rows).
  [[nodiscard]] std::int32_t vocab_size() const;

  /// Whether the added token is flagged special, which skip_special_tokens drops.
  [[nodiscard]] bool is_special(std::int32_t id) const;

  /// The texts of the tokens flagged special.
  [[nodiscard]] std::vector<std::string> special_tokens() const;

  /// For the detokeniser, by id: the token's bytes, and whether it is special.
  [[nodiscard]] std::vector<std::string> token_bytes() const;
  [[nodiscard]] std::vector<bool> special_flags() const;

 private:
  struct Tables;
  explicit Tokenizer(std::shared_ptr<const Tables> tables);

  std::shared_ptr<const Tables> tables_;  // shared by copies; read only
};

}  // namespace retinue::runtime
