#pragma once

#include <vector>

namespace retinue {

/// The middle value, or the mean of the two middle ones; 0 of nothing.
double median(std::vector<double> values);

/// The middle value, or the larger of the two middle ones: always a value that was measured, and of
/// two rates the better one, so that the other can be found wanting. 0 of nothing.
double upper_median(std::vector<double> values);

}  // namespace retinue
