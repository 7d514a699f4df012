#include "runtime/text/jinja/work.h"

#include <cstring>

namespace retinue::runtime::jinja {
namespace {

thread_local WorkMeter* current = nullptr;

constexpr std::size_t kBytesPerStep = 256;
constexpr std::size_t kItemsPerStep = 16;

std::size_t bytes_of(const Value& value) { return value.text() ? value.text()->size() : 0; }

}  // namespace

WorkMeter::WorkMeter() : outer_(current) { current = this; }
WorkMeter::~WorkMeter() { current = outer_; }

void charge(std::size_t steps) {
  if (current == nullptr) return;
  if (steps > WorkMeter::kMaxSteps - current->steps_)
    throw TemplateError("the template runs for too long");
  current->steps_ += steps;
}

void charge_bytes(std::size_t bytes) { charge(bytes / kBytesPerStep); }

void charge_product(std::size_t bytes, std::size_t other_bytes) {
  charge_bytes(bytes);
  // Rounded, so that the product stays within 64 bits: texts have at most 64 MiB.
  charge((bytes / kItemsPerStep) * (other_bytes / kItemsPerStep));
}

void charge_copy(const List& list) {
  std::size_t bytes = 0;
  for (const Value& item : list) bytes += bytes_of(item);
  charge(list.size() / kItemsPerStep);
  charge_bytes(bytes);
}

void charge_copy(const Value& value) { charge_bytes(bytes_of(value)); }

std::size_t find_charged(std::string_view text, std::string_view part, std::size_t from) {
  if (from > text.size()) return std::string_view::npos;
  // std::string::find compares every pair of characters at worst; glibc's memmem is linear.
  const void* found = memmem(text.data() + from, text.size() - from, part.data(), part.size());
  const std::size_t at =
      found == nullptr ? std::string_view::npos
                       : static_cast<std::size_t>(static_cast<const char*>(found) - text.data());
  charge_bytes((found == nullptr ? text.size() : at) - from + part.size());
  return at;
}

}  // namespace retinue::runtime::jinja
