#include "runtime/text/output_text.h"

#include "parallel/base/check.h"

#include <algorithm>
#include <utility>

namespace retinue::runtime {

OutputText::OutputText(Detokenizer detokenizer, std::vector<std::string> stops)
    : stream_(std::move(detokenizer)), stops_(std::move(stops)) {
  for (const std::string& stop : stops_) {
    check(!stop.empty(), "a stop text is not empty");
    longest_ = std::max(longest_, stop.size());
  }
}

bool OutputText::append(const std::string& more) {
  // A stop text may begin in earlier text.
  const std::size_t from = text_.size() - std::min(text_.size(), longest_);
  text_ += more;
  std::size_t first = std::string::npos;
  for (const std::string& stop : stops_) first = std::min(first, text_.find(stop, from));
  if (first == std::string::npos) return false;
  text_.resize(first);
  return stopped_ = true;
}

bool OutputText::update(std::span<const std::int32_t> ids) {
  while (!stopped_ && ids_ < ids.size()) append(stream_.push(ids[ids_++]));
  return stopped_;
}

std::string OutputText::take() {
  std::size_t safe = text_.size();
  if (!stopped_)
    for (const std::string& stop : stops_)
      for (std::size_t held = std::min(stop.size() - 1, text_.size()); held > 0; --held)
        if (std::string_view(text_).ends_with(std::string_view(stop).substr(0, held))) {
          safe = std::min(safe, text_.size() - held);
          break;
        }
  if (safe <= taken_) return {};
  const std::size_t from = std::exchange(taken_, safe);
  return text_.substr(from, safe - from);
}

std::string OutputText::finish() {
  if (!stopped_) append(stream_.finish());
  return text_.substr(std::min(std::exchange(taken_, text_.size()), text_.size()));
}

}  // namespace retinue::runtime
