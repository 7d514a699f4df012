#pragma once

#include <string>
#include <string_view>

namespace retinue::runtime {

/// page.html, whole: its script, its style and nothing of others.
extern const std::string_view kPage;

/// The Content-Security-Policy under which `page` works and nothing that might slip into it does:
/// its <script> and <style> by their hashes, pictures and answers from where it came from.
std::string policy_of_page(std::string_view page);

}  // namespace retinue::runtime
