#include "layers/weights/shared_checkpoint.h"

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
#include <future>
#include <map>
#include <sstream>
#include <utility>
#include <vector>

namespace retinue::layers {
namespace {

/// Above all tags of jobs.
constexpr int kChunkTag = Communicator::kMaxTag - 3;
/// More readers per rank than that read no faster from one file system.
constexpr int kMostReaders = 4;
/// Short stripes for small models, so that all ranks take part.
constexpr std::int64_t kLeastStripeBytes = std::int64_t{16} << 10;

/// Of each tensor, from its middle, to tell its contents from another's: one page of a file.
constexpr std::size_t kSampleBytes = 256;

/// The tensors that somebody needs, in the order of the files.
struct Tensors {
  std::vector<std::string> names;
  std::vector<StoredMatrix> matrices;
  std::vector<StoredType> types;
  std::map<std::string, std::int64_t> index;
};

Tensors tensors_in_file_order(const Checkpoint& checkpoint, std::span<const WeightNeed> needs) {
  // By name of the file, which shards number, then by place in it.
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

/// A line per tensor that two checkpoints share only if they are copies of one: fine-tuned weights
/// have the header of those they came from.
std::string described(const Checkpoint& checkpoint, const Tensors& tensors) {
  std::string text;
  for (const std::string& name : tensors.names) {
    const StoredTensor& stored = *checkpoint.find(name);
    const SafetensorsFile& file = checkpoint.file_of(name);
    std::vector<std::byte> sample(std::min(kSampleBytes, stored.bytes.size()));
    // Past read_bytes(), which counts what is loaded.
    const std::size_t middle = (stored.bytes.size() - sample.size()) / 2;
    file.read(name, static_cast<std::int64_t>(middle), sample);
    text += fmt::format("{}: {} {} {}, sample {:016x}\n",
                        std::filesystem::path(file.path()).filename().string(), name,
                        to_string(stored.type), stored.shape.to_string(),
                        xxh3_64(std::span<const std::byte>(sample)));
  }
  return text;
}

/// Ranks that deal stripes of different files would send each other garbage, and stripes of
/// different contents would make a model that nobody has.
void agree_on(Communicator& readers, const Checkpoint& checkpoint, const Tensors& tensors) {
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

/// A slice as it travels.
struct WantedSlice {
  std::int64_t tensor = 0;
  WeightSlice slice;
};

/// What every rank wants. Ranks of the same place in their replicas want the same.
struct Wishes {
  std::vector<Wanted> kinds;
  std::vector<std::size_t> kind_of;  ///< of each rank

  [[nodiscard]] const Wanted& of(int rank) const {
    return kinds[kind_of[static_cast<std::size_t>(rank)]];
  }
};

Wishes share_wishes(Communicator& readers, const Tensors& tensors,
                    std::span<const WeightNeed> needs) {
  std::vector<WantedSlice> mine;
  for (const WeightNeed& need : needs) {
    const WantedSlice slice{tensors.index.at(*need.name), need.slice};
    // Tied weights travel once and are placed twice.
    const bool known = std::ranges::any_of(mine, [&](const WantedSlice& other) {
      return other.tensor == slice.tensor && other.slice == slice.slice;
    });
    if (!known) mine.push_back(slice);
  }
  const std::vector<std::uint64_t> hashes =
      gather_values(readers, xxh3_64(std::as_bytes(std::span(mine))));
  Wishes wishes;
  std::map<std::uint64_t, std::size_t> seen;
  for (std::size_t rank = 0; rank < hashes.size(); ++rank) {
    const auto [found, first] = seen.try_emplace(hashes[rank], wishes.kinds.size());
    wishes.kind_of.push_back(found->second);
    if (!first) continue;
    std::vector<WantedSlice> theirs = mine;
    broadcast_container(readers, theirs, static_cast<int>(rank));
    Wanted& wanted = wishes.kinds.emplace_back(tensors.names.size());
    for (const WantedSlice& slice : theirs)
      wanted[static_cast<std::size_t>(slice.tensor)].push_back(slice.slice);
  }
  return wishes;
}

/// Puts parts where they are needed, through pinned memory.
class Placing {
 public:
  Placing(Context& ctx, MemoryLedger& ledger, DType dtype, const Tensors& tensors,
          std::span<const WeightNeed> needs, const PlaceRows& place)
      : ctx_(ctx),
        dtype_(dtype),
        tensors_(tensors),
        needs_(needs),
        place_(place),
        of_tensor_(tensors.names.size()),
        ring_(ledger, ctx.device(), piece_bytes(dtype, needs)) {
    for (std::size_t i = 0; i < needs.size(); ++i)
      of_tensor_[static_cast<std::size_t>(tensors.index.at(*needs[i].name))].push_back(i);
  }

  /// Rows of a part from `from` on, `stride_bytes` apart.
  void put(const StripePart& part, const std::byte* from, std::int64_t stride_bytes) {
    const auto tensor = static_cast<std::size_t>(part.tensor);
    const auto row_bytes = part.slice.columns * static_cast<std::int64_t>(size_bytes(dtype_));
    const std::int64_t at_once = static_cast<std::int64_t>(ring_.piece_bytes()) / row_bytes;
    // On CPU what is placed has been read on return, and what needs no conversion no copy either.
    const bool as_it_is = ctx_.device().type == DeviceType::kCpu && stride_bytes == row_bytes &&
                          keeps_bits(tensors_.types[tensor], dtype_);
    for (const std::size_t need : of_tensor_[tensor]) {
      if (!(needs_[need].slice == part.slice)) continue;
      if (as_it_is) {
        place_(need, part.first_row - part.slice.first_row,
               ConstTensorView(from, dtype_, Shape{part.rows, part.slice.columns}));
        continue;
      }
      for (std::int64_t row = 0; row < part.rows; row += at_once) {
        const std::int64_t rows = std::min(at_once, part.rows - row);
        const TensorView staged(ring_.next(), dtype_, Shape{rows, part.slice.columns});
        convert_rows(tensors_.types[tensor], from + row * stride_bytes, stride_bytes, staged);
        place_(need, part.first_row + row - part.slice.first_row, staged);
        ring_.enqueued(ctx_.stream());
      }
    }
  }

 private:
  static std::size_t piece_bytes(DType dtype, std::span<const WeightNeed> needs) {
    std::int64_t longest = 0;
    for (const WeightNeed& need : needs) longest = std::max(longest, need.slice.columns);
    return static_cast<std::size_t>(
        std::max(kPieceBytes, longest * static_cast<std::int64_t>(size_bytes(dtype))));
  }

  Context& ctx_;
  DType dtype_;
  const Tensors& tensors_;
  std::span<const WeightNeed> needs_;
  const PlaceRows& place_;
  std::vector<std::vector<std::size_t>> of_tensor_;
  StagingRing ring_;
};

}  // namespace

bool SharedCheckpointSource::deliver(Context& ctx, MemoryLedger& ledger, DType dtype,
                                     std::span<const WeightNeed> needs, const PlaceRows& place) {
  const int ranks = readers_.size(), rank = readers_.rank();
  const Tensors tensors = tensors_in_file_order(checkpoint(), needs);
  agree_on(readers_, checkpoint(), tensors);
  const Wishes wishes = share_wishes(readers_, tensors, needs);
  std::int64_t all_bytes = 0;
  for (const StoredMatrix& matrix : tensors.matrices) all_bytes += matrix.rows * matrix.row_bytes();
  const std::vector<Stripe> stripes =
      cut_stripes(tensors.matrices, wishes.kinds,
                  std::clamp(all_bytes / (8 * ranks), kLeastStripeBytes, kPieceBytes));

  const auto count = static_cast<std::int64_t>(stripes.size());
  // Buffers of the longest stripe, used again and again: fresh pages cost more than reading them.
  std::int64_t longest = 0;
  for (const Stripe& stripe : stripes) longest = std::max(longest, stripe.bytes);
  using Bytes = std::vector<std::byte>;
  std::vector<Bytes> spare;
  const auto read_stripe = [&](std::int64_t i, Bytes bytes) {
    const Stripe& stripe = stripes[static_cast<std::size_t>(i)];
    bytes.resize(static_cast<std::size_t>(longest));
    std::span<std::byte> left = bytes;
    for (const Segment& segment : stripe.segments) {
      const auto tensor = static_cast<std::size_t>(segment.tensor);
      const std::int64_t row_bytes = tensors.matrices[tensor].row_bytes();
      const auto size = static_cast<std::size_t>(segment.rows * row_bytes);
      read_bytes(tensors.names[tensor], segment.first_row * row_bytes, left.first(size));
      left = left.subspan(size);
    }
    return bytes;
  };
  // Own stripes that are read or being read, in order.
  std::deque<std::future<Bytes>> ahead;
  std::int64_t next = rank;
  const auto read_ahead = [&] {
    const auto readers = static_cast<std::size_t>(std::clamp(ctx.threads(), 1, kMostReaders));
    for (; ahead.size() < readers && next < count; next += ranks) {
      Bytes bytes;
      if (!spare.empty()) bytes = std::move(spare.back()), spare.pop_back();
      ahead.push_back(std::async(std::launch::async, read_stripe, next, std::move(bytes)));
    }
  };

  Placing placing(ctx, ledger, dtype, tensors, needs, place);
  const Stream host{Device{}};
  Bytes chunk;
  const auto chunk_of = [&](std::int64_t size) {
    if (static_cast<std::int64_t>(chunk.size()) < size)
      chunk.resize(static_cast<std::size_t>(size));
    return TensorView(chunk.data(), DType::kU8, Shape{size});
  };
  const auto send_to = [&](int peer, std::int64_t mine, const Bytes& bytes) {
    if (mine >= count) return;
    const Stripe& stripe = stripes[static_cast<std::size_t>(mine)];
    const TensorView message = chunk_of(chunk_bytes(tensors.matrices, stripe, wishes.of(peer)));
    std::byte* to = message.bytes();
    for_each_part(tensors.matrices, stripe, wishes.of(peer), [&](const StripePart& part) {
      const std::int64_t row_bytes =
          part.slice.columns *
          tensors.matrices[static_cast<std::size_t>(part.tensor)].element_bytes;
      const std::byte* from = bytes.data() + part.at_byte;
      if (row_bytes == part.stride_bytes) {
        to = std::copy_n(from, part.rows * row_bytes, to);
        return;
      }
      for (std::int64_t row = 0; row < part.rows; ++row, from += part.stride_bytes)
        to = std::copy_n(from, row_bytes, to);
    });
    if (message.numel() > 0) readers_.send(host, message, peer, kChunkTag);
  };
  const auto receive_from = [&](int peer, std::int64_t theirs) {
    if (theirs >= count) return;
    const Stripe& stripe = stripes[static_cast<std::size_t>(theirs)];
    const Wanted& wanted = wishes.of(rank);
    const TensorView message = chunk_of(chunk_bytes(tensors.matrices, stripe, wanted));
    if (message.numel() == 0) return;
    readers_.recv(host, message, peer, kChunkTag);
    count_exchanged(message.numel());
    const std::byte* at = message.bytes();
    for_each_part(tensors.matrices, stripe, wanted, [&](const StripePart& part) {
      const std::int64_t row_bytes =
          part.slice.columns *
          tensors.matrices[static_cast<std::size_t>(part.tensor)].element_bytes;
      placing.put(part, at, row_bytes);
      at += part.rows * row_bytes;
    });
  };

  read_ahead();
  for (std::int64_t first = 0; first < count; first += ranks) {
    const std::int64_t mine = first + rank;
    Bytes bytes;
    if (mine < count) {
      bytes = ahead.front().get();
      ahead.pop_front();
      read_ahead();
      for_each_part(tensors.matrices, stripes[static_cast<std::size_t>(mine)], wishes.of(rank),
                    [&](const StripePart& part) {
                      placing.put(part, bytes.data() + part.at_byte, part.stride_bytes);
                    });
    }
    for (int round = 0; round < round_robin_rounds(ranks); ++round) {
      const int peer = round_robin_peer(rank, round, ranks);
      if (peer == rank) continue;
      if (rank < peer) send_to(peer, mine, bytes);
      receive_from(peer, first + peer);
      if (rank > peer) send_to(peer, mine, bytes);
    }
    if (!bytes.empty()) spare.push_back(std::move(bytes));
  }
  ctx.stream().synchronize();
  return true;
}

}  // namespace retinue::layers
