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
  /// Both by id and of one length: the bytes of each token, and which tokens are special.
  Detokenizer(std::vector<std::string> token_bytes, std::vector<bool> special);

  /// Ids without a token (the padding rows of a vocabulary) give nothing, as in the reference.
  [[nodiscard]] std::string decode(std::span<const std::int32_t> ids,
                                   bool skip_special_tokens = true) const;

  /// Bytes of one id; empty for one without a token, or a special one to be skipped.
  [[nodiscard]] const std::string& bytes(std::int32_t id, bool skip_special_tokens) const;

 private:
  struct Table {
    std::vector<std::string> bytes;
    std::vector<bool> special;
    std::string none;
  };
  std::shared_ptr<const Table> table_;  // streams outlive the caller's copy
};

/// Text of ids that arrive one by one. A character cut between tokens is held back until it is
/// whole, so that the parts, joined, equal decode() of all ids.
class DetokenizerStream {
 public:
  explicit DetokenizerStream(Detokenizer detokenizer, bool skip_special_tokens = true);

  /// The text that `id` completes; may be empty.
  [[nodiscard]] std::string push(std::int32_t id);

  /// What is still held back, replaced; the stream is empty afterwards.
  [[nodiscard]] std::string finish();

 private:
  Detokenizer detokenizer_;
  bool skip_special_tokens_;
  std::string pending_;
};

}  // namespace retinue::runtime
