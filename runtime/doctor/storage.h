#pragma once

#include "parallel/base/clock.h"
#include "runtime/doctor/facts.h"

#include <cstdint>
#include <string>

namespace retinue::runtime {

struct ReadOptions {
  std::int64_t most_bytes = std::int64_t{256} << 20;  ///< per rank
  double seconds = 2;                                 ///< no block is read after that
  bool direct = true;                                 ///< false: through the page cache, for tests
};

/// Reads the share that rank `rank` of `ranks` has of the largest weights file in `folder`: blocks
/// of 4 MiB in order, as a job reads them, after dropping the share from the page cache where the
/// system allows it. A folder without weights and a failed read are errors in the result.
ReadRate read_rate(const std::string& folder, int rank, int ranks, const Clock& clock,
                   const ReadOptions& options = {});

}  // namespace retinue::runtime
