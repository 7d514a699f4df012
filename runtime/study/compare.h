#pragma once

#include "runtime/study/study.h"

#include <nlohmann/json_fwd.hpp>

#include <string>
#include <vector>

namespace retinue::study {

/// A case that both studies have.
struct ComparedCase {
  std::string name;
  double before_s = 0, after_s = 0;  ///< makespans, medians
  double ratio = 1;                  ///< of rates, after / before: above 1 is faster
  double least = 1, most = 1;        ///< of all pairs of trials
  int trials = 0;                    ///< of the study with fewer
  /// All pairs of at least three trials each lie on one side of 1.
  [[nodiscard]] bool differs() const { return trials >= 3 && (least > 1 || most < 1); }
  /// "faster", "slower", "no clear difference".
  [[nodiscard]] const char* verdict() const;
};
struct Comparison {
  std::vector<ComparedCase> cases;
  std::vector<std::string> remarks;  ///< other machines, builds, numerics; cases of one only
};

/// Throws: UsageError naming each thing in which they differ that makes rates say nothing: the
/// model, what runs were asked, how many items; a study that is not complete; no case in common.
Comparison compare(const Study& before, const Study& after);

std::string comparison_table(const Comparison& comparison);
/// What report/page.h draws of a comparison.
nlohmann::ordered_json comparison_json(const Comparison& comparison, const Study& before,
                                       const Study& after);

}  // namespace retinue::study
