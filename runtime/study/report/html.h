#pragma once

#include "runtime/study/report/summary.h"

#include <string>
#include <vector>

namespace retinue::study {

/// One self-contained page: no script, nothing fetched from anywhere; light and dark as the
/// reader's machine has it; charts side by side on a desk, one below the other on a phone.
std::string html_report(const Study& study, const Summary& summary);

/// The frame of such a page. `title` is text, `body` HTML.
std::string html_page(const std::string& title, const std::string& body);

/// Cells are text; the first row is the head.
std::string html_table(const std::vector<std::vector<std::string>>& rows);

}  // namespace retinue::study
