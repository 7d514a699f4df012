#include "runtime/dataset/item_table.h"

#include "parallel/base/check.h"
#include "parallel/base/file.h"
#include "parallel/base/hash.h"
#include "parallel/base/rng.h"
#include "runtime/media/video.h"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <filesystem>
#include <numeric>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include <utility>

namespace retinue::runtime {
namespace {

using Json = nlohmann::ordered_json;

constexpr int kFormat = 1;

/// An entry of `index`. One more entry at the end has the size of `items`.
struct Entry {
  std::uint64_t offset = 0;
  std::uint32_t cost = 0;
  std::uint32_t ordinal = 0;
};
static_assert(sizeof(Entry) == 16);
constexpr std::uint64_t kMostItems = 0xFFFFFFFEU;

[[noreturn]] void fail_disk(const std::string& path, const char* what, int error) {
  throw SystemError(fmt::format(
      "[item table] {} {}: {}. Make room or mend the disk, then run the same command again.",
      path.empty() ? "the item table" : path, what, std::strerror(error)));
}

[[noreturn]] void fail_damaged(const std::string& folder, const std::string& what) {
  throw SystemError(fmt::format(
      "[item table] {} is damaged: {}. Run the same command again: the items are listed anew.",
      folder.empty() ? "the item table" : folder, what));
}

/// A file that is only appended to, and can be read while it grows.
class GrowingFile {
 public:
  /// An empty path gives an unnamed file: in memory where `small`, else on disk.
  explicit GrowingFile(std::string path, bool small = false) : path_(std::move(path)) {
    if (!path_.empty())
      fd_ = ::open(path_.c_str(), O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    else if (small)
      fd_ = ::memfd_create("retinue-items", MFD_CLOEXEC);
    else
      open_unnamed();
    if (fd_ < 0) fail_disk(path_, "cannot be made", errno);
  }
  ~GrowingFile() {
    if (fd_ >= 0) ::close(fd_);
  }
  GrowingFile(const GrowingFile&) = delete;
  GrowingFile& operator=(const GrowingFile&) = delete;

  void append(std::string_view bytes) {
    buffer_ += bytes;
    if (buffer_.size() >= kBuffer) flush();
  }
  [[nodiscard]] std::uint64_t size() const { return flushed_ + buffer_.size(); }
  std::string read(std::uint64_t offset, std::size_t bytes) {
    if (offset + bytes > flushed_) flush();
    std::string text(bytes, '\0');
    const auto got =
        read_at(fd_, static_cast<std::int64_t>(offset), std::as_writable_bytes(std::span(text)));
    if (got != static_cast<std::int64_t>(bytes))
      fail_disk(path_, "cannot be read", got < 0 ? errno : EIO);
    return text;
  }
  void flush() {
    for (std::size_t at = 0; at < buffer_.size();) {
      const auto n = ::pwrite(fd_, buffer_.data() + at, buffer_.size() - at,
                              static_cast<off_t>(flushed_ + at));
      if (n < 0 && errno == EINTR) continue;
      if (n < 0) fail_disk(path_, "cannot be written", errno);
      at += static_cast<std::size_t>(n);
    }
    flushed_ += buffer_.size();
    buffer_.clear();
  }
  void sync() {
    flush();
    if (!path_.empty() && fsync(fd_) != 0 && errno != EINVAL)
      fail_disk(path_, "cannot be written", errno);
  }
  /// Hands out the descriptor; the caller closes it.
  int take() { return std::exchange(fd_, -1); }

 private:
  static constexpr std::size_t kBuffer = std::size_t{1} << 18;

  void open_unnamed() {
    std::string name = (std::filesystem::temp_directory_path() / "retinue-items-XXXXXX").string();
    fd_ = ::mkostemp(name.data(), O_CLOEXEC);
    if (fd_ < 0) fail_disk(name, "cannot be made (TMPDIR names the folder)", errno);
    ::unlink(name.c_str());
  }

  std::string path_;
  int fd_ = -1;
  std::string buffer_;
  std::uint64_t flushed_ = 0;
};

std::uint64_t hash_of(const std::string& id) { return xxh3_64(std::as_bytes(std::span(id))); }

std::string_view bytes_of(const Entry& entry) {
  return {reinterpret_cast<const char*>(&entry), sizeof(entry)};
}

std::string checksummed_record(const std::string& packed) {
  const std::uint64_t sum = xxh3_64(std::as_bytes(std::span(packed)));
  std::string record(sizeof(sum), '\0');
  std::memcpy(record.data(), &sum, sizeof(sum));
  return record + packed;
}

/// The packed item of a record; nothing where its checksum is wrong.
std::optional<std::string> opened_record(const std::string& record) {
  std::uint64_t sum = 0;
  if (record.size() < sizeof(sum)) return std::nullopt;
  std::memcpy(&sum, record.data(), sizeof(sum));
  std::string packed = record.substr(sizeof(sum));
  if (xxh3_64(std::as_bytes(std::span(packed))) != sum) return std::nullopt;
  return packed;
}

Json to_json(const ItemSummary& summary) {
  return {{"images", summary.images},
          {"videos", summary.videos},
          {"max_media", summary.max_media},
          {"max_frames", summary.max_frames},
          {"max_text_bytes", summary.max_text_bytes},
          {"max_new_tokens", summary.max_new_tokens}};
}

Json to_json(const std::vector<PassedOver>& kinds) {
  Json json = Json::array();
  for (const PassedOver& kind : kinds)
    json.push_back({{"what", kind.what}, {"why", kind.why}, {"count", kind.count}});
  return json;
}

std::vector<PassedOver> passed_over_of(const Json& table) {
  std::vector<PassedOver> kinds;
  // Tables of earlier versions lack the key.
  for (const Json& kind : table.value("passed_over", Json::array()))
    kinds.push_back({kind.at("what").get<std::string>(), kind.at("why").get<std::string>(),
                     kind.at("count").get<std::uint64_t>()});
  return kinds;
}

}  // namespace

void ItemSummary::count(const Item& item) {
  auto text_bytes =
      static_cast<std::int64_t>(item.messages.size() + item.prompt.value_or("").size());
  for (const MediaReference& media : item.media) {
    const bool video = media.kind == MediaKind::kVideo;
    ++(video ? videos : images);
    // A pair of frames has a time, a start and an end. A video file gives at most `max_frames`.
    const std::int64_t frames =
        media.files.size() > 1 ? std::ssize(media.files) : FrameSampling{}.max_frames;
    if (!video) continue;
    text_bytes += frames * 8;
    if (media.files.size() > 1) max_frames = std::max(max_frames, frames);
  }
  max_media = std::max(max_media, static_cast<std::int64_t>(item.media.size()));
  max_text_bytes = std::max(max_text_bytes, text_bytes);
  if (item.sampling)
    max_new_tokens = std::max(max_new_tokens, item.sampling->max_new_tokens.value_or(0));
}

struct ItemTable::Files {
  std::string folder;
  int items = -1;
  int index = -1;

  Files() = default;
  Files(const Files&) = delete;
  Files& operator=(const Files&) = delete;
  ~Files() {
    if (items >= 0) ::close(items);
    if (index >= 0) ::close(index);
  }

  [[nodiscard]] std::array<Entry, 2> entries(std::size_t at) const {
    std::array<Entry, 2> pair;
    read(index, pair.data(), sizeof(pair), at * sizeof(Entry));
    return pair;
  }
  void read(int fd, void* to, std::size_t bytes, std::uint64_t offset) const {
    const auto got =
        read_at(fd, static_cast<std::int64_t>(offset), {static_cast<std::byte*>(to), bytes});
    if (got == static_cast<std::int64_t>(bytes)) return;
    fail_disk(folder, "cannot be read", got < 0 ? errno : EIO);
  }
};

ItemTable::ItemTable(const std::string& folder) {
  const Json json =
      Json::parse(read_file(folder + "/table.json", "[item table]").value_or(""), nullptr, false);
  if (!json.is_object() || json.value("format", 0) != kFormat)
    fail_damaged(folder, "table.json is not of this version");
  try {
    size_ = json.at("count").get<std::size_t>();
    sha256_ = json.at("sha256").get<std::string>();
    const Json& summary = json.at("summary");
    summary_ = {.images = summary.at("images").get<std::int64_t>(),
                .videos = summary.at("videos").get<std::int64_t>(),
                .max_media = summary.at("max_media").get<std::int64_t>(),
                // A table of an earlier version lacks it; the job lists its items again.
                .max_frames = summary.value("max_frames", std::int64_t{0}),
                .max_text_bytes = summary.at("max_text_bytes").get<std::int64_t>(),
                .max_new_tokens = summary.at("max_new_tokens").get<std::int64_t>()};
    passed_over_ = passed_over_of(json);
  } catch (const Json::exception&) {
    fail_damaged(folder, "table.json lacks what it should hold");
  }
  auto files = std::make_shared<Files>();
  files->folder = folder;
  files->items = ::open((folder + "/items").c_str(), O_RDONLY | O_CLOEXEC);
  files->index = ::open((folder + "/index").c_str(), O_RDONLY | O_CLOEXEC);
  struct stat index {
  }, items{};
  if (files->items < 0 || files->index < 0 || fstat(files->items, &items) != 0 ||
      fstat(files->index, &index) != 0)
    fail_damaged(folder, std::strerror(errno));
  Entry end;
  if (static_cast<std::size_t>(index.st_size) != (size_ + 1) * sizeof(Entry))
    fail_damaged(folder, "the index has another length");
  files->read(files->index, &end, sizeof(end), size_ * sizeof(Entry));
  if (end.offset != static_cast<std::uint64_t>(items.st_size))
    fail_damaged(folder, "the items have another length");
  files_ = std::move(files);
}

std::string ItemTable::packed(std::size_t index) const {
  check(index < size_, "an index of the table");
  const auto [entry, next] = files_->entries(index);
  const auto damaged = [&] { fail_damaged(files_->folder, fmt::format("item {}", index)); };
  if (next.offset < entry.offset || next.offset - entry.offset > (std::uint64_t{1} << 40))
    damaged();
  std::string record(next.offset - entry.offset, '\0');
  files_->read(files_->items, record.data(), record.size(), entry.offset);
  auto packed = opened_record(record);
  if (!packed) damaged();
  return std::move(*packed);
}

Item ItemTable::item(std::size_t index) const {
  auto item = unpack_item(packed(index));
  if (!item) fail_damaged(files_->folder, fmt::format("item {}", index));
  return std::move(*item);
}

std::uint32_t ItemTable::cost(std::size_t index) const {
  check(index < size_, "an index of the table");
  return files_->entries(index)[0].cost;
}

std::int64_t ItemTable::ordinal(std::size_t index) const {
  check(index < size_, "an index of the table");
  return files_->entries(index)[0].ordinal;
}

std::optional<std::size_t> first_difference(const ItemTable& a, const ItemTable& b) {
  const std::size_t common = std::min(a.size(), b.size());
  for (std::size_t i = 0; i < common; ++i)
    if (a.packed(i) != b.packed(i)) return i;
  if (a.size() == b.size()) return std::nullopt;
  return common;
}

/// Finds the listed item with an id, in 8 bytes per id: a hash table leads to candidates, whose ids
/// the caller reads from disk and compares.
class ItemTableWriter::IdIndex {
 public:
  /// The number of the item with this hash for which `same` holds; where there is none, `number` is
  /// added.
  template <class Same>
  std::optional<std::uint32_t> find_or_add(std::uint64_t hash, std::uint32_t number, Same same) {
    Part& part = parts_[hash >> 56];
    // Growing copies a part. With 256 parts, little memory is needed twice.
    if (part.used * 5 >= part.slots.size() * 4) grow(part);
    const auto tag = static_cast<std::uint32_t>(hash);
    for (std::size_t at = home(part, tag);; at = at + 1 == part.slots.size() ? 0 : at + 1) {
      Slot& slot = part.slots[at];
      if (slot.number == kFree) {
        slot = {tag, number};
        ++part.used;
        return std::nullopt;
      }
      if (slot.tag == tag && same(slot.number)) return slot.number;
    }
  }

  /// Whether `same` holds for an item with this hash.
  template <class Same>
  bool find(std::uint64_t hash, Same same) const {
    const Part& part = parts_[hash >> 56];
    if (part.slots.empty()) return false;
    const auto tag = static_cast<std::uint32_t>(hash);
    for (std::size_t at = home(part, tag);; at = at + 1 == part.slots.size() ? 0 : at + 1) {
      const Slot& slot = part.slots[at];
      if (slot.number == kFree) return false;
      if (slot.tag == tag && same(slot.number)) return true;
    }
  }

 private:
  static constexpr std::uint32_t kFree = 0xFFFFFFFFU;
  struct Slot {
    std::uint32_t tag = 0;
    std::uint32_t number = kFree;
  };
  struct Part {
    std::vector<Slot> slots;
    std::size_t used = 0;
  };

  static std::size_t home(const Part& part, std::uint32_t tag) {
    return (static_cast<std::uint64_t>(tag) * part.slots.size()) >> 32;
  }
  static void grow(Part& part) {
    Part larger;
    larger.slots.resize(std::max<std::size_t>(16, part.slots.size() * 3 / 2));
    larger.used = part.used;
    for (const Slot& slot : part.slots) {
      if (slot.number == kFree) continue;
      std::size_t at = home(larger, slot.tag);
      while (larger.slots[at].number != kFree) at = at + 1 == larger.slots.size() ? 0 : at + 1;
      larger.slots[at] = slot;
    }
    part = std::move(larger);
  }

  std::array<Part, 256> parts_;
};

/// The two files of a table, while they grow.
struct ItemTableWriter::Parts {
  GrowingFile items, index;
  std::uint64_t count = 0;
  ItemSummary summary;

  explicit Parts(const std::string& folder, bool small = false)
      : items(folder.empty() ? "" : folder + "/items", small),
        index(folder.empty() ? "" : folder + "/index", small) {}

  void add(const Item& item) {
    index.append(bytes_of({.offset = items.size(),
                           .cost = predicted_cost(item),
                           .ordinal = static_cast<std::uint32_t>(item.ordinal)}));
    items.append(checksummed_record(pack_item(item)));
    summary.count(item);
    ++count;
  }
  Item read(std::uint64_t at) {
    Entry entry, next{.offset = items.size()};
    const std::size_t entries = at + 1 < count ? 2 : 1;
    const std::string bytes = index.read(at * sizeof(Entry), entries * sizeof(Entry));
    std::memcpy(&entry, bytes.data(), sizeof(entry));
    if (entries == 2) std::memcpy(&next, bytes.data() + sizeof(entry), sizeof(next));
    const auto packed = opened_record(items.read(entry.offset, next.offset - entry.offset));
    auto item = packed ? unpack_item(*packed) : std::nullopt;
    if (!item) fail_damaged("", "what was written is not what is read");
    return std::move(*item);
  }
  std::string sha256() {
    Sha256 hash;
    constexpr std::size_t kPiece = std::size_t{1} << 20;
    for (std::uint64_t at = 0; at < items.size(); at += kPiece) {
      const std::string piece = items.read(
          at, static_cast<std::size_t>(std::min<std::uint64_t>(kPiece, items.size() - at)));
      hash.update(std::as_bytes(std::span(piece)));
    }
    return hash.finish_hex();
  }
};

ItemTableWriter::ItemTableWriter(std::string folder, const ItemSelection& selection)
    : folder_(std::move(folder)), selection_(selection), ids_(std::make_unique<IdIndex>()) {
  if (!folder_.empty()) {
    std::error_code error;
    std::filesystem::remove_all(folder_, error);
    if (!error) std::filesystem::create_directories(folder_, error);
    if (error) fail_disk(folder_, "cannot be made", error.value());
  }
  parts_ = std::make_unique<Parts>(folder_);
}

ItemTableWriter::~ItemTableWriter() = default;

bool ItemTableWriter::is_taken(const std::string& id) {
  return ids_->find(hash_of(id),
                    [&](std::uint32_t number) { return parts_->read(number).id == id; });
}

bool ItemTableWriter::resolve_id(Item& item) {
  // Archives of one data set often use the same keys: a qualified id has the archive's name in it.
  if (!item.qualified_id.empty() && item.qualified_id != item.id && is_taken(item.id))
    item.id = std::exchange(item.qualified_id, "");
  Item first;
  const auto found = ids_->find_or_add(hash_of(item.id), static_cast<std::uint32_t>(listed_),
                                       [&](std::uint32_t number) {
                                         first = parts_->read(number);
                                         return first.id == item.id;
                                       });
  if (!found) return true;
  // Names that are no UTF-8 may give the id of another file.
  const bool other_file = !item.media.empty() && !first.media.empty() &&
                          item.media[0].files[0].path != first.media[0].files[0].path;
  if (item.source.empty() && first.source.empty() && !other_file) return false;
  if (item.error) return true;
  item.error = DataError{"manifest",
                         fmt::format("id \"{}\" stands already {}", item.id,
                                     first.source.empty() ? "for a file" : "in " + first.source)};
  item.media.clear();
  return true;
}

bool ItemTableWriter::add(Item item) {
  if (!resolve_id(item)) return true;
  if (listed_ >= kMostItems)
    throw UsageError(fmt::format(
        "[--input] holds more than {} items. Give several jobs a part of the inputs each.",
        kMostItems));
  item.ordinal = static_cast<std::int64_t>(listed_++);
  if (!item.error && std::ranges::any_of(item.media, &MediaReference::assumes_rate))
    passed_over_.add(
        "lists of frames without \"fps\"",
        fmt::format("{:.0f} frames per second are assumed, as transformers does", kAssumedFps));
  parts_->add(item);
  if (selection_.shuffle || selection_.limit == 0) return true;
  return listed_ < selection_.shard + (selection_.limit - 1) * selection_.shards + 1;
}

void ItemTableWriter::passed_over(std::string_view what, std::string_view why) {
  passed_over_.add(what, why);
}

ItemTable ItemTableWriter::finish() {
  ids_.reset();
  const bool as_listed = !selection_.shuffle && selection_.shards == 1 &&
                         (selection_.limit == 0 || selection_.limit >= parts_->count);
  if (!as_listed) {
    // Writes the selected items again, in their final order. The listed ones stay in files whose
    // names are removed here, until the end of this scope.
    const std::unique_ptr<Parts> listed = std::move(parts_);
    if (!folder_.empty())
      for (const char* name : {"/items", "/index"}) ::unlink((folder_ + name).c_str());
    parts_ = std::make_unique<Parts>(folder_);
    std::vector<std::uint32_t> order(selection_.shuffle ? listed->count : 0);
    std::iota(order.begin(), order.end(), std::uint32_t{0});
    for (std::size_t i = order.size(); i > 1; --i)
      std::swap(order[i - 1], order[random_bits(mix64(*selection_.shuffle), i) % i]);
    for (std::uint64_t i = selection_.shard; i < listed->count; i += selection_.shards) {
      if (selection_.limit > 0 && parts_->count == selection_.limit) break;
      parts_->add(listed->read(order.empty() ? i : order[i]));
    }
  }
  ItemTable table = table_of(*parts_, folder_);
  table.passed_over_ = passed_over_.list();
  if (!folder_.empty()) {
    const Json json = {{"format", kFormat},
                       {"count", table.size_},
                       {"sha256", table.sha256_},
                       {"summary", to_json(table.summary_)},
                       {"passed_over", to_json(table.passed_over_)}};
    GrowingFile file(folder_ + "/table.json");
    file.append(json.dump(1, ' ', false, Json::error_handler_t::replace) + "\n");
    file.sync();
  }
  return table;
}

ItemTable ItemTableWriter::table_of(Parts& parts, const std::string& folder) {
  parts.index.append(bytes_of({.offset = parts.items.size()}));
  ItemTable table;
  table.sha256_ = parts.sha256();
  table.size_ = static_cast<std::size_t>(parts.count);
  table.summary_ = parts.summary;
  parts.items.sync();
  parts.index.sync();
  auto files = std::make_shared<ItemTable::Files>();
  files->folder = folder;
  files->items = parts.items.take();
  files->index = parts.index.take();
  table.files_ = std::move(files);
  return table;
}

ItemTable ItemTable::of(std::span<const Item> items) {
  ItemTableWriter::Parts parts("", true);
  for (const Item& item : items) parts.add(item);
  return ItemTableWriter::table_of(parts, "");
}

}  // namespace retinue::runtime
