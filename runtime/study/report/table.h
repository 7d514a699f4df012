#pragma once
// Tested through tests/runtime/study/study_test.cpp.

#include "runtime/study/report/summary.h"

#include <string>

namespace retinue::study {

/// A table for a terminal: a line per case, what limits it, and how well the model predicts it.
std::string table(const Study& study, const Summary& summary, const std::string& folder);

/// A line of figures per run; the first line names the columns.
std::string csv(const Study& study);

/// A number with so many digits after the point. One that rounds to zero has no minus.
std::string decimal(double value, int digits);

/// "31 %", or "-" for none.
std::string percent(const std::optional<double>& value);

}  // namespace retinue::study
