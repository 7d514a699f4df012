#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

namespace retinue::runtime {

/// Ids to text.  transformers: PreTrainedTokenizerFast.decode with clean_up_tokenization_spaces
/// false. Bytes of the ids are joined before they are read as UTF-8; malformed ones give U+FFFD,
/// once per maximal subpart, as Python's errors="replace". Immutable: any number of threads may
/// decode.
class Detokenizer {
 public:
  /// The bytes of each token, and which tokens are special. Both are indexed by id and equally
  /// long.
  Detokenizer(std::vector<std::string> token_bytes, std::vector<bool> special);

  /// Ids without a token (padding rows of the vocabulary) give no text, as in the reference.
  [[nodiscard]] std::string decode(std::span<const std::int32_t> ids,
                                   bool skip_special_tokens = true) const;

  /// The bytes of one id; empty for an id without a token, or a special one that is skipped.
  [[nodiscard]] const std::string& bytes(std::int32_t id, bool skip_special_tokens) const;

 private:
  struct Table {
    std::vector<std::string> bytes;
    std::vector<bool> special;
    std::string none;
  };
  std::shared_ptr<const Table> table_;  // streams outlive the caller's copy
};

/// Decodes ids that arrive one by one. A character that is split between tokens is held back until
/// it is whole, so that the parts, joined, equal decode() of all ids.
class DetokenizerStream {
 public:
  explicit DetokenizerStream(Detokenizer detokenizer, bool skip_special_tokens = true);

  /// The text that `id` completes; may be empty.
  [[nodiscard]] std::string push(std::int32_t id);

  /// The text still held back, with U+FFFD for what is incomplete. The stream is empty afterwards.
  [[nodiscard]] std::string finish();

 private:
  Detokenizer detokenizer_;
  bool skip_special_tokens_;
  std::string pending_;
};

}  // namespace retinue::runtime
