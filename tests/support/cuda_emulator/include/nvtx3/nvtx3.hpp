#pragma once

#include "cuda_emulator/ranges.h"

#include <cstdint>
#include <string>

/// The usual part of NVTX 3 for C++, recorded: cuda_emulator/ranges.h. Attributes other than the message are
/// taken and forgotten.
namespace nvtx3 {

struct domain {
  struct global {
    static constexpr char const* name = "";
  };
};

struct rgb {
  std::uint8_t r, g, b;
};
struct argb {
  std::uint8_t a, r, g, b;
};
struct color {
  constexpr explicit color(std::uint32_t) {}
  constexpr color(rgb) {}
  constexpr color(argb) {}
};
struct category {
  constexpr explicit category(std::uint32_t) {}
};
struct payload {
  template <class T>
  constexpr explicit payload(T) {}
};

/// A message that is registered once, with its domain.
template <class D = domain::global>
class registered_string_in {
 public:
  explicit registered_string_in(const char* text) : text_(text) {}
  explicit registered_string_in(std::string text) : text_(std::move(text)) {}
  template <class M>
  static const registered_string_in& get() {
    static const registered_string_in value(M::message);
    return value;
  }
  const char* text() const { return text_.c_str(); }

 private:
  std::string text_;
};
using registered_string = registered_string_in<>;

class event_attributes {
 public:
  template <class... More>
  explicit event_attributes(const char* text, const More&...) : text_(text) {}
  template <class... More>
  explicit event_attributes(const std::string& text, const More&...) : text_(text) {}
  template <class D, class... More>
  explicit event_attributes(const registered_string_in<D>& text, const More&...)
      : text_(text.text()) {}
  const char* text() const { return text_.c_str(); }

 private:
  std::string text_;
};

template <class D = domain::global>
class [[nodiscard]] scoped_range_in {
 public:
  explicit scoped_range_in(const event_attributes& attributes) {
    cuda_emulator::open_range(D::name, attributes.text());
  }
  template <class... Arguments>
  explicit scoped_range_in(const Arguments&... arguments)
      : scoped_range_in(event_attributes(arguments...)) {}
  scoped_range_in(const scoped_range_in&) = delete;
  scoped_range_in& operator=(const scoped_range_in&) = delete;
  ~scoped_range_in() { cuda_emulator::close_range(); }
};
using scoped_range = scoped_range_in<>;

template <class D = domain::global, class... Arguments>
void mark_in(const Arguments&... arguments) {
  cuda_emulator::record_mark(D::name, event_attributes(arguments...).text());
}
template <class... Arguments>
void mark(const Arguments&... arguments) {
  mark_in<domain::global>(arguments...);
}

}  // namespace nvtx3
