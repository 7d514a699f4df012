#include "runtime/dataset/files/folder.h"

#include "parallel/base/check.h"
#include "runtime/dataset/file_kind.h"
#include "runtime/dataset/files/left_by_tools.h"
#include "runtime/dataset/passed_over.h"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <string_view>
#include <vector>

namespace retinue::runtime {
namespace {

namespace fs = std::filesystem;

[[noreturn]] void refuse(const std::string& path, std::string_view what) {
  throw UsageError(fmt::format("[--input] {}: {}", path, what));
}

/// Why a file in a folder is no item.
std::string_view reason_of(FileKind kind) {
  switch (kind) {
    case FileKind::kTar:
    case FileKind::kParquet:
      return "in a folder images and videos are read: give it as an input of its own";
    case FileKind::kCompressed:
      return "is compressed: unpack it first";
    case FileKind::kGitLfsPointer:
      return "is a pointer of Git LFS: run git lfs pull in the folder";
    default:
      return "is no image or video";
  }
}

class FolderWalk {
 public:
  FolderWalk(ItemSink& sink, Visited& visited) : sink_(sink), visited_(visited) {}

  /// Returns false when the sink wants no more.
  bool walk(const std::string& folder) {
    if (!visited_.add(folder)) {
      pass_over("folders", kVisited);
      found_any_ = true;
      return true;
    }
    for (const std::string& name : names_of(folder)) {
      const std::string path = (fs::path(folder) / name).string();
      if (name.ends_with('/')) {
        if (!walk(path.substr(0, path.size() - 1))) return false;
      } else {
        found_any_ = true;
        if (!sink_.add(item_of_file(path))) return false;
      }
    }
    return true;
  }
  /// Whether the folders held an item, or were read before.
  [[nodiscard]] bool found_any() const { return found_any_; }
  [[nodiscard]] std::string describe_instead() const {
    return runtime::describe_instead(counts_.list());
  }

 private:
  /// Folders and items, sorted. A folder's name ends with '/', so that it is sorted as its files'
  /// paths are.
  std::vector<std::string> names_of(const std::string& folder) {
    std::vector<std::string> names;
    std::error_code error;
    for (auto at = fs::directory_iterator(folder, error); !error && at != fs::directory_iterator();
         at.increment(error)) {
      std::error_code ignored;
      const std::string name = at->path().filename().string();
      const bool is_folder = at->is_directory(ignored);
      if (const auto left = left_by_tools(name, is_folder))
        pass_over(*left, kLeftByTools);
      else if (is_folder)
        names.push_back(name + "/");
      else if (is_item(at->path().string(), at->is_regular_file(ignored)))
        names.push_back(name);
    }
    if (error) refuse(folder, error.message());
    std::sort(names.begin(), names.end());
    return names;
  }

  /// By name, or, under another name, by content.
  bool is_item(const std::string& path, bool regular) {
    if (media_kind_of_name(path) && !is_shared_name(path)) return true;
    const std::string head = head_of_file(path);
    if (regular ? media_kind_of(path, head).has_value() : media_kind_of_name(path).has_value())
      return true;
    pass_over(kind_label(path), regular ? reason_of(kind_of_content(head)) : "is not a file");
    return false;
  }

  void pass_over(std::string_view what, std::string_view why) {
    counts_.add(what, why);
    sink_.passed_over(what, why);
  }

  ItemSink& sink_;
  Visited& visited_;
  PassedOverCounts counts_;  ///< of this walk
  bool found_any_ = false;
};

}  // namespace

bool add_folder(const std::string& folder, ItemSink& sink, Visited& visited, bool by_name) {
  FolderWalk walk(sink, visited);
  const bool more = walk.walk(folder);
  if (walk.found_any()) return more;
  if (by_name)
    refuse(folder, "no images or videos in this folder or below it." + walk.describe_instead());
  sink.passed_over("folders", "hold no image or video, nor does one below them");
  return more;
}

}  // namespace retinue::runtime
