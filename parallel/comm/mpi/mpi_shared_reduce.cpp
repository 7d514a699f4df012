#include "parallel/comm/mpi/mpi_shared_reduce.h"

#include "parallel/base/check.h"
#include "parallel/comm/collective_args.h"
#include "parallel/comm/ordered_sum.h"

#include <algorithm>
#include <emmintrin.h>

namespace retinue {
namespace {

// Layout: a line of counters per rank | two short areas per rank | two partials per rank | two
// results. Everything is a whole number of cache lines.
constexpr std::int64_t kLineBytes = 64;
constexpr std::int64_t kTurns = 2;

std::int64_t whole_lines(std::int64_t elements) {
  const std::int64_t bytes = elements * static_cast<std::int64_t>(sizeof(float));
  return (bytes + kLineBytes - 1) / kLineBytes * kLineBytes;
}

/// Copies past the caches. A plain store to a line that a peer read last must first take it from
/// the peer's cache, one line at a time. On two cores of a Zen 4 guest 1.3 MB took up to 0.6 ms by
/// plain stores and 0.13 ms this way, and 10 MB never took longer. The barrier's fence orders
/// these stores.
void copy_past_caches(const float* from, const float* end, float* to) {
  constexpr int kLine = 16;
  while (from != end && reinterpret_cast<std::uintptr_t>(to) % kLineBytes != 0) *to++ = *from++;
  for (; end - from >= kLine; from += kLine, to += kLine)
    for (int i = 0; i < kLine; i += 4) _mm_stream_ps(to + i, _mm_loadu_ps(from + i));
  std::copy(from, end, to);
}

}  // namespace

std::size_t SharedReduce::bytes_needed(int size, const Blocks& blocks) {
  return static_cast<std::size_t>(size * kLineBytes +
                                  kTurns * size * whole_lines(blocks.short_message) +
                                  kTurns * (size + 1) * whole_lines(blocks.block));
}

SharedReduce::SharedReduce(std::byte* memory, int rank, int size, const Blocks& blocks)
    : memory_(memory),
      rank_(rank),
      size_(size),
      blocks_(blocks),
      parts_(static_cast<std::size_t>(size)) {}

float* SharedReduce::short_area(int turn, int rank) const {
  const std::int64_t at =
      size_ * kLineBytes + (turn * size_ + rank) * whole_lines(blocks_.short_message);
  return reinterpret_cast<float*>(memory_ + at);
}

float* SharedReduce::partial(std::int64_t block, int rank) const {
  const std::int64_t begin =
      size_ * kLineBytes + kTurns * size_ * whole_lines(blocks_.short_message);
  return reinterpret_cast<float*>(memory_ + begin +
                                  (block % kTurns * size_ + rank) * whole_lines(blocks_.block));
}

float* SharedReduce::result(std::int64_t block) const {
  return partial(0, 0) + (kTurns * size_ + block % kTurns) * whole_lines(blocks_.block) /
                             static_cast<std::int64_t>(sizeof(float));
}

void SharedReduce::barrier(Poll poll) {
  const auto counter = [&](int rank) {
    return std::atomic_ref(*reinterpret_cast<std::uint64_t*>(memory_ + rank * kLineBytes));
  };
  _mm_sfence();  // nothing else orders the stores past the caches
  ++epoch_;
  counter(rank_).store(epoch_, std::memory_order_release);
  for (int peer = 0; peer < size_; ++peer)
    while (counter(peer).load(std::memory_order_acquire) < epoch_) poll.pause();
}

void SharedReduce::all_reduce(std::span<float> x, const PollPolicy& policy,
                              const BrokenFlag& broken, std::string_view who) {
  const Poll poll(policy, broken, who, "all_reduce");
  if (static_cast<std::int64_t>(x.size()) <= blocks_.short_message)
    sum_short(x, poll);
  else
    sum_long(x, poll);
}

// One barrier: every rank publishes, then every rank sums. The next call writes the other area. The
// call after that writes this one again, but only after the next call's barrier, when all ranks
// have read it.
void SharedReduce::sum_short(std::span<float> x, Poll poll) {
  std::ranges::copy(x, short_area(turn_, rank_));
  barrier(poll);
  for (int peer = 0; peer < size_; ++peer)
    parts_[static_cast<std::size_t>(peer)] = short_area(turn_, peer);
  ordered_sum(parts_, static_cast<std::int64_t>(x.size()), x.data());
  turn_ ^= 1;
}

// A pipeline with one barrier per phase: in phase p a rank publishes block p, sums its slice of
// block p - 1 and copies the others' slices of block p - 2. Its own slice it reads and writes in x.
void SharedReduce::sum_long(std::span<float> x, Poll poll) {
  const auto count = static_cast<std::int64_t>(x.size());
  const std::int64_t blocks = (count + blocks_.block - 1) / blocks_.block;
  const auto length = [&](std::int64_t b) {
    return std::min(blocks_.block, count - b * blocks_.block);
  };
  const auto own_slice = [&](std::int64_t b) {
    return detail::slice_of_count(length(b), rank_, size_);
  };
  for (std::int64_t p = 0; p < blocks + 2; ++p) {
    if (p < blocks) {
      const auto own = own_slice(p);
      const float* from = x.data() + p * blocks_.block;
      copy_past_caches(from, from + own.begin, partial(p, rank_));
      copy_past_caches(from + own.end, from + length(p), partial(p, rank_) + own.end);
    }
    if (p >= 1 && p <= blocks) {
      const std::int64_t b = p - 1;
      const auto own = own_slice(b);
      float* own_x = x.data() + b * blocks_.block + own.begin;
      for (int peer = 0; peer < size_; ++peer)
        parts_[static_cast<std::size_t>(peer)] =
            peer == rank_ ? own_x : partial(b, peer) + own.begin;
      ordered_sum(parts_, own.end - own.begin, own_x);
      copy_past_caches(own_x, own_x + (own.end - own.begin), result(b) + own.begin);
    }
    if (p >= 2) {
      const std::int64_t b = p - 2;
      const auto own = own_slice(b);
      float* to = x.data() + b * blocks_.block;
      std::copy(result(b), result(b) + own.begin, to);
      std::copy(result(b) + own.end, result(b) + length(b), to + own.end);
    }
    if (p <= blocks) barrier(poll);
  }
}

}  // namespace retinue
