#include "runtime/dataset/input_roots.h"

#include <algorithm>
#include <filesystem>
#include <sys/stat.h>

namespace retinue::runtime {
namespace {

namespace fs = std::filesystem;

/// The number of items whose file systems are recorded.
constexpr std::size_t kSample = 16;

std::optional<struct stat> facts_of(const std::string& path) {
  struct stat facts {};
  if (::stat(path.c_str(), &facts) != 0) return std::nullopt;
  return facts;
}

std::string whole(const std::string& path) {
  std::error_code error;
  std::string text = fs::absolute(path, error).lexically_normal().string();
  while (text.size() > 1 && text.back() == '/') text.pop_back();
  return text;
}

/// The mount point of the file system that holds `path`.
std::string mount_of(fs::path path, dev_t device) {
  while (path != path.parent_path()) {
    const auto above = facts_of(path.parent_path().string());
    if (!above || above->st_dev != device) break;
    path = path.parent_path();
  }
  return path.string();
}

bool holds(const std::string& root, const std::string& path) {
  return path == root || root == "/" || (path.starts_with(root) && path[root.size()] == '/');
}

}  // namespace

InputRoots::InputRoots(const std::vector<std::string>& inputs, const ItemTable& items) {
  for (const std::string& input : inputs)
    if (input != "-") add(input, false);
  const std::size_t stride = std::max<std::size_t>(1, items.size() / kSample);
  for (std::size_t i = 0; i < items.size(); i += stride)
    for (const MediaReference& media : items.item(i).media)
      for (const MediaFile& file : media.files)
        if (!file.path.starts_with("data:")) add(file.path, true);
}

void InputRoots::add(const std::string& path, bool file_system) {
  const auto facts = facts_of(path);
  if (!facts) return;
  Root root{whole(path), facts->st_dev, facts->st_ino};
  if (file_system) {
    root.path = mount_of(root.path, facts->st_dev);
    root.inode.reset();
  }
  const auto same = [&](const Root& other) {
    return other.path == root.path && other.inode == root.inode;
  };
  if (std::ranges::none_of(roots_, same)) roots_.push_back(std::move(root));
}

bool InputRoots::gone(const Item& item) const {
  for (const MediaReference& media : item.media)
    for (const MediaFile& file : media.files) {
      if (file.path.starts_with("data:")) continue;
      const std::string path = whole(file.path);
      for (const Root& root : roots_) {
        // An input that is an image itself is an item: if it is missing, only that item fails.
        if (!holds(root.path, path) || (path == root.path && file.place == MediaPlace::kWhole))
          continue;
        const auto now = facts_of(root.path);
        if (!now || now->st_dev != root.device || (root.inode && now->st_ino != *root.inode))
          return true;
      }
    }
  return false;
}

}  // namespace retinue::runtime
