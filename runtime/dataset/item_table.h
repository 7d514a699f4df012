#pragma once

#include "runtime/dataset/item.h"
#include "runtime/dataset/passed_over.h"

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace retinue::runtime {

/// Maxima and totals over the items of a table, from which memory is planned.
struct ItemSummary {
  std::int64_t images = 0, videos = 0;  ///< over all items
  std::int64_t max_media = 0;           ///< images and videos of one item
  std::int64_t max_frames = 0;          ///< of a video that is given as a list of frames
  std::int64_t max_text_bytes = 0;      ///< of one item; with eight for each frame of a video
  std::int64_t max_new_tokens = 0;      ///< over items with sampling options; 0 without any

  void count(const Item& item);
};

/// The items of a job on disk, in the order in which replicas claim them. Memory does not grow with
/// their number. A folder holds
///   items       one record per item, with its checksum first; the SHA-256 of this file names the
///               table
///   index       16 bytes per item: offset of its record, cost, ordinal
///   table.json  count, SHA-256, summary, what was passed over; written last, so a folder without
///               it is no table
/// Files are read with pread and not mapped: a failing disk gives an error and not a signal, and
/// read pages belong to the page cache and not to this process. Copies share the open files; any
/// thread may read.
class ItemTable {
 public:
  ItemTable() = default;  ///< no items
  /// Opens a folder that ItemTableWriter made.
  /// Throws: SystemError when the folder is no table, or damaged.
  explicit ItemTable(const std::string& folder);
  /// A table of a few items, in memory.
  static ItemTable of(std::span<const Item> items);

  [[nodiscard]] std::size_t size() const { return size_; }
  /// Throws, as the functions below: SystemError when the disk fails or the data is damaged.
  [[nodiscard]] Item item(std::size_t index) const;
  /// The item as pack_item() wrote it.
  [[nodiscard]] std::string packed(std::size_t index) const;
  [[nodiscard]] std::uint32_t cost(std::size_t index) const;  ///< predicted_cost of the item
  [[nodiscard]] std::int64_t ordinal(std::size_t index) const;
  [[nodiscard]] const ItemSummary& summary() const { return summary_; }
  /// Hash of all items in their order.
  [[nodiscard]] const std::string& sha256() const { return sha256_; }
  /// Counts of what the inputs hold beside the items. No part of the hash.
  [[nodiscard]] const std::vector<PassedOver>& passed_over() const { return passed_over_; }

 private:
  friend class ItemTableWriter;
  struct Files;
  std::shared_ptr<const Files> files_;
  std::size_t size_ = 0;
  ItemSummary summary_;
  std::string sha256_;
  std::vector<PassedOver> passed_over_;
};

/// The index of the first item in which two tables differ; nothing where they are equal.
std::optional<std::size_t> first_difference(const ItemTable& a, const ItemTable& b);

/// Which of the listed items enter the table: shuffled, then the shard, then the limit.
struct ItemSelection {
  std::optional<std::uint64_t> shuffle;
  std::uint64_t shard = 0, shards = 1;
  std::uint64_t limit = 0;  ///< 0: all
};

/// Writes a table while items are listed. Memory: about 16 bytes per item, and 4 more to shuffle.
///
/// Ids become unique: the second item with an id fails and names the place of the first. A file
/// that is listed twice without a manifest is one item. Ids themselves are compared, not only their
/// hashes.
class ItemTableWriter final : public ItemSink {
 public:
  /// Makes `folder`, or empties it. An empty name gives a table in unnamed files.
  /// Throws, as the functions below: SystemError when the disk refuses.
  ItemTableWriter(std::string folder, const ItemSelection& selection);
  ~ItemTableWriter() override;

  bool add(Item item) override;
  void passed_over(std::string_view what, std::string_view why) override;
  /// The number of items that were listed, also those that do not enter the table.
  [[nodiscard]] std::uint64_t listed() const { return listed_; }
  /// Completes the table and makes it durable.
  [[nodiscard]] ItemTable finish();

 private:
  friend class ItemTable;
  struct Parts;
  class IdIndex;
  [[nodiscard]] bool is_taken(const std::string& id);
  /// Makes the id of `item` unique, or gives the item an error; false for a file that is listed
  /// already.
  [[nodiscard]] bool resolve_id(Item& item);
  static ItemTable table_of(Parts& parts, const std::string& folder);

  std::string folder_;
  ItemSelection selection_;
  std::unique_ptr<Parts> parts_;
  std::unique_ptr<IdIndex> ids_;
  std::uint64_t listed_ = 0;
  PassedOverCounts passed_over_;
};

}  // namespace retinue::runtime
