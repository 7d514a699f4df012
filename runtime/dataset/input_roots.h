#pragma once

#include "runtime/dataset/item_table.h"

#include <optional>
#include <string>
#include <sys/types.h>
#include <vector>

namespace retinue::runtime {

/// Knows what a job's items lie in, to tell a file that vanished, which is its item's failure, from
/// a folder, archive or file system that did, which is nobody's: the job stops then and goes on
/// later.
class InputRoots {
 public:
  /// Takes note of the inputs that are named, and of the file systems that hold some of the items.
  InputRoots(const std::vector<std::string>& inputs, const ItemTable& items);

  /// Whether one of those that hold files of the item is no longer what it was. Asks the disk.
  [[nodiscard]] bool gone(const Item& item) const;

 private:
  struct Root {
    std::string path;
    dev_t device = 0;
    std::optional<ino_t> inode;  ///< none: only the file system is meant
  };
  void add(const std::string& path, bool file_system);

  std::vector<Root> roots_;
};

}  // namespace retinue::runtime
