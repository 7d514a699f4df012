#pragma once

#include <string>

namespace retinue::launcher {

/// `retinue info`: what this executable is and what it runs on. One object of JSON, or lines for
/// people; both from the same facts.
std::string info_text(bool json);

/// Processor, cores and memory of this machine, in a line; never its name.
std::string machine_text();

}  // namespace retinue::launcher
