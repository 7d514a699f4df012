#pragma once

#include "runtime/dataset/item.h"

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>

namespace retinue::runtime {

/// What the items of a table bring, at most and in all: enough to plan memory.
struct ItemSummary {
  std::int64_t images = 0, videos = 0;  ///< over all items
  std::int64_t max_media = 0;           ///< images and videos of one item
  std::int64_t max_text_bytes = 0;      ///< of one item; eight for each frame of a video
  std::int64_t max_new_tokens = 0;      ///< of the items that say it themselves

  void count(const Item& item);
};

/// The items of a job in the order in which they are dealt, on disk: memory does not grow with
/// them. A folder holds
///   items       one record per item, its checksum first; its SHA-256 is what names the table
///   index       16 bytes per item: where its record begins, cost, ordinal
///   table.json  count, SHA-256, summary; written last, so a folder without it is none
/// Read with pread and not mapped: a disk that fails is an error then and not a signal, and pages
/// once read do not count as this process's. Copies share the open files; any thread may read.
class ItemTable {
 public:
  ItemTable() = default;  ///< no items
  /// Opens a folder that ItemTableWriter made. Throws: SystemError when it is none, or damaged.
  explicit ItemTable(const std::string& folder);
  /// Of a few items, held in memory.
  static ItemTable of(std::span<const Item> items);

  [[nodiscard]] std::size_t size() const { return size_; }
  /// Throws: SystemError, as the next, when the disk does not give back what was written.
  [[nodiscard]] Item item(std::size_t index) const;
  /// As item, still packed.
  [[nodiscard]] std::string packed(std::size_t index) const;
  [[nodiscard]] std::uint32_t cost(std::size_t index) const;  ///< predicted_cost of the item
  [[nodiscard]] std::int64_t ordinal(std::size_t index) const;
  [[nodiscard]] const ItemSummary& summary() const { return summary_; }
  /// Of all that the items are, in this order.
  [[nodiscard]] const std::string& sha256() const { return sha256_; }

 private:
  friend class ItemTableWriter;
  struct Files;
  std::shared_ptr<const Files> files_;
  std::size_t size_ = 0;
  ItemSummary summary_;
  std::string sha256_;
};

/// Where the first item lies in which two tables differ; nothing when they are equal.
std::optional<std::size_t> first_difference(const ItemTable& a, const ItemTable& b);

/// Which of the listed items are meant: shuffled, then the shard, then the limit.
struct ItemSelection {
  std::optional<std::uint64_t> shuffle;
  std::uint64_t shard = 0, shards = 1;
  std::uint64_t limit = 0;  ///< 0: all
};

/// Writes a table while items are found. Memory: some 16 bytes per item, and 4 to shuffle.
///
/// Ids are made unique: the second item of an id fails, and says where the first stands; a file
/// that is reached twice without a manifest is one item. Both are decided by comparing the ids
/// themselves.
class ItemTableWriter final : public ItemSink {
 public:
  /// `folder` is made, and emptied where it exists; without one the files have no name.
  /// Throws: SystemError, as the others, when the disk refuses.
  ItemTableWriter(std::string folder, const ItemSelection& selection);
  ~ItemTableWriter() override;

  bool add(Item item) override;
  /// Items that were listed, meant or not.
  [[nodiscard]] std::uint64_t listed() const { return listed_; }
  /// Everything is durable.
  [[nodiscard]] ItemTable finish();

 private:
  friend class ItemTable;
  struct Parts;
  class IdIndex;
  [[nodiscard]] bool is_taken(const std::string& id);
  [[nodiscard]] bool resolve_id(Item& item);
  static ItemTable table_of(Parts& parts, const std::string& folder);

  std::string folder_;
  ItemSelection selection_;
  std::unique_ptr<Parts> parts_;
  std::unique_ptr<IdIndex> ids_;
  std::uint64_t listed_ = 0;
};

}  // namespace retinue::runtime
