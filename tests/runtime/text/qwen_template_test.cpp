#include "parallel/base/hash.h"
#include "tests/runtime/text/template_golden.h"

// On the real template: registered only where it is found.
namespace retinue::runtime {
namespace {

TEST(QwenChatTemplate, RendersAsTransformers) {
  const std::string folder = std::string(RETINUE_TEST_DATA) + "/qwen3-vl";
  ASSERT_EQ(sha256_hex(read_file(folder + "/chat_template.jinja")),
            template_goldens()["qwen_sha256"].get<std::string>());
  expect_chats_of_reference(ChatTemplate::load(folder), "qwen");
}

}  // namespace
}  // namespace retinue::runtime
