#pragma once

#include "launcher/option.h"

#include <span>
#include <string>
#include <string_view>

namespace retinue::launcher {

enum class Asked { kRun, kHelp };

/// Fills the members that the tables point at: first from the file of --config, then from the
/// flags, so that flags win. Flags read `--name value` or `--name=value`; a switch is the bare
/// `--name`. An option given twice keeps the last value; one that takes several values collects
/// them, and drops those of the file. `--help` anywhere wins before anything else is read.
/// Throws: UsageError for unknown flags and keys, naming the nearest known one; for values that do
/// not fit; for arguments that are no flag; for required options that are absent.
Asked parse_command_line(std::string_view verb, std::span<const Table> tables,
                         std::span<const std::string> arguments);

/// The JSON object in `text`, as parse_command_line reads a file of --config; `file` names it.
void apply_config(std::span<const Table> tables, std::string_view text, std::string_view file);

/// The candidate with the fewest edits; one that begins with `name` comes first. Empty without
/// candidates.
std::string nearest(std::string_view name, std::span<const std::string> candidates);

}  // namespace retinue::launcher
