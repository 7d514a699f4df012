#pragma once

#include <cstdlib>
#include <string>

namespace retinue::test {

/// The folder that holds tests/golden and configs: the checkout that was built, or, where a test
/// runs on another host, the folder that RETINUE_TEST_SOURCE names.
inline std::string source_folder() {
  const char* moved = std::getenv("RETINUE_TEST_SOURCE");
  return moved != nullptr ? moved : RETINUE_SOURCE_DIR;
}

}  // namespace retinue::test
