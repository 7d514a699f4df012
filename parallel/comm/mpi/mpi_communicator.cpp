#include "parallel/comm/mpi/mpi_communicator.h"

#include "parallel/base/check.h"
#include "parallel/comm/collective_args.h"
#include "parallel/comm/mpi/mpi_outbox.h"
#include "parallel/comm/mpi/mpi_session.h"
#include "parallel/comm/mpi/mpi_shared_reduce.h"
#include "parallel/comm/ordered_sum.h"
#include "parallel/comm/shared_memory.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <deque>
#include <optional>
#include <utility>

namespace retinue::detail {
namespace {

// Tags of our own, below those of send and recv. One per kind is enough: two ranks match their
// messages in order, and all ranks enter collectives in the same order.
enum Tag : int { kExchangeTag, kBroadcastTag, kBarrierTag, kFirstUserTag };

// Between hosts: up to this size every rank receives all partials, in one exchange and not two.
constexpr std::size_t kGatherBytes = 64 * 1024;
// A long all_reduce between hosts goes in pieces, so that its scratch stays small.
constexpr std::int64_t kPieceElements = 4 * 1024 * 1024;
// A broadcast up to one segment goes down a binomial tree; a longer one down a chain, in segments.
constexpr std::size_t kSegmentBytes = 512 * 1024;

std::size_t index(int rank) { return static_cast<std::size_t>(rank); }

class MpiCommunicator final : public Communicator {
 public:
  struct Place {
    int rank = 0, size = 0;
    bool one_host = false;  ///< all ranks of the group are on one host
  };
  MpiCommunicator(std::shared_ptr<MpiSession> session, MPI_Comm comm, Place place,
                  std::string_view label, const MpiOptions& options)
      : Communicator(place.rank, place.size, label),
        session_(std::move(session)),
        comm_(comm),
        one_host_(place.one_host),
        options_(options),
        broken_(options.survives_abort ? session_->never_broken : session_->broken),
        who_(fmt::format("[mpi] rank {} of {} in \"{}\" (world rank {}, {})", place.rank,
                         place.size, label, session_->world_rank, session_->host)) {}

  void all_reduce(const Stream& stream, TensorView x) override {
    check_all_reduce(*this, stream, DeviceType::kCpu, x);
    if (size() == 1 || x.numel() == 0) return;
    const std::span<float> values(x.data<float>(), index_of(x.numel()));
    if (options_.all_reduce == AllReducePath::kAuto && one_host_)
      shared().all_reduce(values, session_->policy, broken_, who_);
    else if (options_.all_reduce == AllReducePath::kGather ||
             (options_.all_reduce == AllReducePath::kAuto && values.size_bytes() <= kGatherBytes))
      reduce_by_gather(values);
    else
      for (std::size_t at = 0; at < values.size(); at += kPieceElements)
        reduce_by_slices(
            values.subspan(at, std::min<std::size_t>(kPieceElements, values.size() - at)));
  }

  void all_gather(const Stream& stream, ConstTensorView send, TensorView recv,
                  std::span<const std::int64_t> rows_per_rank) override {
    check_gather(*this, stream, DeviceType::kCpu, send, recv, rows_per_rank, true);
    collect(send, recv, rows_per_rank, -1, "all_gather");
  }

  void gather(const Stream& stream, ConstTensorView send, TensorView recv,
              std::span<const std::int64_t> rows_per_rank, int root) override {
    check_broadcast(*this, stream, DeviceType::kCpu, send, root);
    check_gather(*this, stream, DeviceType::kCpu, send, recv, rows_per_rank, rank() == root);
    collect(send, recv, rows_per_rank, root, "gather");
  }

  void broadcast(const Stream& stream, TensorView x, int root) override {
    check_broadcast(*this, stream, DeviceType::kCpu, x, root);
    if (size() == 1 || x.size_bytes() == 0) return;
    if (x.size_bytes() <= kSegmentBytes)
      broadcast_tree(x, root);
    else
      broadcast_chain(x, root);
  }

  void send(const Stream& stream, ConstTensorView x, int to, int tag) override {
    check_message(*this, stream, DeviceType::kCpu, x, to, tag);
    if (to == rank()) return keep_own(x, tag);
    MpiRequests requests(comm_);
    requests.send(x.bytes(), x.size_bytes(), to, kFirstUserTag + tag);
    requests.wait(poll("send"));
  }

  void post(ConstTensorView x, int to, int tag) override {
    check_message(*this, Stream{Device{}}, DeviceType::kCpu, x, to, tag);
    check(x.size_bytes() <= MpiRequests::kPartBytes, "a posted message is over 1 GiB");
    throw_if_broken("post");
    if (to == rank()) return keep_own(x, tag);
    outbox_.post({x.bytes(), x.size_bytes()}, to, kFirstUserTag + tag);
  }

  void recv(const Stream& stream, TensorView x, int from, int tag) override {
    check_message(*this, stream, DeviceType::kCpu, x, from, tag);
    if (from == rank()) return recv_own(x, tag);
    MpiRequests requests(comm_);
    requests.recv(x.bytes(), x.size_bytes(), from, kFirstUserTag + tag);
    requests.wait(poll("recv"));
  }

  bool probe(int& from, int tag, std::int64_t& bytes) override {
    throw_if_broken("probe");
    const auto own = std::ranges::find(own_mail_, tag, &std::pair<int, Bytes>::first);
    if (own != own_mail_.end() && (from == -1 || from == rank())) {
      from = rank();
      bytes = static_cast<std::int64_t>(own->second.size());
      return true;
    }
    int found = 0;
    MPI_Status status;
    RETINUE_MPI_CHECK(MPI_Iprobe(from == -1 ? MPI_ANY_SOURCE : from, kFirstUserTag + tag, comm_,
                                 &found, &status));
    if (found == 0) return false;
    int count = 0;
    RETINUE_MPI_CHECK(MPI_Get_count(&status, MPI_BYTE, &count));
    from = status.MPI_SOURCE;
    bytes = count;
    return true;
  }

  // Dissemination: round k informs every rank of 2^k more ranks.  Hensgen et al. 1988.
  void barrier() override {
    throw_if_broken("barrier");
    for (int distance = 1; distance < size(); distance *= 2) {
      MpiRequests requests(comm_);
      requests.send(nullptr, 0, (rank() + distance) % size(), kBarrierTag);
      requests.recv(nullptr, 0, (rank() - distance + size()) % size(), kBarrierTag);
      requests.wait(poll("barrier"));
    }
  }

  void wait(const Stream&) override { throw_if_broken("wait"); }

  std::unique_ptr<Communicator> split(int color, int key, std::string_view label) override {
    check(color >= 0, "split wants a colour of at least 0");
    barrier();  // MPI_Comm_split has no deadline: enter it when all ranks are here
    MPI_Comm part = MPI_COMM_NULL;
    RETINUE_MPI_CHECK(MPI_Comm_split(comm_, color, key, &part));
    return make_mpi_communicator(session_, part, label, options_);
  }

  void abort(std::string_view reason) override { session_->broken.set(reason); }

 private:
  using Bytes = std::vector<std::byte>;

  static std::size_t index_of(std::int64_t count) { return static_cast<std::size_t>(count); }

  Poll poll(std::string_view what) const { return Poll(session_->policy, broken_, who_, what); }

  void throw_if_broken(std::string_view what) const {
    if (broken_.is_set())
      throw SystemError(fmt::format("{}: {} given up: {}", who_, what, broken_.reason()));
  }

  void keep_own(ConstTensorView x, int tag) {
    own_mail_.emplace_back(tag, std::vector(x.bytes(), x.bytes() + x.size_bytes()));
  }

  void recv_own(TensorView x, int tag) {
    const auto own = std::ranges::find(own_mail_, tag, &std::pair<int, Bytes>::first);
    check(own != own_mail_.end(), "a rank receives from itself only what it has sent");
    check(own->second.size() == x.size_bytes(), "a message to oneself has another size");
    std::ranges::copy(own->second, x.bytes());
    own_mail_.erase(own);
  }

  /// Collects the rows of all ranks on `root`, or on every rank with -1.
  void collect(ConstTensorView send, TensorView recv, std::span<const std::int64_t> rows_per_rank,
               int root, std::string_view what) {
    MpiRequests requests(comm_);
    const bool receives = root == -1 || root == rank();
    if (receives) {
      const std::size_t row = row_bytes(recv);
      std::byte* to = recv.bytes();
      for (int peer = 0; peer < size(); ++peer) {
        const std::size_t bytes = index_of(rows_per_rank[index(peer)]) * row;
        if (peer != rank() && bytes > 0) requests.recv(to, bytes, peer, kExchangeTag);
        if (peer == rank() && bytes > 0 && to != send.bytes()) std::memcpy(to, send.bytes(), bytes);
        to += bytes;
      }
    }
    if (send.size_bytes() > 0)
      for (int step = 1; step < size(); ++step) {
        const int peer = (rank() + step) % size();  // not all ranks send to rank 0 first
        if (root == -1 || root == peer)
          requests.send(send.bytes(), send.size_bytes(), peer, kExchangeTag);
      }
    requests.wait(poll(what));
  }

  void broadcast_tree(TensorView x, int root) {
    const int place = (rank() - root + size()) % size();
    const auto rank_at = [&](int at) { return (at + root) % size(); };
    MpiRequests requests(comm_);
    int reach = 1;  // places below this have x
    while (reach <= place) reach *= 2;
    if (place > 0) {
      requests.recv(x.bytes(), x.size_bytes(), rank_at(place - reach / 2), kBroadcastTag);
      requests.wait(poll("broadcast"));
    }
    for (; place + reach < size(); reach *= 2)
      requests.send(x.bytes(), x.size_bytes(), rank_at(place + reach), kBroadcastTag);
    requests.wait(poll("broadcast"));
  }

  void broadcast_chain(TensorView x, int root) {
    const int place = (rank() - root + size()) % size();
    MpiRequests sends(comm_);
    MpiRequests ahead[2] = {MpiRequests(comm_), MpiRequests(comm_)};
    const std::size_t segments = (x.size_bytes() + kSegmentBytes - 1) / kSegmentBytes;
    const auto bytes_of = [&](std::size_t s) {
      return std::min(kSegmentBytes, x.size_bytes() - s * kSegmentBytes);
    };
    const auto post = [&](std::size_t s) {
      if (place > 0 && s < segments)
        ahead[s % 2].recv(x.bytes() + s * kSegmentBytes, bytes_of(s),
                          (rank() - 1 + size()) % size(), kBroadcastTag);
    };
    post(0);
    for (std::size_t s = 0; s < segments; ++s) {
      post(s + 1);
      if (place > 0) ahead[s % 2].wait(poll("broadcast"));
      if (place + 1 == size()) continue;
      sends.wait(poll("broadcast"));  // one segment leaves while the next arrives
      sends.send(x.bytes() + s * kSegmentBytes, bytes_of(s), (rank() + 1) % size(), kBroadcastTag);
    }
    sends.wait(poll("broadcast"));
  }

  void reduce_by_gather(std::span<float> x) {
    scratch_.resize(x.size() * index(size()));
    MpiRequests requests(comm_);
    parts_.resize(index(size()));
    for (int step = 0; step < size(); ++step) {
      const int peer = (rank() + step) % size();
      float* part = scratch_.data() + x.size() * index(peer);
      parts_[index(peer)] = peer == rank() ? x.data() : part;
      if (peer == rank()) continue;
      requests.recv(bytes(part), x.size_bytes(), peer, kExchangeTag);
      requests.send(bytes(x.data()), x.size_bytes(), peer, kExchangeTag);
    }
    requests.wait(poll("all_reduce"));
    ordered_sum(parts_, static_cast<std::int64_t>(x.size()), x.data());
  }

  void reduce_by_slices(std::span<float> x) {
    const auto slice = [&](int peer) {
      const auto [begin, end] = slice_of_count(static_cast<std::int64_t>(x.size()), peer, size());
      return x.subspan(index_of(begin), index_of(end - begin));
    };
    const std::span<float> own = slice(rank());
    scratch_.resize(own.size() * index(size()));
    parts_.resize(index(size()));
    MpiRequests requests(comm_);
    for (int step = 0; step < size(); ++step) {
      const int peer = (rank() + step) % size();
      float* part = scratch_.data() + own.size() * index(peer);
      parts_[index(peer)] = peer == rank() ? own.data() : part;
      if (peer == rank()) continue;
      if (!own.empty()) requests.recv(bytes(part), own.size_bytes(), peer, kExchangeTag);
      if (const auto theirs = slice(peer); !theirs.empty())
        requests.send(bytes(theirs.data()), theirs.size_bytes(), peer, kExchangeTag);
    }
    requests.wait(poll("all_reduce"));
    ordered_sum(parts_, static_cast<std::int64_t>(own.size()), own.data());
    for (int step = 1; step < size(); ++step) {
      const int peer = (rank() + step) % size();
      if (const auto theirs = slice(peer); !theirs.empty())
        requests.recv(bytes(theirs.data()), theirs.size_bytes(), peer, kExchangeTag);
      if (!own.empty()) requests.send(bytes(own.data()), own.size_bytes(), peer, kExchangeTag);
    }
    requests.wait(poll("all_reduce"));
  }

  static std::byte* bytes(float* values) { return reinterpret_cast<std::byte*>(values); }

  /// Makes the window at the first all_reduce, which all ranks enter: most groups never sum.
  SharedReduce& shared() {
    if (shared_) return *shared_;
    barrier();
    const SharedReduce::Blocks blocks;
    const std::size_t wanted = SharedReduce::bytes_needed(size(), blocks);
    MPI_Win window = MPI_WIN_NULL;
    std::byte* memory = nullptr;
    if (MPI_Win_allocate_shared(rank() == 0 ? static_cast<MPI_Aint>(wanted) : 0, 1, MPI_INFO_NULL,
                                comm_, &memory, &window) != MPI_SUCCESS)
      throw SystemError(fmt::format("{}: {} bytes that the ranks share cannot be allocated: {}",
                                    who_, wanted, shared_memory_state()));
    {
      const std::lock_guard lock(session_->mutex);
      session_->windows.push_back(window);
    }
    MPI_Aint window_bytes = 0;
    int unit = 0;
    RETINUE_MPI_CHECK(MPI_Win_shared_query(window, 0, &window_bytes, &unit, &memory));
    if (rank() == 0) std::memset(memory, 0, wanted);
    barrier();
    return shared_.emplace(memory, rank(), size(), blocks);
  }

  std::shared_ptr<MpiSession> session_;
  MPI_Comm comm_;
  bool one_host_;
  MpiOptions options_;
  const BrokenFlag& broken_;
  std::string who_;
  std::deque<std::pair<int, Bytes>> own_mail_;  ///< tag, bytes
  MpiOutbox outbox_{comm_};
  std::optional<SharedReduce> shared_;
  std::vector<float> scratch_;
  std::vector<const float*> parts_;
};

}  // namespace

std::unique_ptr<Communicator> make_mpi_communicator(std::shared_ptr<MpiSession> session,
                                                    MPI_Comm comm, std::string_view label,
                                                    const MpiOptions& options) {
  {
    const std::lock_guard lock(session->mutex);
    session->comms.push_back(comm);
  }
  RETINUE_MPI_CHECK(MPI_Comm_set_errhandler(comm, MPI_ERRORS_RETURN));
  MpiCommunicator::Place place;
  int on_host = 0;
  RETINUE_MPI_CHECK(MPI_Comm_rank(comm, &place.rank));
  RETINUE_MPI_CHECK(MPI_Comm_size(comm, &place.size));
  MPI_Comm host = MPI_COMM_NULL;
  RETINUE_MPI_CHECK(MPI_Comm_split_type(comm, MPI_COMM_TYPE_SHARED, 0, MPI_INFO_NULL, &host));
  RETINUE_MPI_CHECK(MPI_Comm_size(host, &on_host));
  RETINUE_MPI_CHECK(MPI_Comm_free(&host));
  place.one_host = on_host == place.size;
  return std::make_unique<MpiCommunicator>(std::move(session), comm, place, label, options);
}

}  // namespace retinue::detail
