// Any bytes as tokenizer.json: a UsageError or a tokenizer that encodes and decodes without harm.
#include "parallel/base/check.h"
#include "runtime/text/detokenizer.h"
#include "runtime/text/tokenizer.h"

#include <cstddef>
#include <cstdint>
#include <string_view>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace retinue;
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  try {
    const auto tokenizer = runtime::Tokenizer::parse(bytes, "fuzz");
    const auto ids = tokenizer.encode(bytes.substr(0, 4096));
    const runtime::Detokenizer detokenizer(tokenizer.token_bytes(), tokenizer.special_flags());
    (void)detokenizer.decode(ids, false);
  } catch (const UsageError&) {
  }
  return 0;
}
