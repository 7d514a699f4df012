#include "parallel/comm/local/local_communicator.h"

#include "parallel/base/check.h"
#include "parallel/comm/collective_args.h"
#include "parallel/comm/ordered_sum.h"

#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstring>
#include <deque>
#include <map>
#include <mutex>
#include <numeric>
#include <thread>
#include <tuple>

namespace retinue {
namespace {

/// Shared by all groups that were split from one: one lock, one condition, one reason to stop.
struct Family {
  std::mutex mutex;
  std::condition_variable changed;
  std::string broken;  ///< why no rank can go on; empty while all can
  double deadline_s = 300;
};

struct Group;

/// A rank's arguments of a collective. Peers read them between enter() and leave().
struct Entry {
  std::string_view collective = "";
  DType dtype = DType::kU8;
  std::size_t agree_bytes = 0;  ///< must be the same on all ranks
  int root = -1;
  const std::byte* send = nullptr;
  std::byte* recv = nullptr;
  int color = 0, key = 0;
  std::shared_ptr<Group> child = nullptr;
};

struct Group {
  Group(std::shared_ptr<Family> shared, int ranks)
      : family(std::move(shared)), entries(static_cast<std::size_t>(ranks)) {
    left.reserve(entries.size());  // a destructor adds to it
  }

  std::shared_ptr<Family> family;
  std::vector<Entry> entries;
  std::vector<int> left;  ///< ranks whose communicator is destroyed, in that order
  int arrived = 0;
  std::atomic<std::uint64_t> meetings = 0;  ///< changes under the lock, is read without it
  std::map<std::tuple<int, int, int>, std::deque<std::vector<std::byte>>> mail;  ///< from, to, tag
};

class LocalCommunicator final : public Communicator {
 public:
  LocalCommunicator(std::shared_ptr<Group> group, int rank, int size, std::string_view label)
      : Communicator(rank, size, label), group_(std::move(group)) {}

  ~LocalCommunicator() override {
    const std::lock_guard lock(family().mutex);
    group_->left.push_back(rank());
    family().changed.notify_all();
  }

  void all_reduce(const Stream& stream, TensorView x) override {
    detail::check_all_reduce(*this, stream, DeviceType::kCpu, x);
    if (size() == 1) return;
    enter({.collective = "all_reduce",
           .dtype = x.dtype(),
           .agree_bytes = x.size_bytes(),
           .recv = x.bytes()});
    // Each rank sums one slice and writes it into the x of every rank: slices have one writer.
    const auto [begin, end] = detail::slice_of_count(x.numel(), rank(), size());
    parts_.clear();
    for (const Entry& peer : group_->entries)
      parts_.push_back(reinterpret_cast<const float*>(peer.recv) + begin);
    float* own = x.data<float>() + begin;
    ordered_sum(parts_, end - begin, own);
    for (const Entry& peer : group_->entries) {
      float* theirs = reinterpret_cast<float*>(peer.recv) + begin;
      if (theirs != own) std::copy_n(own, end - begin, theirs);
    }
    leave("all_reduce");
  }

  void all_gather(const Stream& stream, ConstTensorView send, TensorView recv,
                  std::span<const std::int64_t> rows_per_rank) override {
    detail::check_gather(*this, stream, DeviceType::kCpu, send, recv, rows_per_rank, true);
    enter({.collective = "all_gather",
           .dtype = send.dtype(),
           .agree_bytes = recv.size_bytes(),
           .send = send.bytes()});
    collect(recv, rows_per_rank);
    leave("all_gather");
  }

  void gather(const Stream& stream, ConstTensorView send, TensorView recv,
              std::span<const std::int64_t> rows_per_rank, int root) override {
    detail::check_broadcast(*this, stream, DeviceType::kCpu, send, root);
    detail::check_gather(*this, stream, DeviceType::kCpu, send, recv, rows_per_rank,
                         rank() == root);
    enter({.collective = "gather", .dtype = send.dtype(), .root = root, .send = send.bytes()});
    if (rank() == root) collect(recv, rows_per_rank);
    leave("gather");
  }

  void broadcast(const Stream& stream, TensorView x, int root) override {
    detail::check_broadcast(*this, stream, DeviceType::kCpu, x, root);
    if (size() == 1) return;
    enter({.collective = "broadcast",
           .dtype = x.dtype(),
           .agree_bytes = x.size_bytes(),
           .root = root,
           .send = x.bytes()});
    if (rank() != root && x.size_bytes() > 0)
      std::memcpy(x.bytes(), group_->entries[index(root)].send, x.size_bytes());
    leave("broadcast");
  }

  void send(const Stream& stream, ConstTensorView x, int to, int tag) override {
    detail::check_message(*this, stream, DeviceType::kCpu, x, to, tag);
    const std::lock_guard lock(family().mutex);
    throw_if_broken("send");
    group_->mail[{rank(), to, tag}].emplace_back(x.bytes(), x.bytes() + x.size_bytes());
    family().changed.notify_all();
  }

  void post(ConstTensorView x, int to, int tag) override { send(Stream{Device{}}, x, to, tag); }

  void recv(const Stream& stream, TensorView x, int from, int tag) override {
    detail::check_message(*this, stream, DeviceType::kCpu, x, from, tag);
    std::unique_lock lock(family().mutex);
    auto& box = group_->mail[{from, rank(), tag}];
    wait_until(lock, "recv", from, [&] { return !box.empty(); });
    const std::vector<std::byte> message = std::move(box.front());
    box.pop_front();
    if (message.size() != x.size_bytes())
      throw BugError(fmt::format("{} recv wants {} bytes, rank {} sent {}", who(), x.size_bytes(),
                                 from, message.size()));
    std::copy(message.begin(), message.end(), x.bytes());
  }

  bool probe(int& from, int tag, std::int64_t& bytes) override {
    const std::lock_guard lock(family().mutex);
    throw_if_broken("probe");
    for (int peer = 0; peer < size(); ++peer) {
      if (from >= 0 && peer != from) continue;
      const auto box = group_->mail.find({peer, rank(), tag});
      if (box == group_->mail.end() || box->second.empty()) continue;
      from = peer;
      bytes = static_cast<std::int64_t>(box->second.front().size());
      return true;
    }
    return false;
  }

  void barrier() override {
    enter({.collective = "barrier"});
    leave("barrier");
  }

  void wait(const Stream&) override {
    const std::lock_guard lock(family().mutex);
    throw_if_broken("wait");
  }

  std::unique_ptr<Communicator> split(int color, int key, std::string_view label) override {
    check(color >= 0, "split wants a colour of at least 0");
    enter({.collective = "split", .color = color, .key = key});
    std::vector<int> members;
    for (int peer = 0; peer < size(); ++peer)
      if (group_->entries[index(peer)].color == color) members.push_back(peer);
    const int founder = members.front();
    std::ranges::stable_sort(members, {},
                             [&](int peer) { return group_->entries[index(peer)].key; });
    const int count = static_cast<int>(members.size());
    // Only the founder writes this field, and the others read it after the next meeting.
    if (rank() == founder)
      group_->entries[index(founder)].child = std::make_shared<Group>(group_->family, count);
    leave("split");
    const std::shared_ptr<Group> child = group_->entries[index(founder)].child;
    leave("split");
    const auto place = std::ranges::find(members, rank()) - members.begin();
    return std::make_unique<LocalCommunicator>(child, static_cast<int>(place), count, label);
  }

  void abort(std::string_view reason) override {
    const std::lock_guard lock(family().mutex);
    break_family(fmt::format("rank {} of \"{}\" aborted: {}", rank(), label(), reason));
  }

 private:
  static std::size_t index(int rank) { return static_cast<std::size_t>(rank); }
  Family& family() const { return *group_->family; }
  std::string who() const {
    return fmt::format("[local] rank {} of {} in \"{}\":", rank(), size(), label());
  }

  void break_family(std::string reason) {
    if (family().broken.empty()) family().broken = std::move(reason);
    family().changed.notify_all();
  }

  void throw_if_broken(std::string_view what) const {
    if (!family().broken.empty())
      throw SystemError(fmt::format("{} {} given up: {}", who(), what, family().broken));
  }

  /// Waits for `done` under the lock.
  ///   needed   the rank without which it cannot come true; -1: every rank
  template <class Done>
  void wait_until(std::unique_lock<std::mutex>& lock, std::string_view what, int needed,
                  Done done) {
    const auto deadline = std::chrono::steady_clock::now() +
                          std::chrono::duration_cast<std::chrono::steady_clock::duration>(
                              std::chrono::duration<double>(family().deadline_s));
    while (!done()) {
      throw_if_broken(what);
      // The first to leave is the one to name: others may have left because of it.
      for (const int peer : group_->left)
        if (needed == -1 || needed == peer)
          throw SystemError(
              fmt::format("{} {} cannot finish: rank {} has left the group", who(), what, peer));
      if (family().changed.wait_until(lock, deadline) == std::cv_status::timeout && !done()) {
        const std::string late =
            fmt::format("{} {} not finished after {} s", who(), what, family().deadline_s);
        break_family(late);
        throw SystemError(late);
      }
    }
  }

  /// A barrier.
  void meet(std::string_view what) {
    std::unique_lock lock(family().mutex);
    meet(lock, what);
  }
  void meet(std::unique_lock<std::mutex>& lock, std::string_view what) {
    throw_if_broken(what);
    const std::uint64_t meeting = group_->meetings;
    if (++group_->arrived == size()) {
      group_->arrived = 0;
      ++group_->meetings;
      family().changed.notify_all();
      return;
    }
    if (core_each_) {
      lock.unlock();
      watch_for(meeting);
      lock.lock();
    }
    wait_until(lock, what, -1, [&] { return group_->meetings != meeting; });
  }
  /// Spins first: peers with the same work arrive sooner than a sleeping thread would wake.
  void watch_for(std::uint64_t meeting) const {
    const auto until = std::chrono::steady_clock::now() + std::chrono::microseconds(100);
    while (group_->meetings.load(std::memory_order_relaxed) == meeting &&
           std::chrono::steady_clock::now() < until) {
    }
  }

  /// Publishes `entry`, waits for all, and compares. Every rank sees the same entries, so either
  /// all go on or all throw.
  void enter(Entry entry) {
    const std::string_view what = entry.collective;
    {
      std::unique_lock lock(family().mutex);
      group_->entries[index(rank())] = std::move(entry);
      meet(lock, what);
    }
    const Entry& first = group_->entries.front();
    for (int peer = 1; peer < size(); ++peer) {
      const Entry& other = group_->entries[index(peer)];
      if (other.collective != first.collective || other.agree_bytes != first.agree_bytes ||
          other.root != first.root || other.dtype != first.dtype)
        throw BugError(fmt::format(
            "[local] \"{}\": rank 0 entered {} of {} {} bytes (root {}), rank {} entered {} of {} "
            "{} bytes (root {})",
            label(), first.collective, first.agree_bytes, name(first.dtype), first.root, peer,
            other.collective, other.agree_bytes, name(other.dtype), other.root));
    }
  }
  /// A rank may change its published memory only after all have read it.
  void leave(std::string_view what) { meet(what); }

  void collect(TensorView recv, std::span<const std::int64_t> rows_per_rank) {
    const std::size_t row = detail::row_bytes(recv);
    std::byte* to = recv.bytes();
    for (int peer = 0; peer < size(); ++peer) {
      const std::size_t count = static_cast<std::size_t>(rows_per_rank[index(peer)]) * row;
      const std::byte* from = group_->entries[index(peer)].send;
      if (count > 0 && from != to) std::memcpy(to, from, count);
      to += count;
    }
  }

  std::vector<const float*> parts_;
  std::shared_ptr<Group> group_;
  bool core_each_ = size() <= static_cast<int>(std::thread::hardware_concurrency());
};

}  // namespace

std::vector<std::unique_ptr<Communicator>> make_local_group(int size, std::string_view label,
                                                            double deadline_s) {
  check(size >= 1, "a group has at least one rank");
  const auto family = std::make_shared<Family>();
  family->deadline_s = deadline_s;
  const auto group = std::make_shared<Group>(family, size);
  std::vector<std::unique_ptr<Communicator>> ranks;
  for (int rank = 0; rank < size; ++rank)
    ranks.push_back(std::make_unique<LocalCommunicator>(group, rank, size, label));
  return ranks;
}

std::unique_ptr<Communicator> make_single(std::string_view label) {
  return std::move(make_local_group(1, label).front());
}

}  // namespace retinue
