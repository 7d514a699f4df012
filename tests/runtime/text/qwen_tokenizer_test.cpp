#include "tests/runtime/text/tokenizer_golden.h"

#include <gmock/gmock.h>

// On the real file: registered only where it is found.
namespace retinue::runtime {
namespace {

using testing::ElementsAre;

TEST(QwenTokenizer, IdsEqualReference) { expect_ids_of_reference(qwen_tokenizer(), 0); }

TEST(QwenTokenizer, TextEqualsReference) { expect_text_of_reference(qwen_tokenizer(), 0); }

TEST(QwenTokenizer, GivesThePublishedIds) {
  const Tokenizer& t = qwen_tokenizer();
  EXPECT_EQ(t.vocab_size(), 151669);
  EXPECT_THAT(t.encode("Hello world"), ElementsAre(9707, 1879));
  EXPECT_THAT(t.encode(" Hello world"), ElementsAre(21927, 1879));
  EXPECT_THAT(t.encode("Describe this image."), ElementsAre(74785, 419, 2168, 13));
  EXPECT_THAT(t.encode("<|im_start|>user\n<|vision_start|><|image_pad|><|vision_end|>Describe this "
                       "image.<|im_end|>\n<|im_start|>assistant\n"),
              ElementsAre(151644, 872, 198, 151652, 151655, 151653, 74785, 419, 2168, 13, 151645,
                          198, 151644, 77091, 198));
  EXPECT_THAT(t.encode("I'm  don't\n\n  x\t1234 e\u0301 é ﬁ 🚲"),
              ElementsAre(40, 2776, 220, 1513, 944, 271, 220, 856, 197, 16, 17, 18, 19, 3958, 3958,
                          32495, 70731, 11162, 248, 110));
  EXPECT_THAT(t.encode("<0.3 seconds>"), ElementsAre(27, 15, 13, 18, 6486, 29));
  EXPECT_EQ(t.special_tokens().size(), 14U);
}

}  // namespace
}  // namespace retinue::runtime
