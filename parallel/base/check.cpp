#include "parallel/base/check.h"

#include <fmt/format.h>

namespace retinue {

BugError::BugError(std::string_view message, std::source_location where)
    : Error(fmt::format("{} ({}:{}). This is a bug in Retinue; please report it.", message,
                        where.file_name(), where.line())) {}

}  // namespace retinue
