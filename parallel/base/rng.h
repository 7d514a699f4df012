#pragma once

#include <cstdint>
#include <string_view>

namespace retinue {

/// Finalizer of splitmix64: a bijection whose output bits are well mixed.
/// Steele et al. 2014, OOPSLA.
constexpr std::uint64_t mix64(std::uint64_t z) {
  z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9ULL;
  z = (z ^ (z >> 27)) * 0x94D049BB133111EBULL;
  return z ^ (z >> 31);
}

/// FNV-1a over the bytes of `text`: turns a name into a key.
constexpr std::uint64_t fnv1a64(std::string_view text) {
  std::uint64_t hash = 14695981039346656037ULL;
  for (const char c : text) hash = (hash ^ static_cast<unsigned char>(c)) * 1099511628211ULL;
  return hash;
}

/// The `counter`-th 64 random bits of stream `key`. Counter-based: any element, in any order, on
/// any rank, gives the same bits.
constexpr std::uint64_t random_bits(std::uint64_t key, std::uint64_t counter) {
  return mix64(key + (counter + 1) * 0x9E3779B97F4A7C15ULL);
}

/// Key for drawing the tokens of a request. It depends on nothing else, so that neither batch,
/// order of arrival nor number of ranks can change a sampled caption.
constexpr std::uint64_t sampling_key(std::uint64_t seed, std::uint64_t request) {
  return mix64(seed ^ mix64(request));
}

/// The upper 53 bits as a number in [0, 1).
constexpr double to_unit_double(std::uint64_t bits) {
  return static_cast<double>(bits >> 11) * 0x1.0p-53;
}

}  // namespace retinue
