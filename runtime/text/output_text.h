#pragma once

#include "runtime/text/detokenizer.h"

#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace retinue::runtime {

/// Text of a growing output, cut before the first stop text that appears in it.
///   stops  none may be empty
class OutputText {
 public:
  OutputText(Detokenizer detokenizer, std::vector<std::string> stops);

  /// Takes all output ids so far; true when a stop text is complete. What earlier calls brought is
  /// not read again.
  bool update(std::span<const std::int32_t> ids);

  /// Text that nothing to come can take back, since the last call: a stop text that has begun is
  /// held.
  [[nodiscard]] std::string take();

  /// No more ids: the rest of the text that take() has not given.
  [[nodiscard]] std::string finish();

  /// All text so far, up to the stop text.
  [[nodiscard]] const std::string& text() const { return text_; }

 private:
  bool append(const std::string& more);

  DetokenizerStream stream_;
  std::vector<std::string> stops_;
  std::string text_;
  std::size_t ids_ = 0;    ///< read
  std::size_t taken_ = 0;  ///< bytes given out
  std::size_t longest_ = 0;
  bool stopped_ = false;
};

}  // namespace retinue::runtime
