#include "cuda_emulator/simt.h"
#include "tests/support/cuda_emulator/src/device_memory.h"
#include "tests/support/cuda_emulator/src/nccl_communicator.h"
#include "tests/support/cuda_emulator/src/nccl_reduction.h"

#include <algorithm>
#include <cstring>
#include <utility>
#include <vector>

namespace cuda_emulator {
namespace {

using Kind = NcclOperation::Kind;

/// A collective processes the ranks' chunks in rounds. All ranks read the same chunks and
/// combine them in the same order.
class Collective {
 public:
  Collective(std::shared_ptr<Communicator> communicator, const NcclOperation& operation)
      : self_(std::move(communicator)), operation_(operation), element_(size_of(operation.type)) {
    const auto ranks = static_cast<std::size_t>(self_->ranks);
    total_ = operation_.kind == Kind::kReduceScatter ? operation_.count * ranks : operation_.count;
  }

  bool step() {
    SharedCommunicator& shared = *self_->shared;
    while (done_ < total_ || total_ == 0) {
      if (self_->aborted) return true;
      const std::uint64_t round = self_->round;
      SharedRank& mine = shared.rank(self_->rank);
      const std::size_t count = std::min(total_ - done_, kChunkBytes / element_);
      if (!written_) {
        if (!all_at(2 * round)) return false;
        write(count);
        mine.phase.store(2 * round + 1);
        written_ = true;
      }
      if (!all_at(2 * round + 1)) return false;
      for (int i = 0; i < self_->ranks; ++i) {
        if (shared.rank(i).header != mine.header) {
          fail("ranks %d and %d of a communicator enter different collectives", self_->rank, i);
        }
      }
      read(count);
      mine.phase.store(2 * round + 2);
      written_ = false;
      ++self_->round;
      done_ += count;
      if (total_ == 0) break;
    }
    return true;
  }

 private:
  bool all_at(std::uint64_t phase) {
    for (int i = 0; i < self_->ranks; ++i) {
      if (self_->shared->rank(i).phase.load() < phase) return false;
    }
    return true;
  }

  bool has_result() const {
    return operation_.kind != Kind::kReduce || operation_.root == self_->rank;
  }

  void write(std::size_t count) {
    SharedRank& mine = self_->shared->rank(self_->rank);
    mine.header = {static_cast<std::uint64_t>(operation_.kind), operation_.count,
                   static_cast<std::uint64_t>(operation_.type),
                   static_cast<std::uint64_t>(operation_.op),
                   static_cast<std::uint64_t>(operation_.root)};
    if (operation_.kind == Kind::kBroadcast && operation_.root != self_->rank) return;
    const DeviceAccess access(self_->device);
    std::memcpy(self_->shared->chunk(self_->rank),
                static_cast<const char*>(operation_.send) + done_ * element_, count * element_);
  }

  void read(std::size_t count) {
    const DeviceAccess access(self_->device);
    auto* const out = static_cast<char*>(operation_.receive);
    const std::size_t bytes = count * element_;
    switch (operation_.kind) {
      case Kind::kAllGather:
        for (int i = 0; i < self_->ranks; ++i) {
          const std::size_t at = static_cast<std::size_t>(i) * operation_.count + done_;
          std::memcpy(out + at * element_, self_->shared->chunk(i), bytes);
        }
        break;
      case Kind::kBroadcast:
        std::memcpy(out + done_ * element_, self_->shared->chunk(operation_.root), bytes);
        break;
      default: {
        if (!has_result()) break;
        const std::vector<char> sum = combined(count);
        if (operation_.kind != Kind::kReduceScatter) {
          std::memcpy(out + done_ * element_, sum.data(), bytes);
          break;
        }
        // The elements of this rank's part that are in the chunk.
        const std::size_t begin = static_cast<std::size_t>(self_->rank) * operation_.count;
        const std::size_t from = std::max(begin, done_);
        const std::size_t to = std::min(begin + operation_.count, done_ + count);
        if (from < to) {
          std::memcpy(out + (from - begin) * element_, sum.data() + (from - done_) * element_,
                      (to - from) * element_);
        }
      }
    }
  }

  /// Adds as a ring does: each of `ranks` segments of the buffer starts at another rank and goes
  /// round.
  std::vector<char> combined(std::size_t count) {
    const auto ranks = static_cast<std::size_t>(self_->ranks);
    std::vector<char> sum(count * element_);
    const std::size_t segment = (total_ + ranks - 1) / ranks;
    for (std::size_t at = 0; at < count;) {
      const std::size_t index = (done_ + at) / segment;
      const std::size_t end = std::min(count, (index + 1) * segment - done_);
      char* const to = sum.data() + at * element_;
      for (std::size_t hop = 0; hop < ranks; ++hop) {
        const auto from = static_cast<int>((index + 1 + hop) % ranks);
        const char* const data = self_->shared->chunk(from) + at * element_;
        if (hop == 0) {
          std::memcpy(to, data, (end - at) * element_);
        } else {
          reduce_into(to, data, end - at, operation_.type, operation_.op);
        }
      }
      at = end;
    }
    if (operation_.op == ncclAvg) divide(sum.data(), count, operation_.type, self_->ranks);
    return sum;
  }

  std::shared_ptr<Communicator> self_;
  NcclOperation operation_;
  std::size_t element_, total_ = 0, done_ = 0;
  bool written_ = false;
};

/// A send or a receive: its size, then its bytes, through the ring from one rank to the other.
class Message {
 public:
  Message(std::shared_ptr<Communicator> communicator, const NcclOperation& operation)
      : self_(std::move(communicator)),
        sends_(operation.kind == Kind::kSend),
        peer_(operation.root),
        data_(sends_ ? static_cast<char*>(const_cast<void*>(operation.send))
                     : static_cast<char*>(operation.receive)),
        bytes_(operation.count * size_of(operation.type)),
        size_(bytes_) {}

  bool step() {
    SharedCommunicator& shared = *self_->shared;
    SharedChannel& channel =
        sends_ ? shared.channel(self_->rank, peer_) : shared.channel(peer_, self_->rank);
    while (!self_->aborted) {
      if (header_done_ < sizeof size_) {
        const std::size_t moved = move(channel, reinterpret_cast<char*>(&size_) + header_done_,
                                       sizeof size_ - header_done_);
        if (moved == 0) return false;
        header_done_ += moved;
        if (header_done_ == sizeof size_ && size_ != bytes_) {
          fail("rank %d sends %zu bytes to rank %d, which wants %zu", peer_, std::size_t{size_},
               self_->rank, bytes_);
        }
        continue;
      }
      if (done_ == bytes_) return true;
      const DeviceAccess access(self_->device);
      const std::size_t moved = move(channel, data_ + done_, bytes_ - done_);
      if (moved == 0) return false;
      done_ += moved;
    }
    return true;
  }

 private:
  /// Moves as many bytes as the ring holds or has room for, up to its end.
  std::size_t move(SharedChannel& channel, char* data, std::size_t wanted) {
    const std::uint64_t written = channel.written.load(), read = channel.read.load();
    const std::uint64_t at = sends_ ? written : read;
    const std::uint64_t available = sends_ ? kChannelBytes - (written - read) : written - read;
    const std::size_t count =
        std::min({wanted, std::size_t{available}, kChannelBytes - at % kChannelBytes});
    char* const ring = channel.data + at % kChannelBytes;
    if (sends_) {
      std::memcpy(ring, data, count);
      channel.written.store(written + count);
    } else {
      std::memcpy(data, ring, count);
      channel.read.store(read + count);
    }
    return count;
  }

  std::shared_ptr<Communicator> self_;
  bool sends_;
  int peer_;
  char* data_;
  std::size_t bytes_, done_ = 0, header_done_ = 0;
  std::uint64_t size_;
};

}  // namespace

Step run_collective(std::shared_ptr<Communicator> communicator, const NcclOperation& operation) {
  auto run = std::make_shared<Collective>(std::move(communicator), operation);
  return [run] { return run->step(); };
}

Step run_message(std::shared_ptr<Communicator> communicator, const NcclOperation& operation) {
  auto run = std::make_shared<Message>(std::move(communicator), operation);
  return [run] { return run->step(); };
}

}  // namespace cuda_emulator
