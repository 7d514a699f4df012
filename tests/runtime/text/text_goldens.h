#pragma once

#include "runtime/text/tokenizer.h"

#include <string>

namespace retinue::runtime {

/// tests/golden/text/`name`.
std::string text_golden(const std::string& name);

std::string read_file(const std::string& path);

/// The small tokenizer that is committed with the goldens.
const Tokenizer& own_tokenizer();

/// The real one, unpacked by the build; only tests that CMake registers with it may ask.
const Tokenizer& qwen_tokenizer();

}  // namespace retinue::runtime
