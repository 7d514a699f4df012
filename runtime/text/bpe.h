#pragma once

// Tested through tests/runtime/text/tokenizer_test.cpp.

#include <cstddef>
#include <cstdint>
#include <vector>

namespace retinue::runtime {

/// Byte-pair merges: the pair of the lowest rank is merged first, among equals the leftmost.
/// Sennrich et al. 2016, 1508.07909; tokenizers: models::bpe::Word::merge_all
class BpeMerges {
 public:
  /// Makes room for `merges` calls of add().
  explicit BpeMerges(std::size_t merges);

  /// The pair (left, right) becomes `merged`; a lower rank goes first. A pair given twice keeps the
  /// last rank. Ids are ≥ 0.
  void add(std::int32_t left, std::int32_t right, std::uint32_t rank, std::int32_t merged);

  /// Merges the symbols of one piece, in place. Takes n log n steps for n symbols.
  void apply(std::vector<std::int32_t>& symbols) const;

 private:
  struct Slot {
    std::uint64_t pair = ~std::uint64_t{0};
    std::uint32_t rank = ~std::uint32_t{0};
    std::int32_t merged = -1;
  };
  [[nodiscard]] const Slot* find(std::int32_t left, std::int32_t right) const;
  [[nodiscard]] std::size_t home(std::uint64_t pair) const;
  void apply_short(std::vector<std::int32_t>& symbols) const;
  void apply_long(std::vector<std::int32_t>& symbols) const;

  std::vector<Slot> slots_;  // open addressing, a power of two, never full
  int shift_ = 0;
};

}  // namespace retinue::runtime
