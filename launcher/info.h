#pragma once

#include <string>

namespace retinue::launcher {

/// `retinue info`: this executable and its machine, as one object of JSON or as lines for people.
std::string info_text(bool json);

/// Processor, cores and memory of this machine, in a line, without its name.
std::string machine_text();

}  // namespace retinue::launcher
