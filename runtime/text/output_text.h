#pragma once

#include "runtime/text/detokenizer.h"

#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace retinue::runtime {

/// The text of an output that grows, cut before the first stop text that appears in it.
class OutputText {
 public:
  ///   stops  stop texts, none of them empty
  OutputText(Detokenizer detokenizer, std::vector<std::string> stops);

  /// Takes all output ids so far and reads those that are new; true when a stop text is complete.
  bool update(std::span<const std::int32_t> ids);

  /// The text since the last call that is final. The begin of a possible stop text is held back.
  [[nodiscard]] std::string take();

  /// Ends the output: the rest of the text, which take() has not given.
  [[nodiscard]] std::string finish();

  /// All text so far, up to the stop text.
  [[nodiscard]] const std::string& text() const { return text_; }

 private:
  bool append(const std::string& more);

  DetokenizerStream stream_;
  std::vector<std::string> stops_;
  std::string text_;
  std::size_t ids_ = 0;    ///< ids read so far
  std::size_t taken_ = 0;  ///< bytes that take() has given
  std::size_t longest_ = 0;
  bool stopped_ = false;
};

}  // namespace retinue::runtime
