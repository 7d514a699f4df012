#pragma once

#include <nlohmann/json_fwd.hpp>

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace retinue::runtime {

/// Keeps apart the special tokens that a template writes and those that users write. Before the
/// template runs, a noncharacter that occurs in no string is put behind the first character of
/// whatever could begin a special token in the users' strings: the first two characters of one,
/// anywhere, or the first alone at the end, where the template may go on with the rest.
class SpecialMarks {
 public:
  /// Empty when all 32 noncharacters U+FDD0 … U+FDEF occur in the strings already.
  static std::optional<SpecialMarks> choose(
      const std::vector<std::string>& special_tokens,
      const std::vector<const nlohmann::ordered_json*>& inputs);

  /// A copy with marks in all keys and strings; malformed UTF-8 replaced.
  [[nodiscard]] nlohmann::ordered_json mark(const nlohmann::ordered_json& input) const;

  /// Takes the marks out of `text` again.
  /// Returns: the byte offsets, in the new text, of the characters before them, ascending.
  [[nodiscard]] std::vector<std::size_t> unmark(std::string& text) const;

 private:
  [[nodiscard]] std::string mark_text(std::string_view text) const;

  std::vector<std::string> specials_;
  std::string mark_;
};

}  // namespace retinue::runtime
