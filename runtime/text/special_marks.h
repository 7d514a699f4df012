#pragma once

// Tested through tests/runtime/text/prompt_test.cpp.

#include <nlohmann/json_fwd.hpp>

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace retinue::runtime {

/// Separates special tokens that a template writes from those that users write. Before the template
/// runs, a mark is put into the users' strings wherever a special token could begin: behind its
/// first character, where its second follows or the string ends (the template may write the rest).
/// The mark is a noncharacter that occurs in no string.
class SpecialMarks {
 public:
  /// Nothing when all 32 noncharacters U+FDD0 … U+FDEF already occur in the strings.
  static std::optional<SpecialMarks> choose(
      const std::vector<std::string>& special_tokens,
      const std::vector<const nlohmann::ordered_json*>& inputs);

  /// A copy with marks in all keys and strings; malformed UTF-8 is replaced.
  [[nodiscard]] nlohmann::ordered_json mark(const nlohmann::ordered_json& input) const;

  /// Removes the marks from `text`.
  ///   returns  byte offsets, in the new text, of the characters before the marks, ascending
  [[nodiscard]] std::vector<std::size_t> unmark(std::string& text) const;

 private:
  [[nodiscard]] std::string mark_text(std::string_view text) const;

  std::vector<std::string> specials_;
  std::string mark_;
};

}  // namespace retinue::runtime
