#pragma once

#include <string>
#include <string_view>

namespace retinue::runtime {

/// A Content-Security-Policy that runs the one `<script>` and the one `<style>` of `page`, by their
/// hashes, and loads nothing. A page that shows images or asks its server adds what it needs.
std::string policy_of_page(std::string_view page);

}  // namespace retinue::runtime
