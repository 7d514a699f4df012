#pragma once

#include "parallel/base/clock.h"
#include "parallel/comm/communicator.h"
#include "parallel/comm/sweep_fit.h"
#include "parallel/device/memory.h"

#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

/// The speed of a group of ranks, measured on the communicator that a job would use.
namespace retinue {

enum class Collective : std::uint8_t { kAllReduce, kAllGather, kBroadcast };
inline constexpr std::size_t kCollectives = 3;
/// "all_reduce", …
std::string_view name(Collective collective);

/// Bus bandwidth over algorithm bandwidth: the bytes that must cross each rank's link per byte of
/// the message. It makes collectives and numbers of ranks comparable.
///   all-reduce  2 (n - 1) / n
///   all-gather    (n - 1) / n
///   broadcast   1              0 for each with n = 1, since nothing crosses
/// https://github.com/NVIDIA/nccl-tests, doc/PERFORMANCE.md
double bus_factor(Collective collective, int ranks);

struct SweepPoint {
  /// Size of the message that is reduced or broadcast; for all-gather, of the gathered result.
  std::int64_t bytes = 0;
  int repetitions = 0;
  /// Per operation, on the slowest rank: median, least and most of the repetitions.
  double seconds = 0, least_s = 0, most_s = 0;
  /// Elements of the result that were wrong, over all ranks.
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
  bool cut_short = false;  ///< the time budget ended before the longest message

  [[nodiscard]] double bus_bytes_per_s(const SweepPoint& point) const {
    return point.algorithm_bytes_per_s() * bus_factor(collective, ranks);
  }
};

struct SweepOptions {
  std::int64_t least_bytes = 8;
  std::int64_t most_bytes = std::int64_t{64} << 20;
  int growth = 4;       ///< from size to size; the last is most_bytes
  double seconds = 2;   ///< budget of all collectives; the two shortest sizes are always timed
  int repetitions = 5;  ///< at least, of every size
  std::vector<Collective> collectives = {Collective::kAllReduce, Collective::kAllGather,
                                         Collective::kBroadcast};
};

/// Times collectives of `comm` and checks their results. Collective: all ranks of `comm` enter with
/// equal options, and all get the same result. `host` joins the same ranks in host memory: `comm`
/// itself, or the communicator that an NCCL communicator was made from. Allocates most_bytes on the
/// device of `stream` and as much on the host. Rank 0 decides the repetitions; a barrier precedes
/// each. Host ranks time several short operations in a row; a device is timed between two events.
/// Throws: SystemError as the communicators do, or when memory is short.
std::vector<CollectiveSweep> sweep_collectives(Communicator& comm, Communicator& host,
                                               const Stream& stream, const Clock& clock,
                                               const SweepOptions& options = {});

/// Half of a round trip between two ranks.
struct PairTimes {
  int a = 0, b = 1;  ///< a < b
  double latency_s = 0;
  double bytes_per_s = 0;  ///< with messages of PairOptions::long_bytes
};

struct PairOptions {
  std::int64_t short_bytes = 8;
  std::int64_t long_bytes = std::int64_t{1} << 20;
  int short_repetitions = 50;
  int long_repetitions = 5;
  int warm_up = 3;
};

/// Medians for every pair of ranks, ordered by a, then b; all ranks get them. Collective over
/// `host`. Round-robin pairing needs n - 1 rounds (n, if odd); pairs of one round that share a link
/// slow each other down, and their times include that.
std::vector<PairTimes> sweep_pairs(Communicator& host, const Clock& clock,
                                   const PairOptions& options = {});

}  // namespace retinue
