#pragma once

// Tested through tests/runtime/dataset/source_test.cpp.

#include "runtime/dataset/item.h"

namespace retinue::runtime {

/// Which texts the job has for all items: they come from a flag or from --config.
struct GivenTexts {
  bool prompt = false, system = false;
};

/// Decides, on the way to another sink, between the job's texts and those of an item, and counts who
/// won. What a table or the JSON of an archive holds (Item::prompt_is_data) gives way; a manifest's
/// line, a member .prompt and messages were written to ask, and win. So does the prompt of an item
/// that shows nothing: it is all that the item is.
class GivenTextsSink : public ItemSink {
 public:
  GivenTextsSink(GivenTexts given, ItemSink& next) : given_(given), next_(next) {}
  bool add(Item item) override;
  void passed_over(std::string_view what, std::string_view why) override {
    next_.passed_over(what, why);
  }

 private:
  GivenTexts given_;
  ItemSink& next_;
};

}  // namespace retinue::runtime
