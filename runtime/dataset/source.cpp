#include "runtime/dataset/source.h"

#include "parallel/base/check.h"
#include "runtime/dataset/manifest.h"
#include "runtime/dataset/media_bytes.h"
#include "runtime/dataset/parquet_items.h"
#include "runtime/dataset/webdataset.h"
#include "runtime/media/content.h"

#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <glob.h>
#include <set>
#include <span>
#include <sys/stat.h>
#include <utility>

namespace retinue::runtime {
namespace {

namespace fs = std::filesystem;

enum class Kind { kImage, kVideo, kManifest, kTar, kParquet, kCompressed, kUnknown };

[[noreturn]] void refuse(const std::string& path, std::string_view what) {
  throw UsageError(fmt::format("[--input] {}: {}", path, what));
}

std::string first_bytes(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::string head(512, '\0');
  file.read(head.data(), static_cast<std::streamsize>(head.size()));
  head.resize(static_cast<std::size_t>(file.gcount()));
  return head;
}

/// The kind of a file, by its first bytes.
Kind kind_of_content(const std::string& head) {
  const auto media = media_kind(std::as_bytes(std::span(head)));
  if (media == MediaKind::kImage) return Kind::kImage;
  if (head.starts_with("PAR1")) return Kind::kParquet;
  if (head.size() > 262 && head.compare(257, 5, "ustar") == 0) return Kind::kTar;
  // After tar: an archive begins with the name of a member, which may look like a video.
  if (media == MediaKind::kVideo) return Kind::kVideo;
  for (const std::string_view magic : {"\x1F\x8B", "\x28\xB5\x2F\xFD", "BZh",
                                       "\xFD"
                                       "7zXZ"})
    if (head.starts_with(magic)) return Kind::kCompressed;
  const auto first = head.find_first_not_of(" \t\r\n\xEF\xBB\xBF");
  if (first != std::string::npos && head[first] == '{') return Kind::kManifest;
  return Kind::kUnknown;
}

std::string extension(const fs::path& path) {
  std::string text = path.extension().string();
  for (char& c : text)
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  return text;
}

/// Whether a file in a folder is an item: by name, or, under another name, by content. A file with
/// an image's name and other content is an item that fails, so that it is not lost silently; so is
/// a broken link.
bool is_item(const fs::path& path, bool regular) {
  constexpr std::array<std::string_view, 17> kMedia = {
      ".jpg",  ".jpeg", ".png", ".webp", ".gif",  ".bmp", ".tif", ".tiff", ".heic",
      ".avif", ".jxl",  ".mp4", ".mkv",  ".webm", ".mov", ".avi", ".m4v"};
  constexpr std::array<std::string_view, 6> kText = {".txt", ".json", ".jsonl",
                                                     ".md",  ".csv",  ".xml"};
  const std::string ending = extension(path);
  if (std::find(kMedia.begin(), kMedia.end(), ending) != kMedia.end()) return true;
  if (!regular || std::find(kText.begin(), kText.end(), ending) != kText.end()) return false;
  const Kind kind = kind_of_content(first_bytes(path.string()));
  return kind == Kind::kImage || kind == Kind::kVideo;
}

/// An image or a video by its content. Where the content is neither, and the item will fail, the
/// name decides.
Item item_of_file(const std::string& path) {
  constexpr std::array<std::string_view, 7> kVideos = {".mp4", ".mkv", ".webm", ".mov",
                                                       ".avi", ".m4v", ".gif"};
  Item item;
  item.id = path;
  const Kind kind = kind_of_content(first_bytes(path));
  const bool video =
      kind == Kind::kVideo ||
      (kind != Kind::kImage && std::ranges::find(kVideos, extension(path)) != kVideos.end());
  item.media.push_back({video ? MediaKind::kVideo : MediaKind::kImage, {path}, 0.0});
  return item;
}

/// Walks a folder and adds its items, in the order of the bytes of their whole paths.
class FolderWalk {
 public:
  explicit FolderWalk(ItemSink& sink) : sink_(sink) {}

  /// Returns false when the sink wants no more.
  bool walk(const std::string& folder) {
    struct stat facts {};
    if (::stat(folder.c_str(), &facts) != 0) refuse(folder, std::strerror(errno));
    // A link to a folder above it would lead to an endless walk.
    const auto [above, fresh] = above_.emplace(facts.st_dev, facts.st_ino);
    if (!fresh) return true;
    const bool more = walk_names(folder);
    above_.erase(above);
    return more;
  }
  [[nodiscard]] bool found_any() const { return found_any_; }

 private:
  bool walk_names(const std::string& folder) {
    // A folder's name gets a '/', so that it is sorted as its files' paths are.
    std::vector<std::string> names;
    std::error_code error;
    for (auto at = fs::directory_iterator(folder, error); !error && at != fs::directory_iterator();
         at.increment(error)) {
      std::error_code ignored;
      if (at->is_directory(ignored))
        names.push_back(at->path().filename().string() + "/");
      else if (is_item(at->path(), at->is_regular_file(ignored)))
        names.push_back(at->path().filename().string());
    }
    if (error) refuse(folder, error.message());
    std::sort(names.begin(), names.end());
    for (const std::string& name : names) {
      const fs::path path = fs::path(folder) / name;
      if (name.ends_with('/')) {
        if (!walk(path.parent_path().string())) return false;
      } else {
        found_any_ = true;
        if (!sink_.add(item_of_file(path.string()))) return false;
      }
    }
    return true;
  }

  ItemSink& sink_;
  std::set<std::pair<dev_t, ino_t>> above_;
  bool found_any_ = false;
};

bool add_folder(const std::string& folder, ItemSink& sink) {
  FolderWalk walk(sink);
  const bool more = walk.walk(folder);
  if (!walk.found_any()) refuse(folder, "no images or videos in this folder or below it");
  return more;
}

bool add_manifest(const std::string& path, ItemSink& sink) {
  std::ifstream file(path);
  if (!file) refuse(path, "cannot be read");
  return detail::read_manifest(file, path, fs::path(path).parent_path().string(), sink);
}

bool add_file(const std::string& path, std::optional<InputFormat> format, ItemSink& sink) {
  if (format == InputFormat::kImage || format == InputFormat::kVideo) {
    Item item = item_of_file(path);
    item.media[0].kind = format == InputFormat::kVideo ? MediaKind::kVideo : MediaKind::kImage;
    return sink.add(std::move(item));
  }
  if (format == InputFormat::kManifest || format == InputFormat::kOpenAiBatch)
    return add_manifest(path, sink);
  if (format == InputFormat::kParquet) return read_parquet(path, sink);
  const Kind kind = kind_of_content(first_bytes(path));
  if (kind == Kind::kCompressed)
    refuse(path, "is compressed: parts of it cannot be read where they lie. Unpack it first.");
  // By name too: an empty or damaged archive, or one of the older format without a magic number.
  if (kind == Kind::kTar || format == InputFormat::kWebDataset || format == InputFormat::kTar ||
      extension(path) == ".tar")
    return read_webdataset(path, sink);
  switch (kind) {
    case Kind::kManifest:
      return add_manifest(path, sink);
    case Kind::kParquet:
      return read_parquet(path, sink);
    default:
      break;
  }
  // An empty or damaged manifest is still one: its lines become failed items.
  if (extension(path) == ".jsonl") return add_manifest(path, sink);
  return sink.add(item_of_file(path));
}

bool add_glob(const std::string& pattern, std::optional<InputFormat> format, ItemSink& sink) {
  glob_t found{};
  const int rc = ::glob(pattern.c_str(), GLOB_BRACE, nullptr, &found);
  std::vector<std::string> paths;
  for (std::size_t i = 0; rc == 0 && i < found.gl_pathc; ++i) paths.emplace_back(found.gl_pathv[i]);
  ::globfree(&found);
  if (paths.empty()) refuse(pattern, "no such file or folder, and nothing that it matches");
  std::sort(paths.begin(), paths.end());
  for (const std::string& path : paths)
    if (!(fs::is_directory(path) ? add_folder(path, sink) : add_file(path, format, sink)))
      return false;
  return true;
}

}  // namespace

Shard parse_shard(std::string_view text) {
  if (text.empty()) return {};
  Shard shard;
  const auto slash = text.find('/');
  const char* end = text.data() + text.size();
  if (slash != std::string_view::npos) {
    const auto left = std::from_chars(text.data(), text.data() + slash, shard.index);
    const auto right = std::from_chars(text.data() + slash + 1, end, shard.count);
    if (left.ec == std::errc() && left.ptr == text.data() + slash && right.ec == std::errc() &&
        right.ptr == end && shard.index < shard.count)
      return shard;
  }
  throw UsageError(fmt::format("[--shard] wanted I/N with I from 0 to N - 1, got '{}'", text));
}

std::string Shard::text() const {
  return *this == Shard{} ? "" : fmt::format("{}/{}", index, count);
}

void list_items(const SourceOptions& options, std::istream& standard_input, ItemSink& sink) {
  if (options.inputs.empty()) throw UsageError("[--input] names nothing to read");
  for (const std::string& input : options.inputs) {
    std::error_code error;
    bool more = true;
    if (input == "-")
      more = detail::read_manifest(standard_input, "-", fs::current_path().string(), sink);
    else if (options.format != InputFormat::kGlob && fs::is_directory(input, error))
      more = add_folder(input, sink);
    else if (options.format != InputFormat::kGlob && fs::exists(input, error))
      more = add_file(input, options.format, sink);
    else
      more = add_glob(input, options.format, sink);
    if (!more) return;
  }
}

ItemSelection selection_of(const SourceOptions& options) {
  ItemSelection selection;
  selection.shuffle = options.shuffle;
  selection.shard = options.shard.index;
  selection.shards = options.shard.count;
  if (options.limit < 0) throw UsageError("[--limit] wants a number of items, 0 for all");
  selection.limit = static_cast<std::uint64_t>(options.limit);
  return selection;
}

ItemTable list_table(const SourceOptions& options, std::istream& standard_input,
                     const std::string& folder) {
  ItemTableWriter writer(folder, selection_of(options));
  list_items(options, standard_input, writer);
  if (writer.listed() == 0)
    throw UsageError("[--input] names nothing: no item in any of the inputs");
  return writer.finish();
}

}  // namespace retinue::runtime
