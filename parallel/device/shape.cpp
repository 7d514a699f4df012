#include "parallel/device/shape.h"

#include <fmt/format.h>

namespace retinue {

std::string Shape::to_string() const {
  std::string text = "[";
  for (int i = 0; i < rank_; ++i)
    text += fmt::format("{}{}", i == 0 ? "" : ", ", dims_[static_cast<std::size_t>(i)]);
  return text + "]";
}

}  // namespace retinue
