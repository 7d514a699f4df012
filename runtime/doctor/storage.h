#pragma once

#include "parallel/base/clock.h"
#include "runtime/doctor/facts.h"

#include <cstdint>
#include <string>

namespace retinue::runtime {

struct ReadOptions {
  std::int64_t most_bytes = std::int64_t{256} << 20;  ///< per rank
  double seconds = 2;                                 ///< no block begins after that
  bool direct = true;                                 ///< false: through the page cache, for tests
};

/// Reads the part that rank `rank` of `ranks` has of the largest weights file in `folder`, in
/// blocks of 4 MiB in order, as a job does, and drops what it can of the page cache first. Says how
/// it was read. Errors are in the answer: a folder without weights, or one that cannot be read.
ReadRate read_rate(const std::string& folder, int rank, int ranks, const Clock& clock,
                   const ReadOptions& options = {});

}  // namespace retinue::runtime
