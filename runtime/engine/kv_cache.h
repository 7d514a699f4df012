#pragma once

#include "runtime/engine/request.h"

#include <cstddef>
#include <cstdint>
#include <list>
#include <map>
#include <span>
#include <vector>

namespace retinue::runtime {

/// Records which sequences hold which blocks of the KV cache. Equal tokens at equal positions after equal
/// pixels give equal bits, so sequences share such blocks. A published block stays after its last
/// holder has gone until its memory is needed; the least recently used goes first.
class KvCache {
 public:
  KvCache(std::int64_t blocks, std::int64_t block_tokens);

  [[nodiscard]] std::int64_t blocks() const { return static_cast<std::int64_t>(blocks_.size()); }
  [[nodiscard]] std::int64_t blocks_for(std::int64_t tokens) const {
    return (tokens + block_tokens_ - 1) / block_tokens_;
  }
  /// Blocks that no sequence holds, those that stay for others included.
  [[nodiscard]] std::int64_t available() const {
    return static_cast<std::int64_t>(free_.size() + kept_.size());
  }
  /// How many of `keys`, counted from the first, name a cached block.
  [[nodiscard]] std::int64_t match(std::span<const ContentKey> keys) const;
  /// How many of the blocks that match() found are held by sequences.
  [[nodiscard]] std::int64_t held(std::span<const ContentKey> keys) const;
  /// Appends the blocks that match() has found under `keys`.
  void share(std::span<const ContentKey> keys, std::vector<std::int32_t>& table);
  /// Appends an empty block. False when every block is held.
  bool grow(std::vector<std::int32_t>& table);
  /// Lets others find the block under `key`, unless another block has that key.
  void publish(std::int32_t block, const ContentKey& key);
  void release(std::vector<std::int32_t>& table);
  /// As release, but blocks without another holder lose their key and are appended to `blocks`.
  void discard(std::vector<std::int32_t>& table, std::vector<std::int32_t>& blocks);
  /// The cache slot of token `position` of a sequence.
  [[nodiscard]] std::int32_t slot(const std::vector<std::int32_t>& table,
                                  std::int64_t position) const;
  /// Throws: BugError unless every block has as many holders as `tables` name it, or is free or
  /// kept.
  void check_accounts(std::span<const std::vector<std::int32_t>* const> tables) const;

 private:
  using Places = std::list<std::int32_t>;
  struct Block {
    std::int64_t holders = 0;
    ContentKey key{};
    Places::iterator place;  ///< in one of the three lists; moved, never copied
  };

  Block& at(std::int32_t block) { return blocks_[static_cast<std::size_t>(block)]; }
  [[nodiscard]] const Block& at(std::int32_t block) const {
    return blocks_[static_cast<std::size_t>(block)];
  }
  void forget(Block& entry);

  std::int64_t block_tokens_;
  std::vector<Block> blocks_;
  Places free_, kept_, held_;  ///< kept: published, without holders, least recently used first
  std::map<ContentKey, std::int32_t> named_;
};

}  // namespace retinue::runtime
