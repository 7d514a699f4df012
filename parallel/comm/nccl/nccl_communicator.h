#pragma once

#include "parallel/comm/communicator.h"
#include "parallel/device/device.h"

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

/// Device memory over NCCL. Declared in every build, defined in builds with a CUDA backend: callers
/// are inside `if constexpr (build::kCuda)`.
namespace retinue {

class Log;

/// How all_reduce adds. kOrdered: f32 partials travel, and a kernel of our own adds them in the
/// order of reduce_tree.h; kLibrary: ncclAllReduce, whose order is its own.
enum class Reduce : std::uint8_t { kOrdered, kLibrary };

/// Up to this size an ordered all_reduce gathers all partials on every rank; above, each rank sums
/// a slice. The bits are the same.
inline constexpr std::int64_t kNcclGatherElements = 64 * 1024;
/// A longer ordered all_reduce runs in pieces of this many elements, which bounds the scratch.
inline constexpr std::int64_t kNcclPieceElements = 4 * 1024 * 1024;

/// Device memory that an NCCL communicator of `ranks` allocates for itself.
constexpr std::size_t nccl_scratch_bytes(int ranks, Reduce reduce) {
  if (ranks == 1 || reduce == Reduce::kLibrary) return 0;
  // Slices are rounded up to 16 elements.
  const std::int64_t gathered = kNcclGatherElements * ranks;
  const std::int64_t slices = kNcclPieceElements + std::int64_t{16} * ranks;
  return static_cast<std::size_t>(gathered > slices ? gathered : slices) * sizeof(float);
}

/// The ranks of `host`, each with its `device`. Collective over `host`, which outlives it. The same
/// thread may go on using `host`, except for messages of the highest tag.
///
/// Collectives only enqueue and may be captured in a graph after they have run once (the first time
/// makes connections); destroy such graphs before the communicator. There is one scratch: an event
/// holds collectives on another stream back. wait() has the deadline and notices failures; when it
/// throws, it has aborted NCCL, so that the stream ends.
/// send, recv, probe, barrier and split go through `host`, because NCCL does not match messages by
/// tag. They block the host, and cannot be captured.
/// Throws: SystemError naming rank, group, device and, at the deadline, the ranks that are missing.
std::unique_ptr<Communicator> make_nccl(Communicator& host, Device device, Reduce reduce,
                                        std::string_view label, double deadline_s = 300);

/// Lets several ranks use one device, over loopback sockets. Call it before the process's first
/// make_nccl, with a `rank` that differs from rank to rank. Slow: for tests only, as the log says.
void share_device_for_tests(int rank, Log& log);

/// The version of the loaded library, as "2.28.9".
std::string nccl_version();

}  // namespace retinue
