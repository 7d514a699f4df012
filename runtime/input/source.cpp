#include "runtime/input/source.h"

#include "parallel/base/check.h"
#include "parallel/base/rng.h"
#include "runtime/input/image.h"
#include "runtime/input/manifest.h"
#include "runtime/input/media_files.h"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <array>
#include <charconv>
#include <filesystem>
#include <fstream>
#include <glob.h>
#include <unordered_map>
#include <utility>

namespace retinue::runtime {
namespace {

namespace fs = std::filesystem;

enum class Kind { kImage, kVideo, kManifest, kTar, kParquet, kUnknown };

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

/// What a file holds, by its first bytes.
Kind kind_of_content(const std::string& head) {
  if (image_kind(std::as_bytes(std::span(head))) != ImageKind::kOther) return Kind::kImage;
  if (head.starts_with("PAR1")) return Kind::kParquet;
  if (head.size() > 262 && head.compare(257, 5, "ustar") == 0) return Kind::kTar;
  const bool iso = head.size() > 12 && head.compare(4, 4, "ftyp") == 0;
  const bool riff = head.starts_with("RIFF") && head.size() > 12 && head.compare(8, 4, "AVI ") == 0;
  if (iso || riff || head.starts_with("\x1A\x45\xDF\xA3")) return Kind::kVideo;
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

/// Whether a file found in a folder is meant: by name, or, under another name, by content. One with
/// the name of a picture and other content is an item that fails, not one that is lost.
bool is_meant(const fs::path& path) {
  constexpr std::array<std::string_view, 17> kMedia = {
      ".jpg",  ".jpeg", ".png", ".webp", ".gif",  ".bmp", ".tif", ".tiff", ".heic",
      ".avif", ".jxl",  ".mp4", ".mkv",  ".webm", ".mov", ".avi", ".m4v"};
  constexpr std::array<std::string_view, 6> kText = {".txt", ".json", ".jsonl",
                                                     ".md",  ".csv",  ".xml"};
  const std::string ending = extension(path);
  if (std::find(kMedia.begin(), kMedia.end(), ending) != kMedia.end()) return true;
  if (std::find(kText.begin(), kText.end(), ending) != kText.end()) return false;
  return kind_of_content(first_bytes(path.string())) == Kind::kImage;
}

Item item_of_file(const std::string& path) {
  Item item;
  item.id = path;
  const std::string ending = extension(path);
  const bool video = ending == ".mp4" || ending == ".mkv" || ending == ".webm" ||
                     ending == ".mov" || ending == ".avi" || ending == ".m4v";
  item.media.push_back({video ? MediaKind::kVideo : MediaKind::kImage, {path}, 0.0});
  return item;
}

void add_folder(const std::string& folder, std::vector<Item>& items) {
  std::vector<std::string> paths;
  std::error_code error;
  auto at = fs::recursive_directory_iterator(
      folder, fs::directory_options::follow_directory_symlink, error);
  for (; !error && at != fs::recursive_directory_iterator(); at.increment(error)) {
    std::error_code ignored;
    if (at->is_regular_file(ignored) && is_meant(at->path())) paths.push_back(at->path().string());
  }
  if (error) refuse(folder, error.message());
  if (paths.empty()) refuse(folder, "no pictures in this folder or below it");
  std::sort(paths.begin(), paths.end());
  for (const std::string& path : paths) items.push_back(item_of_file(path));
}

void add_manifest(const std::string& path, std::vector<Item>& items) {
  std::ifstream file(path);
  if (!file) refuse(path, "cannot be read");
  detail::read_manifest(file, path, fs::path(path).parent_path().string(), items);
}

void add_file(const std::string& path, const std::string& format, std::vector<Item>& items) {
  if (format == "image") return items.push_back(item_of_file(path));
  if (format == "jsonl") return add_manifest(path, items);
  switch (kind_of_content(first_bytes(path))) {
    case Kind::kImage:
      return items.push_back(item_of_file(path));
    case Kind::kManifest:
      return add_manifest(path, items);
    case Kind::kVideo:
      refuse(path, "files of video are not served yet. Give frames as pictures, in a manifest.");
    case Kind::kTar:
      refuse(path, "tar files are not served yet. Unpack it and name the folder.");
    case Kind::kParquet:
      refuse(path, "Parquet files are not served yet. Write a .jsonl manifest.");
    case Kind::kUnknown:
      break;
  }
  // An empty or damaged manifest is still one: its lines become failed items.
  if (extension(path) == ".jsonl") return add_manifest(path, items);
  items.push_back(item_of_file(path));
}

void add_glob(const std::string& pattern, const std::string& format, std::vector<Item>& items) {
  glob_t found{};
  const int rc = ::glob(pattern.c_str(), GLOB_BRACE, nullptr, &found);
  std::vector<std::string> paths;
  for (std::size_t i = 0; rc == 0 && i < found.gl_pathc; ++i) paths.emplace_back(found.gl_pathv[i]);
  ::globfree(&found);
  if (paths.empty()) refuse(pattern, "no such file or folder, and nothing that it matches");
  std::sort(paths.begin(), paths.end());
  for (const std::string& path : paths) {
    if (fs::is_directory(path))
      add_folder(path, items);
    else
      add_file(path, format, items);
  }
}

/// The second item of an id fails, and says where the first stands. A file that is reached twice
/// without a manifest is one item.
void settle_ids(std::vector<Item>& items) {
  std::unordered_map<std::string, std::string> seen;
  std::erase_if(items, [&](const Item& item) {
    return item.source.empty() && !seen.emplace(item.id, "").second;
  });
  seen.clear();
  for (Item& item : items) {
    const auto [at, fresh] = seen.emplace(item.id, item.source);
    if (fresh || item.error) continue;
    item.error =
        DataError{"manifest", fmt::format("id \"{}\" stands already {}", item.id,
                                          at->second.empty() ? "for a file" : "in " + at->second)};
    item.media.clear();
  }
}

std::pair<std::size_t, std::size_t> parse_shard(const std::string& text) {
  std::size_t index = 0, count = 0;
  const auto slash = text.find('/');
  const char* end = text.data() + text.size();
  if (slash != std::string::npos) {
    const auto left = std::from_chars(text.data(), text.data() + slash, index);
    const auto right = std::from_chars(text.data() + slash + 1, end, count);
    if (left.ec == std::errc() && left.ptr == text.data() + slash && right.ec == std::errc() &&
        right.ptr == end && index < count)
      return {index, count};
  }
  throw UsageError(fmt::format("[--shard] wanted I/N with I from 0 to N - 1, got '{}'", text));
}

}  // namespace

std::vector<Item> list_items(const SourceOptions& options, std::istream& standard_input) {
  for (const char* format : {"tar", "webdataset", "parquet", "openai", "video"})
    if (options.format == format)
      throw UsageError(fmt::format(
          "[--input-format] {} is not served yet; image, folder, glob and jsonl are.", format));
  if (options.inputs.empty()) throw UsageError("[--input] names nothing to read");
  std::vector<Item> items;
  for (const std::string& input : options.inputs) {
    std::error_code error;
    if (input == "-")
      detail::read_manifest(standard_input, "-", fs::current_path().string(), items);
    else if (options.format != "glob" && fs::is_directory(input, error))
      add_folder(input, items);
    else if (options.format != "glob" && fs::exists(input, error))
      add_file(input, options.format, items);
    else
      add_glob(input, options.format, items);
  }
  if (items.empty()) throw UsageError("[--input] names nothing: no item in any of the inputs");
  settle_ids(items);
  for (std::size_t i = 0; i < items.size(); ++i) items[i].ordinal = static_cast<std::int64_t>(i);
  if (options.shuffle)
    for (std::size_t i = items.size(); i > 1; --i)
      std::swap(items[i - 1], items[random_bits(mix64(*options.shuffle), i) % i]);
  if (!options.shard.empty()) {
    const auto [index, count] = parse_shard(options.shard);
    std::vector<Item> mine;
    for (std::size_t i = index; i < items.size(); i += count) mine.push_back(std::move(items[i]));
    items = std::move(mine);
  }
  if (options.limit < 0) throw UsageError("[--limit] wants a number of items, 0 for all");
  if (options.limit > 0 && items.size() > static_cast<std::size_t>(options.limit))
    items.resize(static_cast<std::size_t>(options.limit));
  return items;
}

std::string pack_items(const std::vector<Item>& items) {
  using Json = nlohmann::json;
  Json all = Json::array();
  for (const Item& item : items) {
    Json media = Json::array();
    for (const MediaReference& reference : item.media)
      media.push_back({reference.kind == MediaKind::kVideo, reference.paths, reference.fps});
    all.push_back({item.id, item.source, item.ordinal, std::move(media),
                   item.prompt ? Json(*item.prompt) : Json(), item.messages,
                   item.error ? Json{item.error->stage, item.error->message} : Json()});
  }
  std::string bytes;
  Json::to_cbor(all, bytes);
  return bytes;
}

std::vector<Item> unpack_items(const std::string& packed) {
  using Json = nlohmann::json;
  const Json all = Json::from_cbor(packed, true, false);
  check(all.is_array(), "packed items come from pack_items");
  std::vector<Item> items;
  for (const Json& from : all) {
    Item item;
    item.id = from[0].get<std::string>();
    item.source = from[1].get<std::string>();
    item.ordinal = from[2].get<std::int64_t>();
    for (const Json& media : from[3])
      item.media.push_back({media[0].get<bool>() ? MediaKind::kVideo : MediaKind::kImage,
                            media[1].get<std::vector<std::string>>(), media[2].get<double>()});
    if (!from[4].is_null()) item.prompt = from[4].get<std::string>();
    item.messages = from[5].get<std::string>();
    if (!from[6].is_null())
      item.error = DataError{from[6][0].get<std::string>(), from[6][1].get<std::string>()};
    items.push_back(std::move(item));
  }
  return items;
}

}  // namespace retinue::runtime
