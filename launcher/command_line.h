#pragma once

#include "launcher/option.h"

#include <span>
#include <string>
#include <string_view>

namespace retinue::launcher {

enum class Asked { kRun, kHelp };

/// Fills what the tables point at: first from the file of --config, then from the flags, so that
/// flags win. `--name value` and `--name=value`; a switch is the bare `--name`. An option given
/// twice keeps the last value; one that takes several collects them, and drops those of the file.
/// `--help` anywhere is answered before anything else is read.
/// Throws: UsageError on unknown flags and keys, naming the nearest known one; on values that do
/// not fit; on stray words; on what is required and absent.
Asked parse_command_line(std::string_view verb, std::span<const Table> tables,
                         std::span<const std::string> arguments);

/// The JSON object in `text`, as parse_command_line reads a file of --config; `file` names it.
void apply_config(std::span<const Table> tables, std::string_view text, std::string_view file);

/// The candidate that takes the fewest edits; one that begins with `name` comes first. Empty
/// without candidates.
std::string nearest(std::string_view name, std::span<const std::string> candidates);

}  // namespace retinue::launcher
