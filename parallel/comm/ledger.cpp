#include "parallel/comm/ledger.h"

#include "parallel/base/check.h"
#include "parallel/base/hash.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstring>
#include <string>
#include <utility>
#include <vector>

namespace retinue {
namespace {

/// What one rank is about to enter.
struct Entry {
  std::array<char, 16> collective{};
  std::int64_t number = 0;
  std::int64_t size_bytes = 0;  ///< of what must agree; -1 where nothing must
  std::int64_t root = -1;
  std::uint64_t rows_hash = 0;
  DType dtype = DType::kU8;
  std::array<char, 7> padding{};  // every byte travels and is compared

  friend bool operator==(const Entry&, const Entry&) = default;
};

std::string to_string(const Entry& entry) {
  std::string text = fmt::format("collective {}, {}", entry.number, entry.collective.data());
  if (entry.size_bytes >= 0)
    text += fmt::format(" of {} {} bytes", entry.size_bytes, name(entry.dtype));
  if (entry.root >= 0) text += fmt::format(" from or to rank {}", entry.root);
  if (entry.rows_hash != 0) text += fmt::format(", row counts {:08x}", entry.rows_hash >> 32);
  return text;
}

class Ledger final : public Communicator {
 public:
  explicit Ledger(std::unique_ptr<Communicator> comm)
      : Communicator(comm->rank(), comm->size(), comm->label()), comm_(std::move(comm)) {}

  void all_reduce(const Stream& stream, TensorView x) override {
    agree("all_reduce", {.size_bytes = bytes_of(x), .dtype = x.dtype()});
    comm_->all_reduce(stream, x);
  }
  void all_gather(const Stream& stream, ConstTensorView send, TensorView recv,
                  std::span<const std::int64_t> rows_per_rank) override {
    agree(
        "all_gather",
        {.size_bytes = bytes_of(recv), .rows_hash = hash_of(rows_per_rank), .dtype = send.dtype()});
    comm_->all_gather(stream, send, recv, rows_per_rank);
  }
  void gather(const Stream& stream, ConstTensorView send, TensorView recv,
              std::span<const std::int64_t> rows_per_rank, int root) override {
    agree("gather", {.size_bytes = -1,
                     .root = root,
                     .rows_hash = hash_of(rows_per_rank),
                     .dtype = send.dtype()});
    comm_->gather(stream, send, recv, rows_per_rank, root);
  }
  void broadcast(const Stream& stream, TensorView x, int root) override {
    agree("broadcast", {.size_bytes = bytes_of(x), .root = root, .dtype = x.dtype()});
    comm_->broadcast(stream, x, root);
  }
  void barrier() override {
    agree("barrier", {.size_bytes = -1});
    comm_->barrier();
  }
  std::unique_ptr<Communicator> split(int color, int key, std::string_view label) override {
    agree("split", {.size_bytes = -1});
    return std::make_unique<Ledger>(comm_->split(color, key, label));
  }
  void send(const Stream& stream, ConstTensorView x, int to, int tag) override {
    comm_->send(stream, x, to, tag);
  }
  void recv(const Stream& stream, TensorView x, int from, int tag) override {
    comm_->recv(stream, x, from, tag);
  }
  bool probe(int& from, int tag, std::int64_t& bytes) override {
    return comm_->probe(from, tag, bytes);
  }
  void wait(const Stream& stream) override { comm_->wait(stream); }
  void abort(std::string_view reason) override { comm_->abort(reason); }

 private:
  static std::int64_t bytes_of(ConstTensorView x) {
    return static_cast<std::int64_t>(x.size_bytes());
  }
  static std::uint64_t hash_of(std::span<const std::int64_t> rows) {
    return xxh3_64(std::as_bytes(rows));
  }

  void agree(std::string_view collective, Entry own) {
    std::ranges::copy(collective, own.collective.begin());
    own.number = ++entered_;
    std::vector<Entry> all(static_cast<std::size_t>(size()));
    const auto bytes = static_cast<std::int64_t>(sizeof(Entry));
    const std::vector<std::int64_t> one_each(all.size(), 1);
    comm_->all_gather(
        Stream{Device{}},
        ConstTensorView(reinterpret_cast<const std::byte*>(&own), DType::kU8, {1, bytes}),
        TensorView(reinterpret_cast<std::byte*>(all.data()), DType::kU8, {size(), bytes}),
        one_each);
    for (std::size_t peer = 1; peer < all.size(); ++peer)
      if (!(all[peer] == all[0]))
        throw BugError(fmt::format("[ledger] \"{}\": rank 0 entered {}; rank {} entered {}",
                                   label(), to_string(all[0]), peer, to_string(all[peer])));
  }

  std::unique_ptr<Communicator> comm_;
  std::int64_t entered_ = 0;
};

}  // namespace

std::unique_ptr<Communicator> make_ledger(std::unique_ptr<Communicator> comm) {
  return std::make_unique<Ledger>(std::move(comm));
}

}  // namespace retinue
