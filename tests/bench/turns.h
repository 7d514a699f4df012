#pragma once

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <fcntl.h>
#include <functional>
#include <string>
#include <unistd.h>
#include <vector>

namespace retinue::bench {

/// One of several ways to process the same bytes.
struct Way {
  std::string name;
  double bytes;  ///< processed by one call of `body`
  std::function<void()> body;
  std::vector<double> seconds = {};  ///< ascending; without the warm-up

  [[nodiscard]] double median_s() const { return seconds[seconds.size() / 2]; }
  [[nodiscard]] double least_s() const { return seconds.front(); }
  [[nodiscard]] double most_s() const { return seconds.back(); }
  /// Median bytes/s.
  [[nodiscard]] double rate() const { return bytes / median_s(); }
};

/// Runs the ways in turns, so that a slow minute of the machine affects all alike: one round to
/// warm up, then `rounds` rounds.
inline void time_in_turns(std::vector<Way>& ways, int rounds) {
  for (int round = -1; round < rounds; ++round)
    for (Way& way : ways) {
      const auto start = std::chrono::steady_clock::now();
      way.body();
      const std::chrono::duration<double> taken = std::chrono::steady_clock::now() - start;
      if (round >= 0) way.seconds.push_back(taken.count());
    }
  for (Way& way : ways) std::ranges::sort(way.seconds);
}

/// Reads the whole file with read(): the way that others are compared with.
inline void read_plainly(const std::string& path, std::size_t buffer_bytes) {
  std::vector<char> buffer(buffer_bytes);
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  while (::read(fd, buffer.data(), buffer.size()) > 0) {
  }
  ::close(fd);
}

}  // namespace retinue::bench
