#pragma once

#include "runtime/dataset/item_table.h"
#include "runtime/dataset/source.h"

#include <istream>
#include <string>

namespace retinue::runtime {

/// The items of a job's inputs, listed beside the table that its folder may hold already: that one
/// is not touched before it is known what to do with it.
class ItemTableBuilder {
 public:
  /// Lists into `job`/item_table.part. Call on rank 0, holding the folder. A table under the name
  /// that earlier versions gave it, `job`/manifest, is renamed.
  /// Throws: as list_table.
  ItemTableBuilder(std::string job, const SourceOptions& options, std::istream& standard_input);
  /// Takes away what was not published.
  ~ItemTableBuilder();
  ItemTableBuilder(const ItemTableBuilder&) = delete;
  ItemTableBuilder& operator=(const ItemTableBuilder&) = delete;

  [[nodiscard]] const ItemTable& items() const { return items_; }

  /// Says in what they differ from the items that the folder was made for; empty where they do not,
  /// or where it holds no table that can be read.
  [[nodiscard]] std::string difference() const;

  /// Makes them the table of the folder: `job`/item_table. One that is there and equal byte for byte
  /// stays. Throws: SystemError.
  void publish();

 private:
  std::string folder_, part_;
  ItemTable items_;
};

/// The folder of a job's table, for every rank to open.
std::string table_folder(const std::string& job);

}  // namespace retinue::runtime
