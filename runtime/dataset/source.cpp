#include "runtime/dataset/source.h"

#include "parallel/base/check.h"
#include "parallel/base/git_lfs.h"
#include "runtime/dataset/file_kind.h"
#include "runtime/dataset/files/brace_range.h"
#include "runtime/dataset/files/folder.h"
#include "runtime/dataset/files/left_by_tools.h"
#include "runtime/dataset/files/visited.h"
#include "runtime/dataset/manifest.h"
#include "runtime/dataset/table/parquet_items.h"
#include "runtime/dataset/webdataset.h"

#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
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

/// The format of a file that holds items; nothing for an image or a video.
std::optional<InputFormat> container_of(const std::string& path, FileKind kind,
                                        std::optional<InputFormat> format) {
  if (format == InputFormat::kTar) return InputFormat::kWebDataset;
  if (format == InputFormat::kOpenAiBatch) return InputFormat::kManifest;
  if (format && *format != InputFormat::kFolder && *format != InputFormat::kGlob)
    return *format == InputFormat::kImage || *format == InputFormat::kVideo ? std::nullopt : format;
  // By name too: an empty or damaged archive, or one of the older format without a magic number.
  const std::string ending = extension(path);
  if (kind == FileKind::kTar || ending == ".tar") return InputFormat::kWebDataset;
  if (kind == FileKind::kParquet) return InputFormat::kParquet;
  // An empty or damaged manifest is still one: its lines become failed items.
  if (kind == FileKind::kManifest || ending == ".jsonl") return InputFormat::kManifest;
  // So is a table, which begins with other bytes where it is encrypted.
  return ending == ".parquet" ? std::optional(InputFormat::kParquet) : std::nullopt;
}

class Inputs {
 public:
  Inputs(const SourceOptions& options, ItemSink& sink) : options_(options), sink_(sink) {}

  /// Each of these returns false when the sink wants no more.
  bool add_folder(const std::string& folder, bool by_name) {
    return runtime::add_folder(folder, sink_, visited_, by_name);
  }
  bool add_file(const std::string& path);
  bool add_glob(const std::string& pattern);

 private:
  bool add_manifest(const std::string& path) {
    std::ifstream file(path);
    if (!file) refuse(path, "cannot be read");
    return detail::read_manifest(file, path, fs::path(path).parent_path().string(), sink_);
  }
  bool add_match(const std::string& pattern, const std::string& path);

  const SourceOptions& options_;
  ItemSink& sink_;
  Visited visited_;
};

bool Inputs::add_file(const std::string& path) {
  const std::optional<InputFormat> format = options_.format;
  const FileKind kind = kind_of_file(path);
  const auto container = container_of(path, kind, format);
  const bool by_content = !format || format == InputFormat::kFolder || format == InputFormat::kGlob;
  if (kind == FileKind::kCompressed && (by_content || container == InputFormat::kWebDataset))
    refuse(path, "is compressed: parts of it cannot be read where they lie. Unpack it first.");
  if (!container) {
    Item item = item_of_file(path);
    if (format == InputFormat::kImage) item.media[0].kind = MediaKind::kImage;
    if (format == InputFormat::kVideo) item.media[0].kind = MediaKind::kVideo;
    return sink_.add(std::move(item));
  }
  if (kind == FileKind::kGitLfsPointer) refuse(path, kGitLfsPointer);
  if (!visited_.add(path)) {
    sink_.passed_over("archives, tables and manifests", kVisited);
    return true;
  }
  if (*container == InputFormat::kManifest) return add_manifest(path);
  return (*container == InputFormat::kParquet ? read_parquet : read_webdataset)(
      path, options_.given.prompt, sink_);
}

/// Stops a search at a folder that it cannot look into: its files would be missing silently.
int on_glob_error(const char* /*path*/, int error) { return error != ENOENT && error != ELOOP; }

/// The paths that a pattern without ranges matches, sorted.
std::vector<std::string> matches_of(const std::string& pattern) {
  glob_t found{};
  const int rc = ::glob(pattern.c_str(), GLOB_BRACE, on_glob_error, &found);
  std::vector<std::string> paths;
  for (std::size_t i = 0; rc == 0 && i < found.gl_pathc; ++i) paths.emplace_back(found.gl_pathv[i]);
  ::globfree(&found);
  if (rc == GLOB_ABORTED) refuse(pattern, "a folder on the way to its files cannot be read");
  std::sort(paths.begin(), paths.end());
  return paths;
}

/// What systems left among the matches of a pattern. What the pattern names itself was meant.
std::optional<std::string> left_by_tools_in_match(const std::string& pattern,
                                                  std::string_view path) {
  while (!path.empty()) {
    const auto slash = path.find('/');
    const std::string_view part = path.substr(0, slash);
    path.remove_prefix(slash == std::string_view::npos ? path.size() : slash + 1);
    if (pattern.find(part) != std::string::npos) continue;
    // The last part may be a folder, too.
    auto left = left_by_tools(part, true);
    if (!left && slash == std::string_view::npos) left = left_by_tools(part, false);
    if (left) return left;
  }
  return std::nullopt;
}

bool Inputs::add_match(const std::string& pattern, const std::string& path) {
  if (const auto left = left_by_tools_in_match(pattern, path)) {
    sink_.passed_over(*left, kLeftByTools);
    return true;
  }
  std::error_code error;  // reading the item says what is wrong
  const fs::file_status status = fs::status(path, error);
  const bool by_name = pattern.find_first_of("*?[") == std::string::npos;
  if (fs::is_directory(status)) return add_folder(path, by_name);
  // A pipe that a pattern matches was not meant, and opening it could wait for ever.
  return fs::is_regular_file(status) ? add_file(path) : sink_.add(item_of_file(path));
}

bool Inputs::add_glob(const std::string& pattern) {
  std::vector<std::string> paths;
  for (const std::string& one : expand_ranges(pattern)) {
    const std::vector<std::string> found = matches_of(one);
    // Each number of a range names a file of its own: one that is missing is not passed over.
    if (found.empty()) refuse(one, "no such file or folder, and nothing that it matches");
    paths.insert(paths.end(), found.begin(), found.end());
  }
  return std::ranges::all_of(paths,
                             [&](const std::string& path) { return add_match(pattern, path); });
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
  Inputs inputs(options, sink);
  for (const std::string& input : options.inputs) {
    std::error_code error;
    bool more = true;
    if (input == "-")
      more = detail::read_manifest(standard_input, "-", fs::current_path().string(), sink);
    else if (options.format != InputFormat::kGlob && fs::is_directory(input, error))
      more = inputs.add_folder(input, true);
    else if (options.format != InputFormat::kGlob && fs::exists(input, error)) {
      // A manifest is read from its begin to its end. All else is read in places.
      const bool streams =
          options.format == InputFormat::kManifest || options.format == InputFormat::kOpenAiBatch;
      if (!streams && !fs::is_regular_file(input, error))
        refuse(input,
               "is a pipe, a socket or a device. A manifest is read from one with --input-format "
               "manifest, or from standard input with --input -");
      more = inputs.add_file(input);
    } else
      more = inputs.add_glob(input);
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
  const bool none = writer.listed() == 0;
  ItemTable table = writer.finish();
  if (none)
    throw UsageError(fmt::format("[--input] names nothing: no item in any of the inputs.{}",
                                 describe_instead(table.passed_over())));
  return table;
}

}  // namespace retinue::runtime
