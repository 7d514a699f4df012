#pragma once

#include "layers/spec/inputs.h"
#include "parallel/base/clock.h"
#include "runtime/media/processor_spec.h"

#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <string>

namespace retinue::runtime {

/// Small pictures of items that are under way on this rank, from pixels that were decoded anyhow.
/// At most a few in a second and a few in memory: enough to look at, at no cost worth measuring.
class Thumbnails {
 public:
  static constexpr std::int64_t kMaxSide = 192;  ///< pixels
  static constexpr double kEvery_s = 0.5;
  static constexpr std::size_t kKept = 64;

  /// Both outlive it.
  Thumbnails(const VisionProcessorSpec& spec, const Clock& clock) : spec_(spec), clock_(clock) {}

  /// Any thread. Of the first image or video of an item; of others, nothing.
  void decoded(std::uint64_t media_key, const layers::Patches& patches);
  /// JPEG; null where there is none. It is given once.
  std::shared_ptr<const std::string> take(std::int64_t item);

 private:
  const VisionProcessorSpec& spec_;
  const Clock& clock_;
  std::mutex mutex_;  ///< held for moments only
  double next_s_ = 0;
  std::map<std::int64_t, std::shared_ptr<const std::string>> kept_;  ///< by item
};

}  // namespace retinue::runtime
