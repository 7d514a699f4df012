#include "tests/support/cuda_emulator/src/mbarriers.h"

#include "cuda_emulator/simt.h"

namespace cuda_emulator {
namespace {

constexpr std::uint32_t kMostArrivals = (1u << 20) - 1;
constexpr std::int64_t kMostBytes = (1 << 20) - 1;

/// What the 8 bytes of an mbarrier hold here.
std::uint64_t mark_of(const std::uint64_t* at) {
  return reinterpret_cast<std::uintptr_t>(at) ^ 0x6D62'6172'7269'6572;
}

}  // namespace

void Mbarriers::init(std::uint64_t* at, std::uint32_t arrivals, MbarrierUser user) {
  require_aligned(at, 8, "an mbarrier");
  if (arrivals < 1 || arrivals > kMostArrivals) fail("an mbarrier of %u arrivals", arrivals);
  if (all_.contains(at)) fail("mbarrier_init of an mbarrier that is in use");
  *at = mark_of(at);
  all_[at] = {.arrivals = arrivals, .pending = arrivals, .creator = user, .parities = {}};
}

Mbarriers::Mbarrier& Mbarriers::find(std::uint64_t* at, const char* operation) {
  const auto found = all_.find(at);
  if (found == all_.end()) fail("%s: no mbarrier was initialised there", operation);
  if (*at != mark_of(at)) fail("%s: the bytes of the mbarrier were overwritten", operation);
  return found->second;
}

void Mbarriers::require_ordered(const Mbarrier& barrier, MbarrierUser user, const char* operation) {
  if (user.thread != barrier.creator.thread && user.intervals == barrier.creator.intervals)
    fail("%s: no __syncthreads() is between mbarrier_init and its use by another thread",
         operation);
}

void Mbarriers::invalidate(std::uint64_t* at, MbarrierUser user) {
  require_ordered(find(at, "mbarrier_invalidate"), user, "mbarrier_invalidate");
  if (all_[at].bytes != 0) fail("mbarrier_invalidate: %s", describe(at).c_str());
  all_.erase(at);
}

void Mbarriers::fence(std::uint32_t thread) {
  for (auto& [at, barrier] : all_) barrier.fenced |= barrier.creator.thread == thread;
}

void Mbarriers::require_fenced(std::uint64_t* at, MbarrierUser user) const {
  const Mbarrier& barrier = const_cast<Mbarriers*>(this)->find(at, "copy_box_2d");
  require_ordered(barrier, user, "copy_box_2d");
  if (!barrier.fenced) fail("copy_box_2d: mbarrier_init without mbarrier_init_fence behind it");
}

bool Mbarriers::finish_phase(Mbarrier& barrier) {
  if (barrier.pending > 0 || barrier.bytes > 0) return false;
  if (barrier.bytes < 0)
    fail("a phase of an mbarrier got %lld bytes more than it expects",
         static_cast<long long>(-barrier.bytes));
  ++barrier.phase;
  barrier.pending = barrier.arrivals;
  return true;
}

bool Mbarriers::arrive(std::uint64_t* at, std::uint32_t expected_bytes, MbarrierUser user) {
  Mbarrier& barrier = find(at, "mbarrier_arrive");
  require_ordered(barrier, user, "mbarrier_arrive");
  if (barrier.pending == 0)
    fail("mbarrier_arrive: more than the %u arrivals of a phase", barrier.arrivals);
  barrier.bytes += expected_bytes;
  if (barrier.bytes > kMostBytes)
    fail("mbarrier_arrive_expect: a phase expects more than 2^20 - 1 bytes");
  --barrier.pending;
  return finish_phase(barrier);
}

bool Mbarriers::complete_bytes(std::uint64_t* at, std::uint32_t bytes) {
  Mbarrier& barrier = find(at, "the end of a copy");
  barrier.bytes -= bytes;
  if (barrier.bytes < -kMostBytes) fail("2^20 bytes arrived that no phase expects");
  return finish_phase(barrier);
}

bool Mbarriers::wait(std::uint64_t* at, std::uint32_t parity, MbarrierUser user) {
  Mbarrier& barrier = find(at, "mbarrier_wait");
  require_ordered(barrier, user, "mbarrier_wait");
  if (parity > 1) fail("mbarrier_wait: the parity %u; wanted 0 or 1", parity);
  const auto last = barrier.parities.find(user.thread);
  if (last != barrier.parities.end() && last->second == parity)
    fail("mbarrier_wait: the parity %u twice; a thread's waits alternate", parity);
  barrier.parities[user.thread] = parity;
  return barrier.phase % 2 != parity;
}

void Mbarriers::end_block() const {
  for (const auto& [at, barrier] : all_)
    if (barrier.bytes != 0) fail("a block ends, and %s", describe(at).c_str());
}

std::string Mbarriers::describe(std::uint64_t* at) const {
  const auto found = all_.find(at);
  if (found == all_.end()) return "there is no mbarrier";
  const Mbarrier& barrier = found->second;
  return "phase " + std::to_string(barrier.phase) + " of an mbarrier lacks " +
         std::to_string(barrier.pending) + " of " + std::to_string(barrier.arrivals) +
         " arrivals and " + std::to_string(barrier.bytes) + " bytes";
}

}  // namespace cuda_emulator
