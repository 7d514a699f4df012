#pragma once

// Tested through tests/runtime/text/tokenizer_test.cpp.

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace retinue::runtime::detail {

/// The content of a tokenizer.json, in its order. Pipeline and ids are checked; whether the lists
/// fit each other is not.
struct TokenizerFile {
  struct AddedToken {
    std::string content;
    std::int32_t id = 0;
    bool special = false;
  };
  std::vector<std::pair<std::string, std::int32_t>> vocab;
  std::vector<std::pair<std::string, std::string>> merges;
  std::vector<AddedToken> added;
};

/// Throws: UsageError with `name` and the key, where the text is no such file or describes another
///   pipeline.
TokenizerFile parse_tokenizer_file(std::string_view json, const std::string& name);

/// Throws the UsageError for a key of a tokenizer.json.
[[noreturn]] void refuse_tokenizer(const std::string& name, std::string_view key,
                                   std::string_view what);

}  // namespace retinue::runtime::detail
