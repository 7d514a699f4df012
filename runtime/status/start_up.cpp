#include "runtime/status/start_up.h"

#include <fmt/format.h>

#include <algorithm>

namespace retinue::runtime {

StartUp& StartUp::operator+=(const StartUp& other) {
  launch_s = std::max(launch_s, other.launch_s);
  communicators_s = std::max(communicators_s, other.communicators_s);
  weights_s = std::max(weights_s, other.weights_s);
  weights_read_bytes += other.weights_read_bytes;
  weights_exchanged_bytes += other.weights_exchanged_bytes;
  if (first_caption_s < 0 ||
      (other.first_caption_s >= 0 && other.first_caption_s < first_caption_s))
    first_caption_s = other.first_caption_s;
  return *this;
}

std::string StartUp::to_string() const {
  const auto gigabytes = [](double bytes) { return fmt::format("{:.3f} GB", bytes * 1e-9); };
  std::string text = fmt::format(
      "launch {:.2f} s, communicators {:.2f} s, weights {:.2f} s ({} read at {}/s, {} "
      "exchanged)",
      launch_s, communicators_s, weights_s, gigabytes(static_cast<double>(weights_read_bytes)),
      gigabytes(weights_bytes_per_s()), gigabytes(static_cast<double>(weights_exchanged_bytes)));
  if (first_caption_s >= 0) text += fmt::format(", first caption after {:.2f} s", first_caption_s);
  return text;
}

}  // namespace retinue::runtime
