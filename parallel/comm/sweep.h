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

/// Bus bandwidth over algorithm bandwidth: bytes that must cross each rank's link per byte of the
/// message, so that figures of different collectives and numbers of ranks compare.
///   all-reduce  2 (n - 1) / n
///   all-gather  (n - 1) / n
///   broadcast   1
///   any, n = 1  0
/// https://github.com/NVIDIA/nccl-tests, doc/PERFORMANCE.md
double bus_factor(Collective collective, int ranks);

struct SweepPoint {
  /// Of the message that is reduced or broadcast; for all-gather of the result on each rank.
  std::int64_t bytes = 0;
  int repetitions = 0;
  /// Per operation, on the slowest rank: median, least and most of the repetitions.
  double seconds = 0, least_s = 0, most_s = 0;
  /// Wrong elements on all ranks.
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
  bool cut_short = false;  ///< time ran out before the longest message

  [[nodiscard]] double bus_bytes_per_s(const SweepPoint& point) const {
    return point.algorithm_bytes_per_s() * bus_factor(collective, ranks);
  }
};

struct SweepOptions {
  std::int64_t least_bytes = 8;
  std::int64_t most_bytes = std::int64_t{64} << 20;
  int growth = 4;       ///< from size to size; the last is most_bytes
  double seconds = 2;   ///< for all collectives; always times the two shortest sizes
  int repetitions = 5;  ///< at least, of every size
  std::vector<Collective> collectives = {Collective::kAllReduce, Collective::kAllGather,
                                         Collective::kBroadcast};
};

/// Times collectives of `comm` and checks their results. Rank 0 decides the number of repetitions;
/// a barrier precedes each. Short operations on the host are timed several in a row, operations on
/// a device between two events. Collective: all ranks of `comm` enter with equal options and get
/// the same result.
///   host   the same ranks in host memory: `comm` itself, or the group that made an NCCL one
/// Memory: most_bytes on the device of `stream`, and as much on the host.
/// Throws: SystemError as the communicators do, or when memory is short.
std::vector<CollectiveSweep> sweep_collectives(Communicator& comm, Communicator& host,
                                               const Stream& stream, const Clock& clock,
                                               const SweepOptions& options = {});

/// Messages between two ranks: half of the round trip.
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

/// Medians of every pair of ranks, ordered by a, then b, on all ranks. Collective over `host`.
/// Pairs take turns (round_robin.h), so that n - 1 rounds (n, if odd) are enough; pairs of one
/// round that share a link measure their share of it.
std::vector<PairTimes> sweep_pairs(Communicator& host, const Clock& clock,
                                   const PairOptions& options = {});

}  // namespace retinue
