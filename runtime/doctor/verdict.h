#pragma once

#include "runtime/doctor/facts.h"

#include <string>
#include <string_view>
#include <vector>

namespace retinue::runtime {

enum class Verdict : std::uint8_t { kOk, kSlow, kBroken };
/// "ok", "slow", "broken".
std::string_view name(Verdict verdict);

/// One thing that was looked at.
struct Finding {
  std::string what;  ///< "binary", "all_reduce of world"
  Verdict verdict = Verdict::kOk;
  std::string found;       ///< in words, with figures
  std::string advice;      ///< the remedy; empty where all is well
  std::vector<int> ranks;  ///< ranks that it concerns; empty: all
};

/// Finds out what is wrong with these machines, from the facts and the bounds below alone.
///   broken  a job would not start, would stop, or would give other results
///   slow    a job would run, but slower or with less warning than it could
std::vector<Finding> judge(const DoctorFacts& facts);
/// Lists what could not be looked at, and why. It has no finding.
std::vector<std::string> not_looked_at(const DoctorFacts& facts);
/// The worst of all.
Verdict overall(const std::vector<Finding>& findings);

namespace doctor {

/// A decode step of the 32B reads its weights in some 13 ms on one GPU and makes 128 sums over the
/// tensor axis: at 100 us each these take as long as all the rest.
inline constexpr double kSlowTensorAlpha = 100e-6;
/// Other groups exchange plans and ends, a few messages per step: a millisecond starts to show.
inline constexpr double kSlowWorldAlpha = 1e-3;
/// Bus bandwidth of GPUs on one host: half of PCIe 3 x16. Less goes through host memory or a narrow
/// slot.
inline constexpr double kSlowGpuBus = 6e9;
/// Bus bandwidth of CPU ranks on one host: shared memory gives several GB/s; half a GB/s is a busy
/// or throttled machine, or messages over the loopback interface.
inline constexpr double kSlowHostBus = 0.5e9;
/// Bus bandwidth between hosts: Gigabit Ethernet gives 0.12 GB/s.
inline constexpr double kSlowNetworkBus = 0.1e9;
/// A pair is slow when it is so much worse than the median of its kind (same host, or not) …
inline constexpr double kPairFactor = 5;
/// … and its latency is more than a scheduler adds now and then.
inline constexpr double kPairLeastLatency = 200e-6;

/// Wall clocks decide which of several failures came first, 0.2 s apart at most (watch.h).
inline constexpr double kSlowClockSkew = 0.1;
/// Credentials of Munge and Kerberos are refused at 5 minutes.
inline constexpr double kBrokenClockSkew = 300;

/// People notice a start that reads weights for two minutes.
inline constexpr double kSlowLoadSeconds = 120;
/// A rank whose file system is so much slower than the median makes all ranks wait.
inline constexpr double kReadFactor = 3;

/// Files, libraries, segments of shared memory and sockets to the other ranks of a host.
inline constexpr std::int64_t kLeastOpenFiles = 256;
/// The default of most systems; archives and peers of large jobs need as many.
inline constexpr std::int64_t kUsualOpenFiles = 1024;
/// Network cards and GPUs copy from locked pages; the usual limit of a user is 64 KiB or 8 MiB.
inline constexpr std::int64_t kUsualLockedBytes = std::int64_t{64} << 20;
/// Per rank: MPI's mailbox and the window of ordered sums. Containers often have 64 MiB in all.
inline constexpr std::int64_t kSharedBytesPerRank = std::int64_t{16} << 20;
/// A journal of a million captions, and MPI's session folder.
inline constexpr std::int64_t kUsualDiskBytes = std::int64_t{1} << 30;
inline constexpr std::int64_t kLeastDiskBytes = std::int64_t{64} << 20;
/// A clock that is held back is slow below this share of its highest.
inline constexpr double kLowClock = 0.7;
/// The share of a GPU's memory that other processes may hold.
inline constexpr double kGpuMemoryTaken = 0.1;

}  // namespace doctor

}  // namespace retinue::runtime
