#pragma once

// Tested through tests/parallel/comm/communicator_conformance_test.cpp.

#include "parallel/device/stream.h"
#include "parallel/device/tensor.h"

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>

namespace retinue {

/// The ranks of one group, and their collectives and messages. Every rank of the group enters every
/// collective, in the same order, with shapes that agree; a group of one is valid and every
/// collective is then the identity. Views are contiguous and lie in the memory that the transport
/// serves (host or device).
/// Order:   enqueued on the stream argument; for host memory it has finished on return.
/// Threads: one thread at a time per communicator, except for abort(); two threads may use two
///          communicators at once.
/// Throws:  BugError on arguments that do not fit; SystemError naming rank, group and collective
///          when a peer is lost, has aborted, or does not arrive before the deadline. After either
///          the group is of no further use.
class Communicator {
 public:
  virtual ~Communicator() = default;
  Communicator(const Communicator&) = delete;
  Communicator& operator=(const Communicator&) = delete;

  [[nodiscard]] int rank() const { return rank_; }
  [[nodiscard]] int size() const { return size_; }
  /// The name of this group in messages: "tensor", "data", "world".
  [[nodiscard]] std::string_view label() const { return label_; }

  /// x := sum of every rank's x, in place, added in f32 in the order of reduce_tree.h: the bits do
  /// not depend on transport, message size or timing.
  ///   x   [any]   f32
  virtual void all_reduce(const Stream& stream, TensorView x) = 0;
  /// recv := the rows of all ranks, one rank after the other.
  ///   send  [rows_per_rank[rank()], ...]   any dtype; may be empty; may be this rank's rows of
  ///                                        recv, and overlaps recv nowhere else
  ///   recv  [Σ rows_per_rank, ...]         dtype of send
  virtual void all_gather(const Stream& stream, ConstTensorView send, TensorView recv,
                          std::span<const std::int64_t> rows_per_rank) = 0;
  /// As all_gather, but only `root` receives; elsewhere `recv` is ignored.
  virtual void gather(const Stream& stream, ConstTensorView send, TensorView recv,
                      std::span<const std::int64_t> rows_per_rank, int root) = 0;
  /// x := root's x.
  virtual void broadcast(const Stream& stream, TensorView x, int root) = 0;
  /// Point to point, matched in order per pair of ranks and tag, 0 <= tag < kMaxTag; both sides
  /// give the same number of bytes. A message of a rank to itself is buffered.
  virtual void send(const Stream& stream, ConstTensorView x, int to, int tag) = 0;
  virtual void recv(const Stream& stream, TensorView x, int from, int tag) = 0;
  /// As send, of host memory, without waiting for a receiver that is slow: x is copied and leaves
  /// while this rank makes calls. At most 1 GiB.
  virtual void post(ConstTensorView x, int to, int tag) = 0;
  /// True when a message from `from` (or, with -1, from any rank) with this tag has arrived; writes
  /// `from` and the number of bytes (of the first part, where a message is over 1 GiB). Poll with
  /// probe() to wait for longer than the deadline.
  virtual bool probe(int& from, int tag, std::int64_t& bytes) = 0;
  /// Returns when every rank has entered.
  virtual void barrier() = 0;
  /// Blocks until everything enqueued on the stream has finished. Throws SystemError after the
  /// deadline or when a peer failed. The engine's only blocking call.
  virtual void wait(const Stream& stream) = 0;
  /// Groups by colour (>= 0), ordered by key, then rank. Collective. `label` is copied.
  virtual std::unique_ptr<Communicator> split(int color, int key, std::string_view label) = 0;
  /// Breaks this group, the group it came from and all groups split from that: every wait in one of
  /// them, and every entry into one, throws SystemError with `reason` on this process. watch.h
  /// informs other processes. Any thread may call it; the first reason stays.
  virtual void abort(std::string_view reason) = 0;

  static constexpr int kMaxTag = 1 << 20;

 protected:
  Communicator(int rank, int size, std::string_view label)
      : rank_(rank), size_(size), label_(label) {}

 private:
  int rank_;
  int size_;
  std::string label_;
};

/// Root's value of a trivially copyable T, on every rank. Host communicators only.
template <class T>
void broadcast_value(Communicator& comm, T& value, int root = 0) {
  static_assert(std::is_trivially_copyable_v<T>);
  const Stream stream{Device{}};
  comm.broadcast(stream,
                 TensorView(reinterpret_cast<std::byte*>(&value), DType::kU8,
                            Shape{static_cast<std::int64_t>(sizeof(T))}),
                 root);
}

/// Root's bytes on every rank, resized to fit. Host communicators only.
template <class Container>
void broadcast_container(Communicator& comm, Container& bytes, int root = 0) {
  static_assert(std::is_trivially_copyable_v<typename Container::value_type>);
  std::int64_t count = static_cast<std::int64_t>(bytes.size());
  broadcast_value(comm, count, root);
  bytes.resize(static_cast<std::size_t>(count));
  if (count == 0) return;
  const Stream stream{Device{}};
  comm.broadcast(stream,
                 TensorView(reinterpret_cast<std::byte*>(bytes.data()), DType::kU8,
                            Shape{count * static_cast<std::int64_t>(sizeof(*bytes.data()))}),
                 root);
}

}  // namespace retinue
