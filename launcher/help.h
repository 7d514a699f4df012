#pragma once

#include "launcher/option.h"
#include "launcher/options.h"

#include <span>
#include <string>

namespace retinue::launcher {

/// `retinue --help`: the verbs.
std::string overall_help();
/// `retinue VERB --help`: how it is called, and every option with its default.
std::string verb_help(const Verb& verb, std::span<const Table> tables);
/// configs/README.md: every key of --config and every variable of the environment, from the same
/// tables. `retinue help --markdown` prints it.
std::string configs_readme();

}  // namespace retinue::launcher
