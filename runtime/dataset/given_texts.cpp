#include "runtime/dataset/given_texts.h"

#include <utility>

namespace retinue::runtime {

bool GivenTextsSink::add(Item item) {
  const auto decide = [&](const char* flag, const char* of_data, bool gives_way,
                          std::optional<std::string>& own) {
    if (own && gives_way) {
      own.reset();
      next_.passed_over(of_data, "a flag of the same name is given, and wins");
    } else if (own || !item.messages.empty()) {
      next_.passed_over(flag, "the items have texts of their own, which win");
    }
  };
  if (!item.error) {
    if (given_.prompt)
      decide("--prompt not used", "prompt in the data", item.prompt_is_data && !item.media.empty(),
             item.prompt);
    if (given_.system)
      decide("--system not used", "system in the data", item.system_is_data, item.system);
  }
  return next_.add(std::move(item));
}

}  // namespace retinue::runtime
