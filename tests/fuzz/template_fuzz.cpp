// Any bytes as a chat template: a UsageError, a DataError or a text.
#include "runtime/text/chat_template.h"

#include <nlohmann/json.hpp>

#include <cstddef>
#include <cstdint>
#include <string_view>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace retinue;
  static const auto kMessages = nlohmann::ordered_json::parse(
      R"([{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": "é<|x"}]},
          {"role": "assistant", "content": "a</think>b", "tool_calls": [{"name": "f", "arguments": {"x": 1.5}}]}])");
  try {
    const auto parsed =
        runtime::ChatTemplate::parse({reinterpret_cast<const char*>(data), size}, "fuzz");
    (void)parsed.render(kMessages, {}).ok();
  } catch (const UsageError&) {
  }
  return 0;
}
