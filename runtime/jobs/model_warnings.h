#pragma once

// Tested through tests/runtime/jobs/model_files_test.cpp.

#include "runtime/jobs/options.h"

#include <string>
#include <vector>

namespace retinue::runtime {

/// What in a checkpoint folder is served and may not be what its owner expects: a whole file beside
/// an index, float16, tie_word_embeddings that differs between the levels. One line each, for the
/// log. The folder has been loaded before, so that its files parse.
std::vector<std::string> model_warnings(const RunOptions& options);

}  // namespace retinue::runtime
