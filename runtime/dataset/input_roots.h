#pragma once

#include "runtime/dataset/item_table.h"

#include <optional>
#include <string>
#include <sys/types.h>
#include <vector>

namespace retinue::runtime {

/// The folders, archives and file systems that hold a job's items. If a file is missing, its item
/// fails. If one of these is missing, no item is at fault: the job stops and can continue later.
class InputRoots {
 public:
  /// Records the identity of each input, and the file systems of a sample of the items.
  InputRoots(const std::vector<std::string>& inputs, const ItemTable& items);

  /// Whether an input or file system that holds files of the item is missing or was replaced. Reads
  /// the disk.
  [[nodiscard]] bool gone(const Item& item) const;

 private:
  struct Root {
    std::string path;
    dev_t device = 0;
    std::optional<ino_t> inode;  ///< nothing: only the file system is compared
  };
  void add(const std::string& path, bool file_system);

  std::vector<Root> roots_;
};

}  // namespace retinue::runtime
