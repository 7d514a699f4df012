#pragma once
// Tested through tests/runtime/study/study_test.cpp.

#include "runtime/study/report/summary.h"
#include "runtime/study/run/plan.h"

#include <nlohmann/json_fwd.hpp>

namespace retinue::study {

inline constexpr int kStudySchema = 1;  ///< schema_version of a study's files

nlohmann::ordered_json to_json(const Cell& cell);
nlohmann::ordered_json to_json(const Provenance& provenance);
/// Both throw UsageError or nlohmann's exceptions for JSON that to_json does not write.
Cell cell_from(const nlohmann::ordered_json& json);
Provenance provenance_from(const nlohmann::ordered_json& json);

/// A study with all results: study.json.
nlohmann::ordered_json to_json(const Study& study);

}  // namespace retinue::study
