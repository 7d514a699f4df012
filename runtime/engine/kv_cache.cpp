#include "runtime/engine/kv_cache.h"

#include "parallel/base/check.h"

#include <algorithm>

namespace retinue::runtime {

KvCache::KvCache(std::int64_t blocks, std::int64_t block_tokens) : block_tokens_(block_tokens) {
  for (std::int64_t i = blocks - 1; i >= 0; --i) free_.push_back(static_cast<std::int32_t>(i));
}

std::vector<std::int32_t> KvCache::allocate(std::int64_t tokens) {
  check(can_hold(tokens), "a sequence is admitted only where its pages are free");
  const auto count = static_cast<std::ptrdiff_t>(blocks_for(tokens));
  std::vector<std::int32_t> table(free_.end() - count, free_.end());
  free_.resize(free_.size() - table.size());
  return table;
}

void KvCache::release(std::vector<std::int32_t>& table) {
  free_.insert(free_.end(), table.begin(), table.end());
  table.clear();
}

std::int32_t KvCache::slot(const std::vector<std::int32_t>& table, std::int64_t position) const {
  const auto page = static_cast<std::size_t>(position / block_tokens_);
  check(page < table.size(), "a token lies beyond its sequence's pages");
  return table[page] * static_cast<std::int32_t>(block_tokens_) +
         static_cast<std::int32_t>(position % block_tokens_);
}

std::int64_t FeatureRows::allocate(std::int64_t count) {
  std::int64_t at = 0;
  auto next = used_.begin();
  for (; next != used_.end() && next->first - at < count; ++next) at = next->first + next->count;
  if (next == used_.end() && rows_ - at < count) return -1;
  used_.insert(next, {at, count});
  return at;
}

void FeatureRows::release(std::int64_t first, std::int64_t count) {
  const auto found = std::find_if(used_.begin(), used_.end(), [&](const Range& r) {
    return r.first == first && r.count == count;
  });
  check(found != used_.end(), "rows are released as they were taken");
  used_.erase(found);
}

}  // namespace retinue::runtime
