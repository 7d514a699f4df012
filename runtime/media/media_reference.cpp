#include "runtime/media/media_reference.h"

#include <algorithm>

namespace retinue::runtime {

std::string MediaFile::name() const {
  if (path.starts_with("data:")) return path.substr(0, std::min<std::size_t>(path.find(','), 60));
  switch (place) {
    case MediaPlace::kWhole:
      return path;
    case MediaPlace::kRange:
      return path + ":" + member;
    case MediaPlace::kBase64:
      return member;
    case MediaPlace::kCell:
      return path + ":" + std::to_string(offset);
  }
  return path;
}

bool MediaReference::assumes_rate() const {
  return kind == MediaKind::kVideo && files.size() > 1 && fps <= 0.0;
}

}  // namespace retinue::runtime
