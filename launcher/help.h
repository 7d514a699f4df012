#pragma once

#include "launcher/option.h"
#include "launcher/options.h"

#include <span>
#include <string>

namespace retinue::launcher {

/// The text of `retinue --help`: the verbs.
std::string overall_help();
/// The text of `retinue VERB --help`: usage, and every option with its default.
std::string verb_help(const Verb& verb, std::span<const Table> tables);
/// The text of configs/README.md: every key of --config and every variable of the environment, from
/// the same tables. `retinue help --markdown` prints it.
std::string configs_readme();

}  // namespace retinue::launcher
