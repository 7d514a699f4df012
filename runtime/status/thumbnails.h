#pragma once

// Tested through tests/runtime/monitor/monitor_test.cpp.

#include "layers/spec/inputs.h"
#include "parallel/base/clock.h"
#include "runtime/media/processor_spec.h"

#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <string>

namespace retinue::runtime {

/// Small images of items in flight on this rank, made from pixels that are decoded anyhow. A few
/// per second at most, and few in memory, so that the cost is negligible.
class Thumbnails {
 public:
  static constexpr std::int64_t kMaxSide = 192;  ///< pixels
  static constexpr double kEvery_s = 0.5;
  static constexpr std::size_t kKept = 64;

  /// Both must outlive it.
  Thumbnails(const VisionProcessorSpec& spec, const Clock& clock) : spec_(spec), clock_(clock) {}

  /// Makes a thumbnail of the first image or video of an item; ignores the others. Any thread may
  /// call.
  void decoded(std::uint64_t media_key, const layers::Patches& patches);
  /// Hands out the JPEG of an item, once; null where there is none.
  std::shared_ptr<const std::string> take(std::int64_t item);

 private:
  const VisionProcessorSpec& spec_;
  const Clock& clock_;
  std::mutex mutex_;  ///< never held while a thumbnail is made
  double next_s_ = 0;
  std::map<std::int64_t, std::shared_ptr<const std::string>> kept_;  ///< by item
};

}  // namespace retinue::runtime
