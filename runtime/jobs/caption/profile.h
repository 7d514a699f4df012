#pragma once
// Tested through tests/runtime/jobs/caption/caption_test.cpp.

#include "parallel/base/clock.h"
#include "parallel/comm/decorators.h"
#include "parallel/mesh/mesh.h"
#include "runtime/decode/prefetcher.h"
#include "runtime/engine/engine.h"
#include "runtime/media/media_decoder.h"

#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace retinue::runtime {

/// Records one rank's steps, collectives and records, for studies. Each rank writes a file of its
/// own; runtime/study/run/measurement.h reads them.
class Profile {
 public:
  /// `clock` outlives it.
  explicit Profile(const Clock& clock) : clock_(clock) {}

  /// metered() appends here.
  [[nodiscard]] std::vector<CollectiveCall>& calls() { return calls_; }

  /// The work starts: everything is loaded, no item has been read. Called on all ranks at once.
  void begin();
  /// After each step; `stats` are the engine's counters since its start.
  void stepped(const EngineStats& stats);
  /// A record was made, of a request with these images and videos.
  void ended(const Completion& completion, std::span<const MediaHeader> headers);
  /// The work is done and durable: this rank's, on rank 0 that of all ranks.
  void end();

  /// The rest of the file.
  struct Facts {
    int rank = 0, data = 0, tensor = 0;
    int threads = 1;
    std::string device;
    EngineLimits limits;
    std::int64_t weight_bytes = 0;
    EngineStats engine;
    PrefetchTimes feed;
    double prepare_cpu_s = 0;
    std::int64_t requests = 0;
  };
  /// DIR/profile/r00000.json, whole or not at all. Throws: SystemError.
  void write(const std::string& job, const Facts& facts) const;

 private:
  struct Step {
    std::int64_t rows, logit_rows, keys, patches, images;
    double seconds, encode_s, forward_s;
  };
  struct Ended {
    std::int64_t prompt_tokens, completion_tokens, patches;
    bool stopped;  ///< by a token of its own, which `completion_tokens` does not count
    double at_s;
  };
  /// Steps and records that are kept, the first ones; the file also counts the others.
  static constexpr std::size_t kMost = std::size_t{1} << 20;

  const Clock& clock_;
  std::vector<CollectiveCall> calls_;
  std::vector<Step> steps_;
  std::vector<Ended> ended_;
  std::int64_t step_count_ = 0, ended_count_ = 0;
  EngineStats before_;
  std::size_t calls_before_ = 0;  ///< collectives while loading
  double begin_s_ = 0, step_s_ = 0, end_s_ = 0, made_s_ = clock_.now_s();
};

}  // namespace retinue::runtime
