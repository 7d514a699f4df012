#pragma once

// Tested through tests/runtime/text/pretokenizer_test.cpp.

#include <cstdint>

namespace retinue::runtime {

/// The class of a code point that the pre-tokeniser asks for: \p{L}, \p{N}, \s or none of them.
enum class UnicodeClass : std::uint8_t { kOther = 0, kLetter = 1, kNumber = 2, kSpace = 3 };

/// Facts of one code point, as Hugging Face's tokenizers sees them: classes of Unicode 16,
/// canonical composition of Unicode 9. Own tables, because the system's utf8proc has another
/// version.
struct UnicodeFacts {
  UnicodeClass kind = UnicodeClass::kOther;
  bool composes = false;  ///< may take part in NFC; others are walls that nothing moves across
  bool unstable = false;  ///< text without such a character is in NFC already
};

UnicodeFacts unicode_facts(char32_t code_point);

}  // namespace retinue::runtime
