#include "runtime/engine/kv_cache.h"

#include "parallel/base/check.h"

namespace retinue::runtime {

KvCache::KvCache(std::int64_t blocks, std::int64_t block_tokens)
    : block_tokens_(block_tokens), blocks_(static_cast<std::size_t>(blocks)) {
  for (std::int32_t block = 0; block < static_cast<std::int32_t>(blocks); ++block)
    at(block).place = free_.insert(free_.end(), block);
}

std::int64_t KvCache::match(std::span<const ContentKey> keys) const {
  std::int64_t count = 0;
  for (const ContentKey& key : keys) {
    if (!named_.contains(key)) break;
    ++count;
  }
  return count;
}

std::int64_t KvCache::held(std::span<const ContentKey> keys) const {
  std::int64_t count = 0;
  for (const ContentKey& key : keys)
    if (at(named_.at(key)).holders > 0) ++count;
  return count;
}

void KvCache::share(std::span<const ContentKey> keys, std::vector<std::int32_t>& table) {
  for (const ContentKey& key : keys) {
    const std::int32_t block = named_.at(key);
    if (at(block).holders++ == 0) held_.splice(held_.end(), kept_, at(block).place);
    table.push_back(block);
  }
}

bool KvCache::grow(std::vector<std::int32_t>& table) {
  Places& from = free_.empty() ? kept_ : free_;
  if (from.empty()) return false;
  const std::int32_t block = from.front();
  forget(at(block));
  at(block).holders = 1;
  held_.splice(held_.end(), from, at(block).place);
  table.push_back(block);
  return true;
}

void KvCache::forget(Block& entry) {
  if (entry.key == ContentKey{}) return;
  named_.erase(entry.key);
  entry.key = {};
}

void KvCache::publish(std::int32_t block, const ContentKey& key) {
  if (at(block).key == key) return;
  if (named_.emplace(key, block).second) at(block).key = key;
}

void KvCache::release(std::vector<std::int32_t>& table) {
  // The last block first, so that the beginning of a prompt, which more requests share, stays
  // longest.
  for (auto block = table.rbegin(); block != table.rend(); ++block) {
    Block& entry = at(*block);
    check(entry.holders > 0, "a block is released by a sequence that holds it");
    if (--entry.holders > 0) continue;
    Places& to = entry.key == ContentKey{} ? free_ : kept_;
    to.splice(to.end(), held_, entry.place);
  }
  table.clear();
}

void KvCache::discard(std::vector<std::int32_t>& table, std::vector<std::int32_t>& blocks) {
  for (const std::int32_t block : table)
    if (at(block).holders == 1) {
      forget(at(block));
      blocks.push_back(block);
    }
  release(table);
}

std::int32_t KvCache::slot(const std::vector<std::int32_t>& table, std::int64_t position) const {
  const auto index = static_cast<std::size_t>(position / block_tokens_);
  check(index < table.size(), "a token lies within its sequence's blocks");
  return table[index] * static_cast<std::int32_t>(block_tokens_) +
         static_cast<std::int32_t>(position % block_tokens_);
}

void KvCache::check_accounts(std::span<const std::vector<std::int32_t>* const> tables) const {
  std::vector<std::int64_t> holders(blocks_.size());
  for (const auto* table : tables)
    for (const std::int32_t block : *table) ++holders[static_cast<std::size_t>(block)];
  std::size_t held = 0;
  for (std::size_t block = 0; block < blocks_.size(); ++block) {
    check(blocks_[block].holders == holders[block],
          "a block has as many holders as tables name it");
    held += holders[block] > 0 ? 1 : 0;
  }
  check(held == held_.size() && held + free_.size() + kept_.size() == blocks_.size(),
        "every block is held, free or kept");
  check(named_.size() >= kept_.size(), "a block that is kept has a key");
}

}  // namespace retinue::runtime
