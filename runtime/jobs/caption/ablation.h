#pragma once

#include "runtime/engine/request.h"
#include "runtime/jobs/caption/caption_job.h"
#include "runtime/jobs/caption/record_writer.h"
#include "runtime/jobs/caption/request_pump.h"
#include "runtime/jobs/replica.h"

#include <cstdint>
#include <memory>
#include <vector>

namespace retinue::runtime {

class PreloadedPixels;

/// --ablation, for studies: what a run costs without one part of its work. Each function wraps one
/// part of a caption job, or hands it back as it is; caption.cpp puts the parts together, and no
/// other code knows that a study is under way.
class Ablation {
 public:
  /// `job` outlives it.
  ///   most_bytes  of pixels that may be decoded ahead
  Ablation(const CaptionJob& job, std::int64_t most_bytes);
  ~Ablation();
  Ablation(const Ablation&) = delete;
  Ablation& operator=(const Ablation&) = delete;

  /// Before the replica is made. The result lives as long as this; `inner` outlives it.
  PixelSource& pixels(PixelSource& inner);
  /// null-collectives: sums and features stay on their ranks.
  [[nodiscard]] std::vector<WrapCommunicator> communicators() const;
  /// Once the replica is made: decodes all pixels that the run is to find decoded. Throws:
  /// UsageError when they take too many bytes.
  void decode_ahead();
  /// On leaders, before the run: prepares all requests that the run is to find prepared.
  [[nodiscard]] RequestQueue::Make requests(RequestQueue::Make inner) const;
  /// text-only: items lose their images and videos.
  [[nodiscard]] ItemReader items(ItemReader inner) const;
  /// A record of a wrong answer says so in its finish_reason, wherever its line ends up.
  [[nodiscard]] RecordWriter::Format format(RecordWriter::Format inner) const;

 private:
  const CaptionJob& job_;
  std::int64_t most_bytes_;
  std::unique_ptr<PreloadedPixels> preloaded_;
};

}  // namespace retinue::runtime
