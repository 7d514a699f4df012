#pragma once

// Tested through tests/runtime/text/chat_template_test.cpp.

#include "runtime/text/jinja/value.h"

#include <cstddef>
#include <string_view>

namespace retinue::runtime::jinja {

inline constexpr std::size_t kMaxBytes = std::size_t{64} << 20U;  ///< of one text
inline constexpr std::size_t kMaxItems = std::size_t{1} << 20U;   ///< of one list

/// Bounds the work of one rendering. A template is foreign code, and one expression may cost
/// anything: a list that holds itself twice, sixty times over, has 2^60 parts; a search may compare
/// every pair of characters. So each operation charges its cost: before the work, or, where the work is
/// linear in texts that exist, right after it.
///
/// A meter counts for the thread that makes it, while it lives. Without a meter, charges count
/// nothing: values are also made and compared outside of renderings.
class WorkMeter {
 public:
  static constexpr std::size_t kMaxSteps = 5'000'000;

  WorkMeter();
  ~WorkMeter();
  WorkMeter(const WorkMeter&) = delete;
  WorkMeter& operator=(const WorkMeter&) = delete;

 private:
  std::size_t steps_ = 0;
  WorkMeter* outer_;
  friend void charge(std::size_t steps);
};

/// Throws, as all below: TemplateError where the rendering has taken kMaxSteps.
void charge(std::size_t steps);
/// A pass over so many bytes of text.
void charge_bytes(std::size_t bytes);
/// A pass over one text for each byte of another.
void charge_product(std::size_t bytes, std::size_t other_bytes);
/// A copy of a list; it shares lists and dicts, and copies texts.
void charge_copy(const List& list);
/// A copy of a value.
void charge_copy(const Value& value);

/// As text.find(part, from), but linear in the lengths.
std::size_t find_charged(std::string_view text, std::string_view part, std::size_t from = 0);

}  // namespace retinue::runtime::jinja
