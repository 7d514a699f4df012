#pragma once
// Tested through tests/runtime/monitor/monitor_test.cpp.

#include <string_view>

namespace retinue::runtime {

/// page.html with its script and its style in it.
extern const std::string_view kPage;

}  // namespace retinue::runtime
