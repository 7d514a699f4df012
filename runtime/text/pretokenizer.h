#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace retinue::runtime {

/// The Split pattern of Qwen's tokenizer.json, the only one that `next_piece_end` follows.
inline constexpr std::string_view kQwenSplitPattern =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|)"
    R"(\s*[\r\n]+|\s+(?!\S)|\s+)";

/// Canonical composition (NFC, Unicode Standard Annex 15) as in Hugging Face's tokenizers: with the
/// data of Unicode 9, so that later characters are not changed.
///   text  well-formed UTF-8
/// Linear up to sorting: a long run of combining marks costs n log n.
std::string normalize_nfc(std::string_view text);

/// End of the piece that begins at byte `at`: the pieces of kQwenSplitPattern cover a text without
/// gaps, and merges never cross them.  tokenizers: pre_tokenizers::Split, behavior Isolated
///   text  well-formed UTF-8, in NFC; its end is the end of text for `(?!\S)`
///   at    the begin of a piece, less than text.size()
std::size_t next_piece_end(std::string_view text, std::size_t at);

}  // namespace retinue::runtime
