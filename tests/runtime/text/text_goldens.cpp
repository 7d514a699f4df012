#include "tests/runtime/text/text_goldens.h"

#include "parallel/base/check.h"

#include <fstream>
#include <iterator>

namespace retinue::runtime {

std::string text_golden(const std::string& name) {
  return std::string(RETINUE_SOURCE_DIR) + "/tests/golden/text/" + name;
}

std::string read_file(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  check(static_cast<bool>(file), "cannot open " + path);
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

const Tokenizer& own_tokenizer() {
  static const Tokenizer tokenizer = Tokenizer::load(text_golden("tokenizer/tokenizer.json"));
  return tokenizer;
}

const Tokenizer& qwen_tokenizer() {
  static const Tokenizer tokenizer =
      Tokenizer::load(std::string(RETINUE_BINARY_DIR) + "/test_data/qwen/tokenizer.json");
  return tokenizer;
}

}  // namespace retinue::runtime
