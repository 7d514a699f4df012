#include "runtime/text/bpe.h"

#include <algorithm>
#include <bit>
#include <queue>
#include <tuple>

namespace retinue::runtime {
namespace {

constexpr std::uint32_t kNoRank = ~std::uint32_t{0};

std::uint64_t pair_key(std::int32_t left, std::int32_t right) {
  return (static_cast<std::uint64_t>(static_cast<std::uint32_t>(left)) << 32U) |
         static_cast<std::uint32_t>(right);
}

}  // namespace

BpeMerges::BpeMerges(std::size_t merges)
    : slots_(std::bit_ceil(std::max<std::size_t>(16, merges + merges / 2))),
      shift_(64 - std::countr_zero(slots_.size())) {}

std::size_t BpeMerges::home(std::uint64_t pair) const {
  return static_cast<std::size_t>((pair * 0x9E3779B97F4A7C15ULL) >> shift_);
}

void BpeMerges::add(std::int32_t left, std::int32_t right, std::uint32_t rank,
                    std::int32_t merged) {
  const std::uint64_t pair = pair_key(left, right);
  std::size_t i = home(pair);
  while (slots_[i].merged >= 0 && slots_[i].pair != pair) i = (i + 1) & (slots_.size() - 1);
  slots_[i] = {pair, rank, merged};
}

const BpeMerges::Slot* BpeMerges::find(std::int32_t left, std::int32_t right) const {
  const std::uint64_t pair = pair_key(left, right);
  for (std::size_t i = home(pair); slots_[i].merged >= 0; i = (i + 1) & (slots_.size() - 1)) {
    if (slots_[i].pair == pair) return &slots_[i];
  }
  return nullptr;
}

void BpeMerges::apply(std::vector<std::int32_t>& symbols) const {
  if (symbols.size() < 2) return;
  if (symbols.size() <= 48) {
    apply_short(symbols);
  } else {
    apply_long(symbols);
  }
}

// A word has a few symbols: scanning them is faster than a heap, though quadratic.
void BpeMerges::apply_short(std::vector<std::int32_t>& symbols) const {
  const Slot* pairs[48];
  for (std::size_t i = 0; i + 1 < symbols.size(); ++i) pairs[i] = find(symbols[i], symbols[i + 1]);
  while (symbols.size() > 1) {
    std::uint32_t best = kNoRank;
    std::size_t at = 0;
    for (std::size_t i = 0; i + 1 < symbols.size(); ++i) {
      if (pairs[i] != nullptr && pairs[i]->rank < best) {
        best = pairs[i]->rank;
        at = i;
      }
    }
    if (best == kNoRank) return;
    symbols[at] = pairs[at]->merged;
    std::copy(pairs + at + 1, pairs + symbols.size() - 1, pairs + at);
    symbols.erase(symbols.begin() + static_cast<std::ptrdiff_t>(at) + 1);
    if (at > 0) pairs[at - 1] = find(symbols[at - 1], symbols[at]);
    if (at + 1 < symbols.size()) pairs[at] = find(symbols[at], symbols[at + 1]);
  }
}

// Symbols are a linked list, candidate pairs a heap. A candidate whose symbols have changed is
// dropped when it comes out of the heap.
void BpeMerges::apply_long(std::vector<std::int32_t>& symbols) const {
  struct Candidate {
    std::uint32_t rank;
    std::uint32_t at;
    std::int32_t left, right, merged;
    bool operator>(const Candidate& o) const { return std::tie(rank, at) > std::tie(o.rank, o.at); }
  };
  const auto size = static_cast<std::uint32_t>(symbols.size());
  const std::uint32_t end = size;
  std::vector<std::uint32_t> next(size), previous(size);
  std::priority_queue<Candidate, std::vector<Candidate>, std::greater<>> heap;
  const auto offer = [&](std::uint32_t at) {
    const std::uint32_t after = next[at];
    if (after == end) return;
    if (const Slot* slot = find(symbols[at], symbols[after])) {
      heap.push({slot->rank, at, symbols[at], symbols[after], slot->merged});
    }
  };
  for (std::uint32_t i = 0; i < size; ++i) {
    next[i] = i + 1;
    previous[i] = i == 0 ? end : i - 1;
  }
  for (std::uint32_t i = 0; i + 1 < size; ++i) offer(i);
  while (!heap.empty()) {
    const Candidate best = heap.top();
    heap.pop();
    const std::uint32_t after = next[best.at];
    if (symbols[best.at] != best.left || after == end || symbols[after] != best.right) continue;
    symbols[best.at] = best.merged;
    symbols[after] = -1;
    next[best.at] = next[after];
    if (next[after] != end) previous[next[after]] = best.at;
    offer(best.at);
    if (previous[best.at] != end) offer(previous[best.at]);
  }
  std::erase(symbols, -1);
}

}  // namespace retinue::runtime
