#include "runtime/dataset/source.h"

#include "parallel/base/check.h"
#include "runtime/dataset/brace_range.h"
#include "runtime/dataset/file_kind.h"
#include "runtime/dataset/folder.h"
#include "runtime/dataset/manifest.h"
#include "runtime/dataset/table/parquet_items.h"
#include "runtime/dataset/webdataset.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <filesystem>
#include <fstream>
#include <glob.h>
#include <utility>

namespace retinue::runtime {
namespace {

namespace fs = std::filesystem;

[[noreturn]] void refuse(const std::string& path, std::string_view what) {
  throw UsageError(fmt::format("[--input] {}: {}", path, what));
}

bool add_manifest(const std::string& path, ItemSink& sink) {
  std::ifstream file(path);
  if (!file) refuse(path, "cannot be read");
  return detail::read_manifest(file, path, fs::path(path).parent_path().string(), sink);
}

bool add_file(const std::string& path, const SourceOptions& options, ItemSink& sink) {
  const std::optional<InputFormat> format = options.format;
  if (format == InputFormat::kImage || format == InputFormat::kVideo) {
    Item item = item_of_file(path);
    item.media[0].kind = format == InputFormat::kVideo ? MediaKind::kVideo : MediaKind::kImage;
    return sink.add(std::move(item));
  }
  if (format == InputFormat::kManifest || format == InputFormat::kOpenAiBatch)
    return add_manifest(path, sink);
  if (format == InputFormat::kParquet) return read_parquet(path, options.given.prompt, sink);
  const FileKind kind = kind_of_file(path);
  if (kind == FileKind::kCompressed)
    refuse(path, "is compressed: parts of it cannot be read where they lie. Unpack it first.");
  // By name too: an empty or damaged archive, or one of the older format without a magic number.
  if (kind == FileKind::kTar || format == InputFormat::kWebDataset || format == InputFormat::kTar ||
      extension(path) == ".tar")
    return read_webdataset(path, sink);
  switch (kind) {
    case FileKind::kManifest:
      return add_manifest(path, sink);
    case FileKind::kParquet:
      return read_parquet(path, options.given.prompt, sink);
    default:
      break;
  }
  // An empty or damaged manifest is still one: its lines become failed items. So is a table, which begins
  // with other bytes where it is encrypted.
  if (extension(path) == ".jsonl") return add_manifest(path, sink);
  if (extension(path) == ".parquet") return read_parquet(path, options.given.prompt, sink);
  return sink.add(item_of_file(path));
}

/// The paths that a pattern without ranges matches, sorted.
std::vector<std::string> matches_of(const std::string& pattern) {
  glob_t found{};
  const int rc = ::glob(pattern.c_str(), GLOB_BRACE, nullptr, &found);
  std::vector<std::string> paths;
  for (std::size_t i = 0; rc == 0 && i < found.gl_pathc; ++i) paths.emplace_back(found.gl_pathv[i]);
  ::globfree(&found);
  std::sort(paths.begin(), paths.end());
  return paths;
}

bool add_glob(const std::string& pattern, const SourceOptions& options, ItemSink& sink) {
  const std::vector<std::string> patterns = expand_ranges(pattern);
  std::vector<std::string> paths;
  for (const std::string& one : patterns) {
    const std::vector<std::string> found = matches_of(one);
    // Each number of a range names a file of its own: one that is missing is not passed over.
    if (found.empty()) refuse(one, "no such file or folder, and nothing that it matches");
    paths.insert(paths.end(), found.begin(), found.end());
  }
  for (const std::string& path : paths) {
    const fs::file_status status = fs::status(path);
    // A pipe that a pattern matches was not meant, and opening it could wait for ever.
    const bool more = fs::is_directory(status)      ? add_folder(path, sink)
                      : fs::is_regular_file(status) ? add_file(path, options, sink)
                                                    : sink.add(item_of_file(path));
    if (!more) return false;
  }
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

void list_items(const SourceOptions& options, std::istream& standard_input, ItemSink& items) {
  GivenTextsSink sink(options.given, items);
  if (options.inputs.empty()) throw UsageError("[--input] names nothing to read");
  for (const std::string& input : options.inputs) {
    std::error_code error;
    bool more = true;
    if (input == "-")
      more = detail::read_manifest(standard_input, "-", fs::current_path().string(), sink);
    else if (options.format != InputFormat::kGlob && fs::is_directory(input, error))
      more = add_folder(input, sink);
    else if (options.format != InputFormat::kGlob && fs::exists(input, error)) {
      // A manifest is read from its begin to its end. All else is read in places.
      const bool streams =
          options.format == InputFormat::kManifest || options.format == InputFormat::kOpenAiBatch;
      if (!streams && !fs::is_regular_file(input, error))
        refuse(input,
               "is a pipe, a socket or a device. A manifest is read from one with --input-format "
               "manifest, or from standard input with --input -");
      more = add_file(input, options, sink);
    } else
      more = add_glob(input, options, sink);
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
