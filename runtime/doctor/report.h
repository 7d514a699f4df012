#pragma once

#include "runtime/doctor/facts.h"
#include "runtime/doctor/verdict.h"

#include <string>
#include <vector>

namespace retinue::runtime {

/// A line per finding with its advice below it, then what was not looked at, then the verdict.
std::string doctor_table(const DoctorFacts& facts, const std::vector<Finding>& findings);

/// One JSON object, schema_version first: verdict, findings, not_looked_at, and all facts: ranks,
/// clocks, sweeps with their points, pairs. Numbers that are not known are null.
std::string doctor_json(const DoctorFacts& facts, const std::vector<Finding>& findings);

}  // namespace retinue::runtime
