#pragma once

#include "runtime/dataset/item_table.h"
#include "runtime/dataset/source.h"

#include <istream>
#include <string>

namespace retinue::runtime {

/// Lists the inputs of a job into a new item table, beside the one that the job's folder may have
/// from an earlier run. The old table is not touched before publish().
class ItemTableBuilder {
 public:
  /// Lists into `job`/item_table.part. Call on rank 0, which holds the lock of the folder. Renames
  /// a table of an earlier version, whose folder was `job`/manifest.
  /// Throws: as list_table; SystemError when the disk refuses.
  ItemTableBuilder(std::string job, const SourceOptions& options, std::istream& standard_input);
  /// Removes a table that was not published.
  ~ItemTableBuilder();
  ItemTableBuilder(const ItemTableBuilder&) = delete;
  ItemTableBuilder& operator=(const ItemTableBuilder&) = delete;

  [[nodiscard]] const ItemTable& items() const { return items_; }

  /// The first item that differs from the folder's table, for messages. Empty where none does, or
  /// where the folder has no table that can be read.
  [[nodiscard]] std::string difference() const;

  /// Makes the new table that of the folder, `job`/item_table. An old one that is equal byte for
  /// byte stays.   Throws: SystemError.
  void publish();

 private:
  std::string folder_, part_;
  ItemTable items_;
};

/// The folder of a job's item table, which every rank opens.
std::string table_folder(const std::string& job);

}  // namespace retinue::runtime
