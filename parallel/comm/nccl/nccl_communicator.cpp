#include "parallel/comm/nccl/nccl_communicator.h"

#include "parallel/base/check.h"
#include "parallel/base/log.h"
#include "parallel/comm/collective_args.h"
#include "parallel/comm/nccl/nccl_ordered_reduce.h"
#include "parallel/comm/poll.h"
#include "parallel/comm/shared_memory.h"
#include "parallel/device/cuda/runtime.h"
#include "parallel/device/memory.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <exception>
#include <functional>
#include <mutex>
#include <nccl.h>
#include <thread>
#include <utility>
#include <vector>

namespace retinue {
namespace {

constexpr int kArrivalTag = Communicator::kMaxTag - 1;
// At an orderly end peers are seconds behind at most; a stuck peer must not hold this rank longer.
constexpr double kGoodbyeSeconds = 10;

std::size_t index(int rank) { return static_cast<std::size_t>(rank); }
std::size_t size_of(std::int64_t count) { return static_cast<std::size_t>(count); }

bool is_error(ncclResult_t result) { return result != ncclSuccess && result != ncclInProgress; }

TensorView bytes_view(std::vector<std::byte>& bytes) {
  return {bytes.data(), DType::kU8, Shape{static_cast<std::int64_t>(bytes.size())}};
}

/// Calls of one ncclGroup. After the first failure it skips the rest; the group is closed in any
/// case, because the library counts open groups per thread.
class Calls {
 public:
  template <class Call>
  void add(Call&& call) {
    if (!is_error(first_error_)) first_error_ = call();
  }
  [[nodiscard]] ncclResult_t first_error() const { return first_error_; }

 private:
  ncclResult_t first_error_ = ncclSuccess;
};

class NcclCommunicator final : public Communicator {
 public:
  /// Shared by a communicator and all groups split from it.
  struct Family {
    Device device;
    Reduce reduce;
    double deadline_s;
    std::shared_ptr<BrokenFlag> broken;
  };

  NcclCommunicator(Communicator& host, std::unique_ptr<Communicator> owned_host,
                   std::string_view label, const Family& family)
      : Communicator(host.rank(), host.size(), label),
        owned_host_(std::move(owned_host)),
        host_(host),
        device_(family.device),
        reduce_(family.reduce),
        policy_{.deadline_s = family.deadline_s},
        broken_(family.broken),
        who_(fmt::format("[nccl] rank {} of {} in \"{}\" ({})", rank(), size(), label,
                         to_string(device_))) {
    check(device_.type == DeviceType::kCuda, "NCCL serves CUDA devices");
    check(size() <= 64, "an NCCL group has at most 64 ranks");
    cuda::use_device(device_.index);
    scratch_ = Buffer(ledger_, device_, nccl_scratch_bytes(size(), reduce_), MemoryTag::kScratch);
    if (size() == 1) return;  // every collective is the identity
    try {
      create(meet());
    } catch (...) {
      give_up();  // a destructor does not run after this
      throw;
    }
  }

  ~NcclCommunicator() override {
    // A rank that leaves by an exception waits for no peer.
    if (std::uncaught_exceptions() > 0 || broken_->is_set() || !say_goodbye()) give_up();
  }

  void all_reduce(const Stream& stream, TensorView x) override {
    detail::check_all_reduce(*this, stream, DeviceType::kCuda, x);
    enter(stream, "all_reduce");
    if (size() == 1 || x.numel() == 0) return;
    const auto values = x.data<float>();
    if (reduce_ == Reduce::kLibrary)
      group([&](Calls& calls, ncclComm_t comm) {
        calls.add([&] {
          return ncclAllReduce(values, values, size_of(x.numel()), ncclFloat32, ncclSum, comm,
                               native(stream));
        });
      });
    else if (x.numel() <= kNcclGatherElements)
      reduce_by_gather(stream, values, x.numel());
    else
      for (std::int64_t at = 0; at < x.numel(); at += kNcclPieceElements)
        reduce_by_slices(stream, values + at, std::min(kNcclPieceElements, x.numel() - at));
  }

  void all_gather(const Stream& stream, ConstTensorView send, TensorView recv,
                  std::span<const std::int64_t> rows_per_rank) override {
    detail::check_gather(*this, stream, DeviceType::kCuda, send, recv, rows_per_rank, true);
    enter(stream, "all_gather");
    if (size() == 1) return copy_own(stream, send, recv.bytes());
    std::vector<std::size_t> bytes;
    for (const std::int64_t rows : rows_per_rank)
      bytes.push_back(size_of(rows) * detail::row_bytes(recv));
    gather_bytes(stream, send.bytes(), recv.bytes(), bytes);
  }

  void gather(const Stream& stream, ConstTensorView send, TensorView recv,
              std::span<const std::int64_t> rows_per_rank, int root) override {
    detail::check_broadcast(*this, stream, DeviceType::kCuda, send, root);
    const bool receives = rank() == root;
    detail::check_gather(*this, stream, DeviceType::kCuda, send, recv, rows_per_rank, receives);
    enter(stream, "gather");
    if (size() == 1) return copy_own(stream, send, recv.bytes());
    std::byte* own = nullptr;
    group([&](Calls& calls, ncclComm_t comm) {
      if (!receives) {
        if (send.size_bytes() > 0)
          calls.add([&] {
            return ncclSend(send.bytes(), send.size_bytes(), ncclUint8, root, comm, native(stream));
          });
        return;
      }
      std::byte* to = recv.bytes();
      for (int peer = 0; peer < size(); ++peer) {
        const std::size_t bytes = size_of(rows_per_rank[index(peer)]) * detail::row_bytes(recv);
        if (peer != root && bytes > 0)
          calls.add([&] { return ncclRecv(to, bytes, ncclUint8, peer, comm, native(stream)); });
        if (peer == root) own = to;
        to += bytes;
      }
    });
    if (receives) copy_own(stream, send, own);
  }

  void broadcast(const Stream& stream, TensorView x, int root) override {
    detail::check_broadcast(*this, stream, DeviceType::kCuda, x, root);
    enter(stream, "broadcast");
    if (size() == 1 || x.size_bytes() == 0) return;
    group([&](Calls& calls, ncclComm_t comm) {
      calls.add([&] {
        return ncclBroadcast(x.bytes(), x.bytes(), x.size_bytes(), ncclUint8, root, comm,
                             native(stream));
      });
    });
  }

  void send(const Stream& stream, ConstTensorView x, int to, int tag) override {
    detail::check_message(*this, stream, DeviceType::kCuda, x, to, tag);
    enter(stream, "send");
    std::vector<std::byte> bytes(x.size_bytes());
    stream.copy(bytes.data(), x.bytes(), bytes.size());
    wait(stream);
    host_.send(host_stream_, bytes_view(bytes), to, tag);
  }

  void recv(const Stream& stream, TensorView x, int from, int tag) override {
    detail::check_message(*this, stream, DeviceType::kCuda, x, from, tag);
    enter(stream, "recv");
    std::vector<std::byte> bytes(x.size_bytes());
    host_.recv(host_stream_, bytes_view(bytes), from, tag);
    // A copy from pageable memory may wait for the stream, without a deadline: wait() first.
    wait(stream);
    stream.copy(x.bytes(), bytes.data(), bytes.size());
  }

  void post(ConstTensorView x, int to, int tag) override {
    throw_if_broken("post");
    host_.post(x, to, tag);
  }

  bool probe(int& from, int tag, std::int64_t& bytes) override {
    throw_if_broken("probe");
    return host_.probe(from, tag, bytes);
  }

  void barrier() override {
    throw_if_broken("barrier");
    host_.barrier();
  }

  void wait(const Stream& stream) override {
    check(stream.device() == device_, "wait wants a stream of the communicator's device");
    const std::string what = fmt::format("wait, last {}", last_collective_);
    until(what, [&] { return stream.finished(); });
    throw_if_broken(what);
  }

  std::unique_ptr<Communicator> split(int color, int key, std::string_view label) override {
    throw_if_broken("split");
    auto part = host_.split(color, key, label);
    Communicator& host = *part;
    return std::make_unique<NcclCommunicator>(
        host, std::move(part), label, Family{device_, reduce_, policy_.deadline_s, broken_});
  }

  void abort(std::string_view reason) override {
    broken_->set(reason);
    host_.abort(reason);
    // A thread inside a call of NCCL holds the lock: it aborts by itself when it sees the flag.
    if (const std::unique_lock lock(mutex_, std::try_to_lock); lock.owns_lock()) give_up_locked();
  }

 private:
  static cudaStream_t native(const Stream& stream) {
    return static_cast<cudaStream_t>(stream.native());
  }

  /// Every rank reports its arrival to rank 0, which then broadcasts the id: at the deadline rank 0
  /// can name the missing ranks.
  ncclUniqueId meet() {
    std::vector<std::byte> hello(1);
    if (rank() != 0) {
      host_.send(host_stream_, bytes_view(hello), 0, kArrivalTag);
    } else {
      std::vector<bool> arrived(index(size()));
      arrived[0] = true;
      const auto missing = [&] {
        std::string ranks;
        for (int peer = 0; peer < size(); ++peer)
          if (!arrived[index(peer)]) ranks += fmt::format("{}{}", ranks.empty() ? "" : ", ", peer);
        return ranks;
      };
      try {
        until("creation", [&] {
          int from = -1;
          std::int64_t bytes = 0;
          if (!missing().empty() && host_.probe(from, kArrivalTag, bytes)) {
            host_.recv(host_stream_, bytes_view(hello), from, kArrivalTag);
            arrived[index(from)] = true;
          }
          return missing().empty();
        });
      } catch (const SystemError& error) {
        throw SystemError(
            fmt::format("{} Ranks that had not arrived: {}.", error.what(), missing()));
      }
    }
    ncclUniqueId id{};
    if (rank() == 0) check_result(ncclGetUniqueId(&id), "ncclGetUniqueId");
    broadcast_value(host_, id);
    return id;
  }

  void create(const ncclUniqueId& id) {
    last_collective_ = "creation";
    ncclConfig_t config = NCCL_CONFIG_INITIALIZER;
    config.blocking = 0;
    {
      const std::lock_guard lock(mutex_);
      check_result(ncclCommInitRankConfig(&comm_, size(), id, rank(), &config),
                   "ncclCommInitRankConfig");
    }
    try {
      finish_call();
    } catch (const SystemError& error) {
      throw SystemError(fmt::format("{} All {} ranks had arrived.", error.what(), size()));
    }
    // No rank goes on, and perhaps aborts, while another still waits for the creation to end.
    host_.barrier();
  }

  void check_result(ncclResult_t result, std::string_view what) const {
    if (!is_error(result)) return;
    // NCCL's transports share memory, too, and report a lack of it so.
    const std::string room = result == ncclSystemError ? "; " + shared_memory_state() : "";
    throw SystemError(fmt::format("{}: {}: {}: {}{}", who_, what, ncclGetErrorString(result),
                                  ncclGetLastError(comm_), room));
  }

  void throw_if_broken(std::string_view what) {
    if (broken_->is_set()) {
      give_up();
      throw SystemError(fmt::format("{}: {} given up: {}", who_, what, broken_->reason()));
    }
    host_.wait(host_stream_);  // throws when the host group is broken
  }

  void enter(const Stream& stream, std::string_view collective) {
    check(stream.device() == device_, "a collective wants a stream of the communicator's device");
    throw_if_broken(collective);
    last_collective_ = collective;
  }

  /// Polls `done` until it is true. Every other end aborts NCCL first, so that no kernel on the
  /// device still waits for a peer.
  template <class Done>
  void until(std::string_view what, Done&& done) {
    try {
      Poll poll(policy_, *broken_, who_, what);
      for (int looks = 1; !done(); ++looks) {
        if (looks % 16 == 0) host_.wait(host_stream_);  // throws when a peer has given up
        check_state(what);
        poll.pause();
      }
    } catch (...) {
      give_up();
      throw;
    }
  }

  ncclResult_t comm_state() {
    const std::lock_guard lock(mutex_);
    if (comm_ == nullptr) return ncclSuccess;
    ncclResult_t state = ncclSuccess;
    const ncclResult_t asked = ncclCommGetAsyncError(comm_, &state);
    return is_error(asked) ? asked : state;
  }

  void check_state(std::string_view what) {
    const ncclResult_t state = comm_state();
    if (is_error(state)) {
      const std::lock_guard lock(mutex_);
      check_result(state, what);
    }
  }

  /// A non-blocking call may still run when it returns, and no other call may start before it ends.
  /// Waits for that end (of connections), not for enqueued work.
  void finish_call() {
    until(last_collective_, [&] { return comm_state() == ncclSuccess; });
    throw_if_broken(last_collective_);
  }

  void group(const std::function<void(Calls&, ncclComm_t)>& body) {
    try {
      const std::lock_guard lock(mutex_);
      if (comm_ == nullptr)
        throw SystemError(
            fmt::format("{}: {} after this group was aborted", who_, last_collective_));
      Calls calls;
      calls.add([] { return ncclGroupStart(); });
      body(calls, comm_);
      const ncclResult_t ended = ncclGroupEnd();
      check_result(calls.first_error(), last_collective_);
      check_result(ended, last_collective_);
    } catch (...) {
      give_up();
      throw;
    }
    finish_call();
  }

  static void copy_own(const Stream& stream, ConstTensorView send, std::byte* to) {
    if (send.size_bytes() > 0 && send.bytes() != to)
      stream.copy(to, send.bytes(), send.size_bytes());
  }

  /// Gathers every rank's bytes on all ranks, one rank after the other.
  void gather_bytes(const Stream& stream, const std::byte* send, std::byte* recv,
                    const std::vector<std::size_t>& bytes) {
    const bool equal = std::ranges::all_of(bytes, [&](std::size_t n) { return n == bytes[0]; });
    if (equal && bytes[0] == 0) return;
    group([&](Calls& calls, ncclComm_t comm) {
      if (equal)
        return calls.add(
            [&] { return ncclAllGather(send, recv, bytes[0], ncclUint8, comm, native(stream)); });
      std::byte* to = recv;
      for (int peer = 0; peer < size(); ++peer) {
        if (bytes[index(peer)] > 0)
          calls.add([&] {
            return ncclBroadcast(peer == rank() ? send : to, to, bytes[index(peer)], ncclUint8,
                                 peer, comm, native(stream));
          });
        to += bytes[index(peer)];
      }
    });
  }

  [[nodiscard]] float* scratch() const { return reinterpret_cast<float*>(scratch_.data()); }

  void reduce_by_gather(const Stream& stream, float* x, std::int64_t count) {
    group([&](Calls& calls, ncclComm_t comm) {
      calls.add([&] {
        return ncclAllGather(x, scratch(), size_of(count), ncclFloat32, comm, native(stream));
      });
    });
    sum(stream, count, x, count);
  }

  void reduce_by_slices(const Stream& stream, float* x, std::int64_t count) {
    const auto slice = [&](int peer) { return detail::slice_of_count(count, peer, size()); };
    const auto [begin, end] = slice(rank());
    const std::int64_t stride = slice(0).end;  // no slice is longer than the first
    const std::int64_t own = end - begin;
    group([&](Calls& calls, ncclComm_t comm) {
      for (int step = 1; step < size(); ++step) {
        const int from = (rank() + size() - step) % size();
        if (own > 0)
          calls.add([&] {
            return ncclRecv(scratch() + from * stride, size_of(own), ncclFloat32, from, comm,
                            native(stream));
          });
        const int to = (rank() + step) % size();
        if (const auto theirs = slice(to); theirs.end > theirs.begin)
          calls.add([&] {
            return ncclSend(x + theirs.begin, size_of(theirs.end - theirs.begin), ncclFloat32, to,
                            comm, native(stream));
          });
      }
    });
    sum(stream, stride, x + begin, own);
    std::vector<std::size_t> bytes;
    for (int peer = 0; peer < size(); ++peer)
      bytes.push_back(size_of(slice(peer).end - slice(peer).begin) * sizeof(float));
    gather_bytes(stream, reinterpret_cast<const std::byte*>(x + begin),
                 reinterpret_cast<std::byte*>(x), bytes);
  }

  /// x := x + the partials of the other ranks, which lie in the scratch, `stride` elements apart.
  void sum(const Stream& stream, std::int64_t stride, float* x, std::int64_t count) {
    cuda::use_device(device_.index);
    cuda::ordered_sum(
        stream.native(),
        {.scratch = scratch(), .stride = stride, .own = x, .rank = rank(), .ranks = size()}, count,
        x);
  }

  void give_up() noexcept {
    const std::lock_guard lock(mutex_);
    give_up_locked();
  }
  void give_up_locked() noexcept {
    if (comm_ != nullptr) (void)ncclCommAbort(std::exchange(comm_, nullptr));
  }

  /// Ends in order; false when that fails or takes too long.
  bool say_goodbye() noexcept {
    const std::lock_guard lock(mutex_);
    if (comm_ == nullptr) return true;
    using Clock = std::chrono::steady_clock;
    const auto last = Clock::now() + std::chrono::duration<double>(kGoodbyeSeconds);
    ncclResult_t state = ncclCommFinalize(comm_);
    while (state == ncclInProgress && Clock::now() < last && !broken_->is_set()) {
      if (ncclCommGetAsyncError(comm_, &state) != ncclSuccess) return false;
      std::this_thread::yield();
    }
    if (state != ncclSuccess) return false;
    (void)ncclCommDestroy(std::exchange(comm_, nullptr));
    return true;
  }

  std::unique_ptr<Communicator> owned_host_;  ///< for groups made by split()
  Communicator& host_;
  const Stream host_stream_{Device{}};
  Device device_;
  Reduce reduce_;
  PollPolicy policy_;
  std::shared_ptr<BrokenFlag> broken_;  ///< shared by all groups split from one
  std::string who_;
  std::string last_collective_ = "creation";
  MemoryLedger ledger_;
  Buffer scratch_;
  std::mutex mutex_;  ///< guards comm_: abort() may come from any thread
  ncclComm_t comm_ = nullptr;
};

}  // namespace

std::unique_ptr<Communicator> make_nccl(Communicator& host, Device device, Reduce reduce,
                                        std::string_view label, double deadline_s) {
  return std::make_unique<NcclCommunicator>(
      host, nullptr, label,
      NcclCommunicator::Family{device, reduce, deadline_s, std::make_shared<BrokenFlag>()});
}

void share_device_for_tests(int rank, Log& log) {
  const std::string host = fmt::format("retinue-rank-{}", rank);
  const std::pair<const char*, const char*> settings[] = {{"NCCL_HOSTID", host.c_str()},
                                                          {"NCCL_NET", "Socket"},
                                                          {"NCCL_P2P_DISABLE", "1"},
                                                          {"NCCL_SHM_DISABLE", "1"}};
  for (const auto& [name, value] : settings) setenv(name, value, 1);
  log.warning("[nccl] ranks share a device, over sockets: for tests only, its times mean nothing");
}

std::string nccl_version() {
  int code = 0;
  if (ncclGetVersion(&code) != ncclSuccess) return "unknown";
  return fmt::format("{}.{}.{}", code / 10000, code / 100 % 100, code % 100);
}

}  // namespace retinue
