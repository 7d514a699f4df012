#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

/// The state that the ranks of a communicator share: POSIX shared memory that is valid when it is all zero,
/// so any rank may come first. Every rank maps it before it reports its arrival; its name is removed
/// once all have arrived.
namespace cuda_emulator {

inline constexpr int kMaxRanks = 64;
inline constexpr std::size_t kChunkBytes = 256 << 10;  // of a collective, per rank and round
inline constexpr std::size_t kChannelBytes = 64 << 10;

/// Values that must be equal on all ranks.
struct CollectiveHeader {
  std::uint64_t kind, count, type, op, root;

  bool operator==(const CollectiveHeader&) const = default;
};

/// One rank's part in collectives. In round r it writes its chunk, sets `phase` to 2 r + 1, reads
/// the others' chunks when all ranks have done so, and sets `phase` to 2 r + 2.
struct alignas(64) SharedRank {
  std::atomic<std::uint32_t> taken, ready, left;
  std::uint64_t host;
  std::int32_t device;
  std::int32_t split_color, split_key;
  std::atomic<std::uint64_t> split_posted, split_read;  // how many splits
  std::atomic<std::uint64_t> phase;
  CollectiveHeader header;
};

/// A ring buffer of bytes from one rank to another.
struct alignas(64) SharedChannel {
  std::atomic<std::uint64_t> written, read;
  char data[kChannelBytes];
};

struct SharedHeader {
  std::atomic<std::uint32_t> ranks;
  SharedRank rank[kMaxRanks];
};
static_assert(std::atomic<std::uint64_t>::is_always_lock_free);

class SharedCommunicator {
 public:
  /// Null where the system has no shared memory left.
  static std::unique_ptr<SharedCommunicator> open(const std::string& name, int ranks);
  SharedCommunicator(const SharedCommunicator&) = delete;
  SharedCommunicator& operator=(const SharedCommunicator&) = delete;
  ~SharedCommunicator();

  SharedHeader& header() { return *header_; }
  SharedRank& rank(int i) { return header_->rank[i]; }
  char* chunk(int rank) { return chunks_ + static_cast<std::size_t>(rank) * kChunkBytes; }
  SharedChannel& channel(int from, int to) { return channels_[from * ranks_ + to]; }
  int ranks() const { return ranks_; }
  /// Removes its name: no further process can find it.
  void remove_name();

 private:
  SharedCommunicator() = default;

  std::string name_;
  int ranks_ = 0;
  std::size_t bytes_ = 0;
  SharedHeader* header_ = nullptr;
  char* chunks_ = nullptr;
  SharedChannel* channels_ = nullptr;
};

}  // namespace cuda_emulator
