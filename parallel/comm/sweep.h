#pragma once

#include "parallel/base/clock.h"
#include "parallel/comm/communicator.h"
#include "parallel/comm/sweep_fit.h"
#include "parallel/device/memory.h"

#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

/// How fast a group of ranks is, measured on the communicator that a job would use.
namespace retinue {

enum class Collective : std::uint8_t { kAllReduce, kAllGather, kBroadcast };
inline constexpr std::size_t kCollectives = 3;
/// "all_reduce", …
std::string_view name(Collective collective);

/// Bus bandwidth over algorithm bandwidth: bytes that must cross each rank's link per byte of the
/// message, so that figures of different collectives and numbers of ranks compare.
/// all-reduce 2 (n - 1) / n · all-gather (n - 1) / n · broadcast 1 · nothing crosses with n = 1
/// https://github.com/NVIDIA/nccl-tests, doc/PERFORMANCE.md
double bus_factor(Collective collective, int ranks);

struct SweepPoint {
  /// Of the message: what is reduced or broadcast; for all-gather what each rank ends up with.
  std::int64_t bytes = 0;
  int repetitions = 0;
  /// Of the slowest rank, per operation: median, least and most of the repetitions.
  double seconds = 0, least_s = 0, most_s = 0;
  /// Elements, on all ranks, that were not what the operation has to give.
  std::int64_t wrong = 0;

  [[nodiscard]] double algorithm_bytes_per_s() const {
    return static_cast<double>(bytes) / seconds;
  }
};

struct CollectiveSweep {
  Collective collective = Collective::kAllReduce;
  int ranks = 1;
  std::vector<SweepPoint> points = {};  ///< by size
  AlphaBeta fit = {};
  bool cut_short = false;  ///< the budget of time ended before the longest message

  [[nodiscard]] double bus_bytes_per_s(const SweepPoint& point) const {
    return point.algorithm_bytes_per_s() * bus_factor(collective, ranks);
  }
};

struct SweepOptions {
  std::int64_t least_bytes = 8;
  std::int64_t most_bytes = std::int64_t{64} << 20;
  int growth = 4;       ///< from size to size; the last is most_bytes
  double seconds = 2;   ///< for all collectives; the two shortest sizes of each are always timed
  int repetitions = 5;  ///< at least, of every size
  std::vector<Collective> collectives = {Collective::kAllReduce, Collective::kAllGather,
                                         Collective::kBroadcast};
};

/// Times collectives of `comm` and checks what they give. Collective: all ranks of `comm` enter
/// with equal options, and all get the same result. `host` is the same ranks in host memory: `comm`
/// itself, or what an NCCL communicator was made from. Memory: most_bytes on the device of
/// `stream`, and as much on the host. Repetitions are decided by rank 0 and broadcast; before each
/// the ranks meet. Between host ranks short operations are timed several in a row; on a device
/// between two events. Throws: SystemError as the communicators do, or when memory is short.
std::vector<CollectiveSweep> sweep_collectives(Communicator& comm, Communicator& host,
                                               const Stream& stream, const Clock& clock,
                                               const SweepOptions& options = {});

/// Messages between two ranks, there and back, halved.
struct PairTimes {
  int a = 0, b = 1;  ///< a < b
  double latency_s = 0;
  double bytes_per_s = 0;  ///< of messages of PairOptions::long_bytes
};

struct PairOptions {
  std::int64_t short_bytes = 8;
  std::int64_t long_bytes = std::int64_t{1} << 20;
  int short_repetitions = 50;
  int long_repetitions = 5;
  int warm_up = 3;
};

/// Every pair of ranks, on all ranks, ordered by a, then b: medians. Collective over `host`. Ranks
/// play a tournament, so that n - 1 rounds (n, if odd) are enough; what shares a link in a round
/// shares it in the times.
std::vector<PairTimes> sweep_pairs(Communicator& host, const Clock& clock,
                                   const PairOptions& options = {});

}  // namespace retinue
