#include "runtime/dataset/files/left_by_tools.h"

#include <algorithm>

namespace retinue::runtime {
namespace {

constexpr std::string_view kFolders[] = {
    "__MACOSX",     "@eaDir",     ".ipynb_checkpoints", ".Trashes", ".git", ".cache",
    ".AppleDouble", ".fseventsd", ".Spotlight-V100",    "#recycle", ".svn", "$RECYCLE.BIN"};
constexpr std::string_view kFiles[] = {".DS_Store", "Thumbs.db", "ehthumbs.db", "desktop.ini",
                                       "pax_global_header"};

}  // namespace

std::optional<std::string> left_by_tools(std::string_view name, bool folder) {
  if (folder) {
    // A tar that does not know pax headers extracts them as files of such a folder.
    if (name == "PaxHeader" || name == "PaxHeaders" || name.starts_with("PaxHeaders."))
      return "PaxHeaders";
    return std::ranges::find(kFolders, name) != std::end(kFolders)
               ? std::optional(std::string(name))
               : std::nullopt;
  }
  if (name.starts_with("._") || std::ranges::find(kFiles, name) != std::end(kFiles))
    return "files such as ._x and .DS_Store";
  return std::nullopt;
}

std::optional<std::string> left_by_tools_in(std::string_view path) {
  for (auto slash = path.find('/'); slash != std::string_view::npos; slash = path.find('/')) {
    if (auto found = left_by_tools(path.substr(0, slash), true)) return found;
    path.remove_prefix(slash + 1);
  }
  return left_by_tools(path, false);
}

}  // namespace retinue::runtime
