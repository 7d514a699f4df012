#pragma once

#include <cstdint>
#include <vector>

namespace retinue::runtime {

/// Who owns which page. A sequence takes all pages that it can ever need when it is admitted, so
/// that none is ever put back half done.
class KvCache {
 public:
  KvCache(std::int64_t blocks, std::int64_t block_tokens);

  [[nodiscard]] std::int64_t blocks_for(std::int64_t tokens) const {
    return (tokens + block_tokens_ - 1) / block_tokens_;
  }
  [[nodiscard]] std::int64_t free_blocks() const { return static_cast<std::int64_t>(free_.size()); }
  [[nodiscard]] bool can_hold(std::int64_t tokens) const {
    return blocks_for(tokens) <= free_blocks();
  }
  /// The block table of a sequence. Throws: BugError when it does not fit.
  std::vector<std::int32_t> allocate(std::int64_t tokens);
  void release(std::vector<std::int32_t>& table);
  /// Where token `position` of a sequence is kept.
  [[nodiscard]] std::int32_t slot(const std::vector<std::int32_t>& table,
                                  std::int64_t position) const;

 private:
  std::int64_t block_tokens_;
  std::vector<std::int32_t> free_;
};

/// Contiguous rows of the feature buffer, first fit.
class FeatureRows {
 public:
  explicit FeatureRows(std::int64_t rows) : rows_(rows) {}
  /// First row, or -1 when no gap is large enough.
  std::int64_t allocate(std::int64_t count);
  void release(std::int64_t first, std::int64_t count);

 private:
  struct Range {
    std::int64_t first, count;
  };
  std::int64_t rows_;
  std::vector<Range> used_;  ///< in order
};

}  // namespace retinue::runtime
