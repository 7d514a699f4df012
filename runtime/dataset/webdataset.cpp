#include "runtime/dataset/webdataset.h"

#include "parallel/base/check.h"
#include "runtime/dataset/json_line.h"
#include "runtime/dataset/manifest.h"
#include "runtime/formats/tar.h"
#include "runtime/media/content.h"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>
#include <unordered_map>
#include <utility>
#include <vector>

namespace retinue::runtime {
namespace {

using Json = nlohmann::ordered_json;

/// A longer json or prompt is refused.
constexpr std::int64_t kLongestText = std::int64_t{16} << 20;

DataError bad(std::string message) { return {"tar", std::move(message)}; }

class File {
 public:
  explicit File(const std::string& path) {
    fd_ = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
    struct stat facts {};
    if (fd_ < 0 || fstat(fd_, &facts) != 0)
      throw UsageError(fmt::format("[--input] {}: {}", path, std::strerror(errno)));
    size_ = facts.st_size;
  }
  ~File() {
    if (fd_ >= 0) ::close(fd_);
  }
  File(const File&) = delete;
  File& operator=(const File&) = delete;

  [[nodiscard]] std::int64_t size() const { return size_; }
  std::size_t read_at(std::int64_t offset, std::span<std::byte> to) const {
    std::size_t done = 0;
    while (done < to.size()) {
      const auto n = ::pread(fd_, to.data() + done, to.size() - done,
                             static_cast<off_t>(offset) + static_cast<off_t>(done));
      if (n < 0 && errno == EINTR) continue;
      if (n <= 0) break;
      done += static_cast<std::size_t>(n);
    }
    return done;
  }

 private:
  int fd_ = -1;
  std::int64_t size_ = 0;
};

struct Part {
  std::string extension;  ///< behind the key's dot, lower case
  TarMember member;
};

struct Sample {
  std::string key;
  std::vector<Part> parts;
};

/// Splits a name into key and extension; nothing for a name that belongs to no sample.
/// (webdataset: base_plus_ext, and the names that tar_file_iterator skips.)
std::optional<std::pair<std::string, std::string>> split_name(const std::string& name) {
  const auto slash = name.rfind('/');
  const std::size_t base = slash == std::string::npos ? 0 : slash + 1;
  const auto dot = name.find('.', base);
  if (dot == std::string::npos || dot == base) return std::nullopt;
  const std::string_view first = std::string_view(name).substr(0, name.find('/'));
  if (first.size() >= 4 && first.starts_with("__") && first.ends_with("__")) return std::nullopt;
  std::string extension = name.substr(dot + 1);
  for (char& c : extension)
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  return std::pair{name.substr(0, dot), std::move(extension)};
}

template <std::size_t N>
bool among(const std::array<std::string_view, N>& names, std::string_view name) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

/// Image or video, by the last part of the extension; else by the first bytes.
std::optional<MediaKind> kind_of_part(const Part& part, const File& file) {
  constexpr std::array<std::string_view, 10> kImages = {"jpg", "jpeg", "png",  "webp", "bmp",
                                                        "tif", "tiff", "heic", "avif", "jxl"};
  constexpr std::array<std::string_view, 7> kVideos = {"mp4", "mkv", "webm", "mov",
                                                       "avi", "m4v", "gif"};
  constexpr std::array<std::string_view, 14> kOthers = {"txt", "json", "cls",   "prompt", "npy",
                                                        "npz", "pyd",  "pth",   "pkl",    "csv",
                                                        "xml", "html", "index", "md"};
  const std::string_view last =
      std::string_view(part.extension)
          .substr(part.extension.rfind('.') == std::string::npos ? 0
                                                                 : part.extension.rfind('.') + 1);
  if (among(kImages, last)) return MediaKind::kImage;
  if (among(kVideos, last)) return MediaKind::kVideo;
  if (among(kOthers, last)) return std::nullopt;
  std::array<std::byte, 64> head;
  const auto wanted = std::min<std::int64_t>(part.member.bytes, 64);
  const auto bytes = std::span(head).first(static_cast<std::size_t>(wanted));
  if (file.read_at(part.member.offset, bytes) != bytes.size()) return std::nullopt;
  return media_kind(bytes);
}

Result<std::string> text_of(const Part& part, const File& file) {
  if (part.member.bytes > kLongestText)
    return bad(
        fmt::format("{}: {} bytes are too many for a text", part.member.name, part.member.bytes));
  std::string text(static_cast<std::size_t>(part.member.bytes), '\0');
  if (file.read_at(part.member.offset, std::as_writable_bytes(std::span(text))) != text.size())
    return bad(fmt::format("{}: cannot be read", part.member.name));
  return text;
}

/// Whether a name holds more dots than that of its extension: "Screenshot at 10.31.png".
bool has_dotted_name(const Sample& sample) {
  return std::ranges::any_of(
      sample.parts, [](const Part& part) { return part.extension.find('.') != std::string::npos; });
}

/// Lists an archive. Its samples are held until its end, because a later part may join any of them.
class Archive {
 public:
  Archive(const std::string& path, ItemSink& sink) : path_(path), file_(path), sink_(sink) {}

  bool list() {
    TarReader reader(
        [this](std::int64_t offset, std::span<std::byte> to) { return file_.read_at(offset, to); },
        file_.size());
    while (true) {
      auto next = reader.next();
      if (!next.ok()) return end_in_damage(reader, next.error());
      if (!next.value()) return emit_all();
      TarMember& member = **next;
      auto name = split_name(member.name);
      if (!name) continue;
      Part part{std::move(name->second), std::move(member)};
      Sample& sample = sample_of(name->first, part);
      sample.parts.push_back(std::move(part));
    }
  }

 private:
  /// The sample that a part joins; null where it begins one. Parts of a sample lie together, except
  /// where the archive was written from several processes or an unsorted list: such a part joins its
  /// sample. A second part of one name, or a second image, begins another sample.
  Sample* joined_by(const std::string& key, const Part& part) {
    if (!samples_.empty() && samples_.back().key == key) return &samples_.back();
    const auto known = newest_.find(key);
    if (known == newest_.end()) return nullptr;
    Sample& sample = samples_[known->second];
    const bool complete = std::ranges::any_of(sample.parts, [&](const Part& other) {
      return other.extension == part.extension ||
             (kind_of_part(other, file_) && kind_of_part(part, file_));
    });
    return complete ? nullptr : &sample;
  }

  Sample& sample_of(const std::string& key, const Part& part) {
    if (Sample* sample = joined_by(key, part)) {
      if (sample != &samples_.back())
        sink_.passed_over("parts in " + path_,
                          "are not adjacent to their sample and are joined to it");
      return *sample;
    }
    newest_[key] = samples_.size();
    return samples_.emplace_back(Sample{key, {}});
  }

  /// Adds the items of all samples but the damaged one; null: of all.
  bool emit_all(const Sample* damaged = nullptr) {
    for (const Sample& sample : samples_)
      if (&sample != damaged && !emit(sample)) return false;
    return true;
  }

  /// A plain archive of images whose names hold dots becomes few samples of many images.
  void note_dotted(const Sample& sample, std::size_t images) {
    if (dotted_.empty())
      dotted_ = fmt::format("samples of several images, such as \"{}\" of {}, in {}", sample.key,
                            images, path_);
    sink_.passed_over(dotted_, "get one caption each: a name up to its first dot names a sample");
  }

  /// Adds the item of a sample.
  bool emit(const Sample& sample) {
    Item item = item_of(sample);
    if (item.media.size() > 1 && item.messages.empty() && has_dotted_name(sample))
      note_dotted(sample, item.media.size());
    if (!item.error && item.media.empty() && item.messages.empty() && !item.prompt) return true;
    return sink_.add(std::move(item));
  }

  bool end_in_damage(const TarReader& reader, const DataError& damage) {
    const DataError error{damage.stage, fmt::format("{}: {}", path_, damage.message)};
    const auto cut = split_name(reader.cut_member());
    // A sample with a damaged member must not run without that member.
    if (!emit_all(cut ? joined_by(cut->first, Part{cut->second, {}}) : nullptr)) return false;
    Item item;
    item.source = fmt::format("{}:{}", path_, cut ? cut->first : "damage");
    item.id = cut ? cut->first : item.source;
    item.qualified_id = item.source;
    item.error = error;
    return sink_.add(std::move(item));
  }

  Item item_of(const Sample& sample) {
    Item item;
    item.id = sample.key;
    item.source = fmt::format("{}:{}", path_, sample.key);
    item.qualified_id = item.source;
    if (auto error = fill(sample, item)) {
      item.error = std::move(error);
      item.media.clear();
    }
    return item;
  }

  std::optional<DataError> fill(const Sample& sample, Item& item) {
    const Part *json = nullptr, *prompt = nullptr;
    for (const Part& part : sample.parts) {
      for (const Part& other : sample.parts)
        if (&part != &other && part.extension == other.extension)
          return bad(fmt::format("two members are \"{}.{}\"", sample.key, part.extension));
      if (part.extension == "json") json = &part;
      if (part.extension == "prompt" || part.extension == "prompt.txt") prompt = &part;
      if (const auto kind = kind_of_part(part, file_))
        item.media.push_back({*kind, {media_file(part)}, 0.0});
    }
    if (prompt != nullptr) {
      auto text = text_of(*prompt, file_);
      if (!text.ok()) return text.error();
      item.prompt = std::move(*text);
      while (item.prompt->ends_with('\n') || item.prompt->ends_with('\r')) item.prompt->pop_back();
    }
    return json == nullptr ? std::nullopt : read_json(sample, *json, item);
  }

  std::optional<DataError> read_json(const Sample& sample, const Part& part, Item& item) {
    const auto text = text_of(part, file_);
    if (!text.ok()) return text.error();
    const auto parsed = detail::parse_json_line(text.value());
    if (!parsed.ok()) return bad(fmt::format("{}: {}", part.member.name, parsed.error().message));
    const Json& json = parsed.value();
    if (!json.is_object()) return bad(fmt::format("{}: is no JSON object", part.member.name));
    const bool asked = item.prompt.has_value();
    if (auto error = detail::read_id_and_prompt(json, item)) return error;
    if (asked && json.contains("prompt"))
      return bad(fmt::format("{}: has a prompt, and so has another member", part.member.name));
    item.prompt_is_data = !asked;
    if (!json.contains("messages")) return std::nullopt;
    if (item.prompt) return bad("messages stand alone: no prompt beside them");
    auto conversation = parse_messages(json["messages"], "");
    if (!conversation.ok()) return conversation.error();
    for (MediaReference& media : conversation->media)
      for (MediaFile& file : media.files) {
        if (file.path.starts_with("data:")) continue;
        const Part* shown = find(sample, file.path);
        if (shown == nullptr)
          return bad(fmt::format("{}: names {}, which is no member of the sample", part.member.name,
                                 file.path));
        file = media_file(*shown);
      }
    item.messages = conversation->messages->dump(-1, ' ', false, Json::error_handler_t::replace);
    item.media = std::move(conversation->media);
    return std::nullopt;
  }

  static const Part* find(const Sample& sample, const std::string& name) {
    for (const Part& part : sample.parts) {
      const std::string& whole = part.member.name;
      if (name == whole || name == part.extension || name == whole.substr(whole.rfind('/') + 1))
        return &part;
    }
    return nullptr;
  }

  [[nodiscard]] MediaFile media_file(const Part& part) const {
    MediaFile file(path_);
    file.place = MediaPlace::kRange;
    file.member = part.member.name;
    file.offset = part.member.offset;
    file.bytes = part.member.bytes;
    return file;
  }

  const std::string& path_;
  File file_;
  ItemSink& sink_;
  std::string dotted_;                                   ///< as note_dotted counts them
  std::vector<Sample> samples_;                          ///< in the order of their first parts
  std::unordered_map<std::string, std::size_t> newest_;  ///< the last sample of a key
};

}  // namespace

bool read_webdataset(const std::string& path, ItemSink& sink) { return Archive(path, sink).list(); }

}  // namespace retinue::runtime
