#include "cuda_emulator/device_warp.h"

#include <algorithm>

namespace cuda_emulator {
namespace {

enum class ShuffleKind { kIndex, kUp, kDown, kXor };

/// The lane that `lane` reads from; `lane` itself where that is outside its segment.
int source_lane(ShuffleKind kind, int lane, const Shuffle& s) {
  const int first = lane & ~(s.width - 1), last = first + s.width - 1;
  switch (kind) {
    case ShuffleKind::kIndex:
      return first | (s.operand & (s.width - 1));
    case ShuffleKind::kUp:
      return lane - s.operand < first ? lane : lane - s.operand;
    case ShuffleKind::kDown:
      return lane + s.operand > last ? lane : lane + s.operand;
    case ShuffleKind::kXor:
      return (lane ^ s.operand) > last ? lane : lane ^ s.operand;
  }
  return lane;
}

template <ShuffleKind kKind>
void complete_shuffle(std::uint32_t mask, void* const* operands) {
  for (std::uint32_t rest = mask; rest != 0; rest &= rest - 1) {
    const int lane = std::countr_zero(rest);
    auto& mine = *static_cast<Shuffle*>(operands[lane]);
    if (mine.width <= 0 || mine.width > 32 ||
        !std::has_single_bit(static_cast<unsigned>(mine.width))) {
      fail("a shuffle of width %d; wanted a power of two up to 32", mine.width);
    }
    const int source = source_lane(kKind, lane, mine);
    if (source < 0 || source > 31 || operands[source] == nullptr) {
      fail("lane %d shuffles from lane %d, which is not in the mask 0x%08x", lane, source, mask);
    }
    mine.result = static_cast<const Shuffle*>(operands[source])->value;
  }
}

void complete_nothing(std::uint32_t, void* const*) {}

void complete_ballot(std::uint32_t mask, void* const* operands) {
  std::uint32_t ballot = 0;
  for (std::uint32_t rest = mask; rest != 0; rest &= rest - 1) {
    const int lane = std::countr_zero(rest);
    ballot |= static_cast<const Vote*>(operands[lane])->value << lane;
  }
  for (std::uint32_t rest = mask; rest != 0; rest &= rest - 1) {
    static_cast<Vote*>(operands[std::countr_zero(rest)])->result = ballot;
  }
}

void complete_match(std::uint32_t mask, void* const* operands) {
  for (std::uint32_t rest = mask; rest != 0; rest &= rest - 1) {
    auto& mine = *static_cast<Vote*>(operands[std::countr_zero(rest)]);
    mine.result = 0;
    for (std::uint32_t others = mask; others != 0; others &= others - 1) {
      const int other = std::countr_zero(others);
      if (static_cast<const Vote*>(operands[other])->value == mine.value)
        mine.result |= 1u << other;
    }
  }
}

template <auto kCombine>
void complete_reduction(std::uint32_t mask, void* const* operands) {
  std::uint32_t rest = mask;
  std::uint32_t total = static_cast<const Vote*>(operands[std::countr_zero(rest)])->value;
  for (rest &= rest - 1; rest != 0; rest &= rest - 1) {
    total = kCombine(total, static_cast<const Vote*>(operands[std::countr_zero(rest)])->value);
  }
  for (rest = mask; rest != 0; rest &= rest - 1) {
    static_cast<Vote*>(operands[std::countr_zero(rest)])->result = total;
  }
}

using U = std::uint32_t;
constexpr auto kSignedLess = [](U a, U b) {
  return static_cast<std::int32_t>(a) < static_cast<std::int32_t>(b);
};

}  // namespace

constinit const WarpOperation kShuffleIndex{"__shfl_sync", complete_shuffle<ShuffleKind::kIndex>,
                                            true};
constinit const WarpOperation kShuffleUp{"__shfl_up_sync", complete_shuffle<ShuffleKind::kUp>,
                                         true};
constinit const WarpOperation kShuffleDown{"__shfl_down_sync", complete_shuffle<ShuffleKind::kDown>,
                                           true};
constinit const WarpOperation kShuffleXor{"__shfl_xor_sync", complete_shuffle<ShuffleKind::kXor>,
                                          true};
constinit const WarpOperation kSyncWarp{"__syncwarp", complete_nothing, false};
constinit const WarpOperation kBallot{"a vote (__ballot_sync, __any_sync, __all_sync)",
                                      complete_ballot, true};
constinit const WarpOperation kMatchAny{"__match_any_sync", complete_match, true};
constinit const WarpOperation kReduceAdd{"__reduce_add_sync",
                                         complete_reduction<[](U a, U b) { return a + b; }>, true};
constinit const WarpOperation kReduceMinUnsigned{
    "__reduce_min_sync", complete_reduction<[](U a, U b) { return std::min(a, b); }>, true};
constinit const WarpOperation kReduceMaxUnsigned{
    "__reduce_max_sync", complete_reduction<[](U a, U b) { return std::max(a, b); }>, true};
constinit const WarpOperation kReduceMinSigned{
    "__reduce_min_sync", complete_reduction<[](U a, U b) { return kSignedLess(a, b) ? a : b; }>,
    true};
constinit const WarpOperation kReduceMaxSigned{
    "__reduce_max_sync", complete_reduction<[](U a, U b) { return kSignedLess(a, b) ? b : a; }>,
    true};
constinit const WarpOperation kReduceAnd{"__reduce_and_sync",
                                         complete_reduction<[](U a, U b) { return a & b; }>, true};
constinit const WarpOperation kReduceOr{"__reduce_or_sync",
                                        complete_reduction<[](U a, U b) { return a | b; }>, true};
constinit const WarpOperation kReduceXor{"__reduce_xor_sync",
                                         complete_reduction<[](U a, U b) { return a ^ b; }>, true};

std::uint32_t vote(const WarpOperation& operation, std::uint32_t mask, std::uint32_t value) {
  Vote mine{value, 0};
  warp_rendezvous(operation, mask, &mine);
  return mine.result;
}

}  // namespace cuda_emulator
