#pragma once

#include "tests/support/engine_runs.h"

#include <cstdint>
#include <vector>

namespace retinue::test {

/// Numbers from a seed, in order.
class Random {
 public:
  explicit Random(std::uint64_t seed);
  /// In [low, high].
  std::int64_t in(std::int64_t low, std::int64_t high);
  bool one_in(std::int64_t n) { return in(1, n) == 1; }
  template <class T>
  T of(std::initializer_list<T> values) {
    return values.begin()[in(0, static_cast<std::int64_t>(values.size()) - 1)];
  }

 private:
  std::uint64_t key_, count_ = 0;
};

/// How random tasks look; tokens and patches are of no meaning.
struct TaskShape {
  std::int64_t prefix_tokens = 0;  ///< at most, in common with other tasks
  std::int64_t prefixes = 1;       ///< distinct ones
  std::int64_t text_tokens = 20;   ///< at most, of its own
  std::int64_t images = 1;         ///< at most, from as many as `distinct_images`
  std::int64_t distinct_images = 4;
  std::int64_t image_side = 8;   ///< patches, at most
  std::int64_t new_tokens = 20;  ///< at most
  std::int32_t ids = 400;        ///< of text: [0, ids)
  int pixel_bytes = 255;         ///< of images: [0, pixel_bytes)
};

/// Image `which` of a seed, with a content key that is its own.
layers::Patches random_image(const layers::ModelConfig& config, std::uint64_t seed,
                             std::int64_t which, const TaskShape& shape);

/// A random task; equal seeds and numbers make equal ones. Greedy or sampled, with logits hashed.
EngineTask random_task(const layers::ModelConfig& config, std::uint64_t seed, std::int64_t number,
                       const TaskShape& shape);

/// Sizing that such tasks fit in.
runtime::EngineSizing sizing_for(const TaskShape& shape);

}  // namespace retinue::test
