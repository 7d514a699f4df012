#pragma once

#include <vector>

namespace retinue {

/// The middle value, or the mean of the two middle ones; 0 where there is none.
double median(std::vector<double> values);

/// The middle value, or the larger of the two middle ones, so that it is always a measured value.
/// 0 where there is none.
double upper_median(std::vector<double> values);

}  // namespace retinue
