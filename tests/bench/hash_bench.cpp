/// Hashes over bytes in memory.
///   hash_bench [ROUNDS]     median and range of ROUNDS (7) after one of warm-up
/// SHA-256 runs over every input file of a job, and over the ids of every KV block, in small pieces.
#include "parallel/base/clock.h"
#include "parallel/base/hash.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>
#include <vector>

namespace {

using namespace retinue;

std::uint64_t used = 0;  // keeps results alive

void sha256(std::span<const std::byte> bytes) {
  used += static_cast<unsigned char>(sha256_hex(bytes)[0]);
}
void xxh3(std::span<const std::byte> bytes) { used += xxh3_64(bytes); }

/// Hashes `all` in pieces and prints the speed.
void measure(const char* name, void (*hash)(std::span<const std::byte>),
             std::span<const std::byte> all, std::size_t piece, int rounds) {
  const SteadyClock clock;
  std::vector<double> seconds;
  for (int round = -1; round < rounds; ++round) {
    const double start = clock.now_s();
    for (std::size_t at = 0; at < all.size(); at += piece)
      hash(all.subspan(at, std::min(piece, all.size() - at)));
    if (round >= 0) seconds.push_back(clock.now_s() - start);
  }
  std::sort(seconds.begin(), seconds.end());
  const double size = static_cast<double>(all.size());
  const double pieces = size / static_cast<double>(piece);
  const double median = seconds[seconds.size() / 2];
  fmt::print("{:<8} {:>10} B a piece {:>9.1f} MB/s ({:.1f} to {:.1f}) {:>12.0f} ns a piece\n", name,
             piece, size / median * 1e-6, size / seconds.back() * 1e-6,
             size / seconds.front() * 1e-6, median / pieces * 1e9);
}

}  // namespace

int main(int count, char** arguments) {
  const int rounds = count > 1 ? std::max(1, std::atoi(arguments[1])) : 7;
  std::vector<std::byte> all(std::size_t{256} << 20);
  for (std::size_t i = 0; i < all.size(); ++i)
    all[i] = static_cast<std::byte>(i * 2654435761U >> 13);
  const std::span<const std::byte> some(all.data(), std::size_t{8} << 20);
  measure("SHA-256", sha256, all, all.size(), rounds);
  measure("SHA-256", sha256, some, 256, rounds);
  measure("SHA-256", sha256, some, 32, rounds);
  measure("XXH3", xxh3, all, all.size(), rounds);
  return used == 1 ? 1 : 0;
}
