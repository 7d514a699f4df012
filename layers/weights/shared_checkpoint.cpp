#include "layers/weights/shared_checkpoint.h"

#include "layers/weights/content_sample.h"
#include "layers/weights/stripes.h"
#include "layers/weights/weight_stream.h"
#include "parallel/base/check.h"
#include "parallel/base/hash.h"
#include "parallel/comm/gather_values.h"
#include "parallel/comm/round_robin.h"
#include "parallel/device/staging.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <deque>
#include <filesystem>
#include <functional>
#include <future>
#include <map>
#include <sstream>
#include <utility>
#include <vector>

namespace retinue::layers {
namespace {

/// Above the tags of jobs.
constexpr int kChunkTag = Communicator::kMaxTag - 3;
/// More readers per rank read no faster from one file system.
constexpr int kMostReaders = 4;
/// Short stripes for small models, so that all ranks take part.
constexpr std::int64_t kLeastStripeBytes = std::int64_t{16} << 10;

/// The needed tensors, in the order of the files.
struct Tensors {
  std::vector<std::string> names;
  std::vector<StoredMatrix> matrices;
  std::vector<StoredType> types;
  std::map<std::string, std::int64_t> index;
};

Tensors tensors_in_file_order(const Checkpoint& checkpoint, std::span<const WeightNeed> needs) {
  // By the file's name, which has the shard's number, then by the place in it.
  std::map<std::pair<std::string, const std::byte*>, std::string> order;
  for (const WeightNeed& need : needs)
    order.try_emplace(
        {checkpoint.file_of(*need.name).path(), checkpoint.find(*need.name)->bytes.data()},
        *need.name);
  Tensors tensors;
  for (const auto& [place, name] : order) {
    const StoredTensor& stored = *checkpoint.find(name);
    const std::int64_t rows = stored.shape[0];
    tensors.index[name] = static_cast<std::int64_t>(tensors.names.size());
    tensors.names.push_back(name);
    tensors.types.push_back(stored.type);
    tensors.matrices.push_back({rows, stored.shape.numel() / std::max<std::int64_t>(1, rows),
                                static_cast<std::int64_t>(size_bytes(stored.type))});
  }
  return tensors;
}

/// A line per tensor. Two checkpoints have the same lines only if they are copies of one: the
/// header alone is not enough, because fine-tuned weights have the header of their base model.
std::string described(const Checkpoint& checkpoint, const Tensors& tensors) {
  std::string text;
  for (const std::string& name : tensors.names)
    text += fmt::format("{}: {}\n",
                        std::filesystem::path(checkpoint.file_of(name).path()).filename().string(),
                        describe_tensor(checkpoint, name));
  return text;
}

/// Throws unless all ranks see the same checkpoint. Stripes of different files would be garbage,
/// and stripes of different contents would mix two models.
void check_same_checkpoint(Communicator& readers, const Checkpoint& checkpoint,
                           const Tensors& tensors) {
  const std::string mine = described(checkpoint, tensors);
  const std::vector<std::uint64_t> all =
      gather_values(readers, xxh3_64(std::as_bytes(std::span(mine))));
  const auto found = std::ranges::find_if(all, [&](std::uint64_t hash) { return hash != all[0]; });
  if (found == all.end()) return;
  const auto other = static_cast<int>(found - all.begin());
  std::string first = mine, second = mine;
  broadcast_container(readers, first, 0);
  broadcast_container(readers, second, other);
  std::istringstream firsts(first), seconds(second);
  std::string wanted, got;
  do {
    if (!std::getline(firsts, wanted)) wanted = "no more";
    if (!std::getline(seconds, got)) got = "no more";
  } while (wanted == got && wanted != "no more");
  throw UsageError(
      fmt::format("[checkpoint] rank {} sees other weights than rank 0 under --model: {}, where "
                  "rank 0 has {}. Copy one checkpoint to all hosts.",
                  other, got, wanted));
}

/// A slice in a message between ranks.
struct WantedSlice {
  std::int64_t tensor = 0;
  WeightSlice slice;
};

/// The slices that each rank wants. Ranks with the same place in their replicas want the same ones,
/// which are held once.
struct WantedByRank {
  std::vector<Wanted> kinds;
  std::vector<std::size_t> kind_of;  ///< of each rank

  [[nodiscard]] const Wanted& of(int rank) const {
    return kinds[kind_of[static_cast<std::size_t>(rank)]];
  }
};

WantedByRank share_wanted(Communicator& readers, const Tensors& tensors,
                          std::span<const WeightNeed> needs) {
  std::vector<WantedSlice> mine;
  for (const WeightNeed& need : needs) {
    const WantedSlice slice{tensors.index.at(*need.name), need.slice};
    // Tied weights are sent once and placed twice.
    const bool known = std::ranges::any_of(mine, [&](const WantedSlice& other) {
      return other.tensor == slice.tensor && other.slice == slice.slice;
    });
    if (!known) mine.push_back(slice);
  }
  const std::vector<std::uint64_t> hashes =
      gather_values(readers, xxh3_64(std::as_bytes(std::span(mine))));
  WantedByRank all;
  std::map<std::uint64_t, std::size_t> seen;
  for (std::size_t rank = 0; rank < hashes.size(); ++rank) {
    const auto [found, first] = seen.try_emplace(hashes[rank], all.kinds.size());
    all.kind_of.push_back(found->second);
    if (!first) continue;
    std::vector<WantedSlice> theirs = mine;
    broadcast_container(readers, theirs, static_cast<int>(rank));
    Wanted& wanted = all.kinds.emplace_back(tensors.names.size());
    for (const WantedSlice& slice : theirs)
      wanted[static_cast<std::size_t>(slice.tensor)].push_back(slice.slice);
  }
  return all;
}

/// Puts parts of stripes where the store needs them, through pinned memory.
class PartPlacer {
 public:
  PartPlacer(Context& ctx, MemoryLedger& ledger, const Tensors& tensors,
             std::span<const WeightNeed> needs, const PlaceRows& place)
      : ctx_(ctx),
        tensors_(tensors),
        needs_(needs),
        place_(place),
        of_tensor_(tensors.names.size()),
        ring_(ledger, ctx.device(), piece_bytes(needs)) {
    for (std::size_t i = 0; i < needs.size(); ++i)
      of_tensor_[static_cast<std::size_t>(tensors.index.at(*needs[i].name))].push_back(i);
  }

  /// Places the rows of a part; they lie at `from`, `stride_bytes` apart.
  void put(const StripePart& part, const std::byte* from, std::int64_t stride_bytes) {
    const auto tensor = static_cast<std::size_t>(part.tensor);
    for (const std::size_t i : of_tensor_[tensor]) {
      const WeightNeed& need = needs_[i];
      if (!(need.slice == part.slice)) continue;
      const auto row_bytes = part.slice.columns * static_cast<std::int64_t>(size_bytes(need.dtype));
      // On CPU place_ has read the rows when it returns; rows that need no conversion need no copy.
      if (ctx_.device().type == DeviceType::kCpu && stride_bytes == row_bytes &&
          keeps_bits(tensors_.types[tensor], need.dtype)) {
        place_(i, part.first_row - part.slice.first_row,
               ConstTensorView(from, need.dtype, Shape{part.rows, part.slice.columns}));
        continue;
      }
      const std::int64_t at_once = static_cast<std::int64_t>(ring_.piece_bytes()) / row_bytes;
      for (std::int64_t row = 0; row < part.rows; row += at_once) {
        const std::int64_t rows = std::min(at_once, part.rows - row);
        const TensorView staged(ring_.next(), need.dtype, Shape{rows, part.slice.columns});
        convert_rows(tensors_.types[tensor], from + row * stride_bytes, stride_bytes, staged);
        place_(i, part.first_row + row - part.slice.first_row, staged);
        ring_.enqueued(ctx_.stream());
      }
    }
  }

 private:
  static std::size_t piece_bytes(std::span<const WeightNeed> needs) {
    std::int64_t bytes = kPieceBytes;
    for (const WeightNeed& need : needs)
      bytes =
          std::max(bytes, need.slice.columns * static_cast<std::int64_t>(size_bytes(need.dtype)));
    return static_cast<std::size_t>(bytes);
  }

  Context& ctx_;
  const Tensors& tensors_;
  std::span<const WeightNeed> needs_;
  const PlaceRows& place_;
  std::vector<std::vector<std::size_t>> of_tensor_;
  StagingRing ring_;
};

using Bytes = std::vector<std::byte>;
/// CheckpointSource::read_bytes: a tensor's bytes from an offset on.
using ReadBytes = std::function<void(const std::string&, std::int64_t, std::span<std::byte>)>;

/// Reads this rank's stripes, in order, on threads that run ahead of the exchange.
class StripeReader {
 public:
  StripeReader(const Tensors& tensors, std::span<const Stripe> stripes, ReadBytes read_bytes,
               int rank, int ranks, int threads)
      : tensors_(tensors),
        stripes_(stripes),
        read_bytes_(std::move(read_bytes)),
        threads_(static_cast<std::size_t>(std::clamp(threads, 1, kMostReaders))),
        ranks_(ranks),
        next_(rank) {
    for (const Stripe& stripe : stripes) longest_ = std::max(longest_, stripe.bytes);
    read_ahead();
  }

  /// The next stripe of this rank, whose number is rank plus a multiple of the number of ranks.
  Bytes next() {
    Bytes bytes = ahead_.front().get();
    ahead_.pop_front();
    read_ahead();
    return bytes;
  }
  /// Takes a buffer back for another stripe.
  void reuse(Bytes bytes) {
    if (!bytes.empty()) spare_.push_back(std::move(bytes));
  }

 private:
  void read_ahead() {
    const auto count = static_cast<std::int64_t>(stripes_.size());
    for (; ahead_.size() < threads_ && next_ < count; next_ += ranks_) {
      Bytes bytes;
      if (!spare_.empty()) bytes = std::move(spare_.back()), spare_.pop_back();
      ahead_.push_back(std::async(std::launch::async, &StripeReader::read, this,
                                  std::cref(stripes_[static_cast<std::size_t>(next_)]),
                                  std::move(bytes)));
    }
  }

  [[nodiscard]] Bytes read(const Stripe& stripe, Bytes bytes) const {
    // Always as long as the longest: touching fresh pages of memory costs more than reading a file.
    bytes.resize(static_cast<std::size_t>(longest_));
    std::span<std::byte> left = bytes;
    for (const Segment& segment : stripe.segments) {
      const auto tensor = static_cast<std::size_t>(segment.tensor);
      const std::int64_t row_bytes = tensors_.matrices[tensor].row_bytes();
      const auto size = static_cast<std::size_t>(segment.rows * row_bytes);
      read_bytes_(tensors_.names[tensor], segment.first_row * row_bytes, left.first(size));
      left = left.subspan(size);
    }
    return bytes;
  }

  const Tensors& tensors_;
  std::span<const Stripe> stripes_;
  const ReadBytes read_bytes_;
  const std::size_t threads_;
  const int ranks_;
  std::int64_t next_;
  std::int64_t longest_ = 0;
  std::vector<Bytes> spare_;
  std::deque<std::future<Bytes>> ahead_;  ///< last: its threads use all of the above
};

/// Sends and receives chunks: the parts of a stripe that one rank wants, packed.
class ChunkExchange {
 public:
  ChunkExchange(Communicator& readers, const Tensors& tensors, const WantedByRank& wanted,
                PartPlacer& placer)
      : readers_(readers), tensors_(tensors), wanted_(wanted), placer_(placer) {}

  /// Places the parts that this rank wants of a stripe that it has read itself.
  void keep(const Stripe& stripe, const Bytes& bytes) {
    for_each_part(tensors_.matrices, stripe, wanted_.of(readers_.rank()),
                  [&](const StripePart& part) {
                    placer_.put(part, bytes.data() + part.at_byte, part.stride_bytes);
                  });
  }

  void send(int peer, const Stripe& stripe, const Bytes& bytes) {
    const Wanted& theirs = wanted_.of(peer);
    const TensorView chunk = buffer(chunk_bytes(tensors_.matrices, stripe, theirs));
    if (chunk.numel() == 0) return;
    std::byte* to = chunk.bytes();
    for_each_part(tensors_.matrices, stripe, theirs, [&](const StripePart& part) {
      const std::int64_t row_bytes = packed_row_bytes(part);
      const std::byte* from = bytes.data() + part.at_byte;
      if (row_bytes == part.stride_bytes) {
        to = std::copy_n(from, part.rows * row_bytes, to);
        return;
      }
      for (std::int64_t row = 0; row < part.rows; ++row, from += part.stride_bytes)
        to = std::copy_n(from, row_bytes, to);
    });
    readers_.send(Stream{Device{}}, chunk, peer, kChunkTag);
  }

  /// Receives this rank's chunk of a stripe that `peer` has read, and places it. Returns its bytes.
  std::int64_t receive(int peer, const Stripe& stripe) {
    const Wanted& mine = wanted_.of(readers_.rank());
    const TensorView chunk = buffer(chunk_bytes(tensors_.matrices, stripe, mine));
    if (chunk.numel() == 0) return 0;
    readers_.recv(Stream{Device{}}, chunk, peer, kChunkTag);
    const std::byte* at = chunk.bytes();
    for_each_part(tensors_.matrices, stripe, mine, [&](const StripePart& part) {
      const std::int64_t row_bytes = packed_row_bytes(part);
      placer_.put(part, at, row_bytes);
      at += part.rows * row_bytes;
    });
    return chunk.numel();
  }

 private:
  [[nodiscard]] std::int64_t packed_row_bytes(const StripePart& part) const {
    return part.slice.columns *
           tensors_.matrices[static_cast<std::size_t>(part.tensor)].element_bytes;
  }
  TensorView buffer(std::int64_t size) {
    if (static_cast<std::int64_t>(buffer_.size()) < size)
      buffer_.resize(static_cast<std::size_t>(size));
    return {buffer_.data(), DType::kU8, Shape{size}};
  }

  Communicator& readers_;
  const Tensors& tensors_;
  const WantedByRank& wanted_;
  PartPlacer& placer_;
  Bytes buffer_;
};

}  // namespace

bool SharedCheckpointSource::deliver(Context& ctx, MemoryLedger& ledger,
                                     std::span<const WeightNeed> needs, const PlaceRows& place) {
  const int ranks = readers_.size(), rank = readers_.rank();
  const Tensors tensors = tensors_in_file_order(checkpoint(), needs);
  check_same_checkpoint(readers_, checkpoint(), tensors);
  const WantedByRank wanted = share_wanted(readers_, tensors, needs);
  std::int64_t all_bytes = 0;
  for (const StoredMatrix& matrix : tensors.matrices) all_bytes += matrix.rows * matrix.row_bytes();
  const std::vector<Stripe> stripes =
      cut_stripes(tensors.matrices, wanted.kinds,
                  std::clamp(all_bytes / (8 * ranks), kLeastStripeBytes, kPieceBytes));
  const auto stripe_at = [&](std::int64_t i) {
    return static_cast<std::size_t>(i) < stripes.size() ? &stripes[static_cast<std::size_t>(i)]
                                                        : nullptr;
  };

  PartPlacer placer(ctx, ledger, tensors, needs, place);
  ChunkExchange exchange(readers_, tensors, wanted, placer);
  StripeReader reader(
      tensors, stripes,
      [this](const std::string& name, std::int64_t offset, std::span<std::byte> to) {
        read_bytes(name, offset, to);
      },
      rank, ranks, ctx.threads());
  for (std::int64_t first = 0; stripe_at(first) != nullptr; first += ranks) {
    const Stripe* mine = stripe_at(first + rank);
    Bytes bytes;
    if (mine != nullptr) {
      bytes = reader.next();
      exchange.keep(*mine, bytes);
    }
    for (int round = 0; round < round_robin_rounds(ranks); ++round) {
      const int peer = round_robin_peer(rank, round, ranks);
      if (peer == rank) continue;
      // The lower rank sends first: if both did, two long messages could wait for each other.
      if (mine != nullptr && rank < peer) exchange.send(peer, *mine, bytes);
      if (const Stripe* theirs = stripe_at(first + peer); theirs != nullptr)
        count_exchanged(exchange.receive(peer, *theirs));
      if (mine != nullptr && rank > peer) exchange.send(peer, *mine, bytes);
    }
    reader.reuse(std::move(bytes));
  }
  ctx.stream().synchronize();
  return true;
}

}  // namespace retinue::layers
