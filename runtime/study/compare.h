#pragma once

#include "runtime/study/study.h"

#include <nlohmann/json_fwd.hpp>

#include <string>
#include <vector>

namespace retinue::study {

/// A case that is in both studies.
struct ComparedCase {
  std::string name;
  double before_s = 0, after_s = 0;  ///< makespans, medians
  double ratio = 1;                  ///< rate after / rate before: above 1 is faster
  double least = 1, most = 1;        ///< over all pairs of trials
  int trials = 0;                    ///< in the study with fewer
  /// Both studies have three trials or more, and all pairs are on one side of 1.
  [[nodiscard]] bool differs() const { return trials >= 3 && (least > 1 || most < 1); }
  /// "faster", "slower", "no clear difference".
  [[nodiscard]] const char* verdict() const;
};
struct Comparison {
  std::vector<ComparedCase> cases;
  std::vector<std::string> remarks;  ///< other machines, builds, numerics; cases of one study only
};

/// Throws: UsageError naming every reason why rates cannot be compared: other models or flags, a
/// study that is not complete, no case in common.
Comparison compare(const Study& before, const Study& after);

std::string comparison_table(const Comparison& comparison);
/// A comparison as report/page.h draws it.
nlohmann::ordered_json comparison_json(const Comparison& comparison, const Study& before,
                                       const Study& after);

}  // namespace retinue::study
