#pragma once

#include <cstdint>
#include <functional>
#include <string>

namespace retinue::bench {

/// oneDNN's version, such as "2.6.0"; empty in a build without it.
std::string onednn_version();
/// oneDNN's bf16 product [m, k] · [k, n] on memory of its own, weights in the layout that it picks.
/// Each call of the result runs the product once. Empty without oneDNN, and where it has no such product
/// for this machine (2.6 without AVX-512).
std::function<void()> onednn_matmul(std::int64_t m, std::int64_t n, std::int64_t k, int threads);

}  // namespace retinue::bench
