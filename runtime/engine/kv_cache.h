#pragma once

#include "runtime/engine/request.h"

#include <cstddef>
#include <cstdint>
#include <list>
#include <map>
#include <span>
#include <vector>

namespace retinue::runtime {

/// Who holds which block. Blocks that hold the same tokens at the same positions after the same
/// pixels hold the same bits, so sequences share them; a named block that nobody holds is kept until
/// its memory is wanted, the one that was used longest ago first.
class KvCache {
 public:
  KvCache(std::int64_t blocks, std::int64_t block_tokens);

  [[nodiscard]] std::int64_t blocks() const { return static_cast<std::int64_t>(blocks_.size()); }
  [[nodiscard]] std::int64_t blocks_for(std::int64_t tokens) const {
    return (tokens + block_tokens_ - 1) / block_tokens_;
  }
  /// Blocks that no sequence holds.
  [[nodiscard]] std::int64_t available() const {
    return static_cast<std::int64_t>(free_.size() + kept_.size());
  }
  /// How many of `keys`, from the first on, name a block that is there.
  [[nodiscard]] std::int64_t match(std::span<const ContentKey> keys) const;
  /// Of the blocks that match() found, those that somebody holds.
  [[nodiscard]] std::int64_t held(std::span<const ContentKey> keys) const;
  /// Appends the blocks that `keys` name, which match() has found.
  void share(std::span<const ContentKey> keys, std::vector<std::int32_t>& table);
  /// Appends an empty block. False when every block is held.
  bool grow(std::vector<std::int32_t>& table);
  /// From now on others find the block under `key`, unless another has that name already.
  void publish(std::int32_t block, const ContentKey& key);
  void release(std::vector<std::int32_t>& table);
  /// As release, but what nobody else holds is forgotten and appended to `blocks`.
  void discard(std::vector<std::int32_t>& table, std::vector<std::int32_t>& blocks);
  /// Where token `position` of a sequence is kept.
  [[nodiscard]] std::int32_t slot(const std::vector<std::int32_t>& table,
                                  std::int64_t position) const;
  /// Throws: BugError unless every block is held as often as `tables` name it, or free, or kept.
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
  Places free_, kept_, held_;  ///< kept: used longest ago first
  std::map<ContentKey, std::int32_t> named_;
};

}  // namespace retinue::runtime
