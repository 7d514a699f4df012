#pragma once

#include <nlohmann/json_fwd.hpp>

#include <string>

namespace retinue::study {

/// page.html with `data` in it: one file that opens offline and fetches nothing. It draws a study
/// from the content of study.json, or two studies from comparison_json (runtime/study/compare.h).
/// Text of `data` cannot act as markup, whatever it holds.
std::string page_of(const nlohmann::ordered_json& data);

}  // namespace retinue::study
