#include "runtime/formats/parquet/reader.h"

#include "runtime/formats/parquet/metadata.h"
#include "runtime/formats/parquet/page.h"
#include "runtime/formats/parquet/page_cache.h"
#include "runtime/formats/parquet/value_text.h"

#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <functional>
#include <map>
#include <mutex>
#include <sys/stat.h>
#include <tuple>
#include <unistd.h>
#include <utility>

namespace retinue::runtime {
namespace {

using namespace detail;

DataError error(std::string message) { return {"read", std::move(message)}; }

class File {
 public:
  explicit File(const std::string& path) : fd_(::open(path.c_str(), O_RDONLY | O_CLOEXEC)) {}
  ~File() {
    if (fd_ >= 0) ::close(fd_);
  }
  File(const File&) = delete;
  File& operator=(const File&) = delete;

  [[nodiscard]] bool open() const { return fd_ >= 0; }
  [[nodiscard]] std::int64_t size() const {
    struct stat about {};
    return fstat(fd_, &about) == 0 && S_ISREG(about.st_mode) ? about.st_size : -1;
  }
  /// Fills `out`; returns the error where it cannot.
  [[nodiscard]] std::optional<std::string> read(std::int64_t offset,
                                                std::span<std::byte> out) const {
    while (!out.empty()) {
      const ssize_t got = pread(fd_, out.data(), out.size(), offset);
      if (got < 0 && errno == EINTR) continue;
      if (got < 0) return std::string(std::strerror(errno));
      if (got == 0) return "it has become shorter since it was opened";
      out = out.subspan(static_cast<std::size_t>(got));
      offset += got;
    }
    return std::nullopt;
  }

 private:
  int fd_;
};

/// The place and the header of a page.
struct PagePlace {
  PageHeader header;
  std::int64_t offset = 0;  ///< of the bytes after the header
};

/// The pages of one column in one row group.
struct ChunkPages {
  std::mutex mutex;  ///< guards the members below
  bool walked = false;
  std::optional<PagePlace> dictionary;
  std::vector<PagePlace> pages;
  /// The number of rows of the row group that begin before page i. For a list each decoded page
  /// adds one entry; for other columns the headers give all.
  std::vector<std::int64_t> first_row;
};

/// The index of the dictionary page in its chunk; data pages count from 0.
constexpr std::int64_t kDictionaryPage = -1;
using PageKey = std::tuple<std::size_t, int, std::int64_t>;  // row group, column, page
using PagePointer = std::shared_ptr<const ParquetPage>;

/// A data page with the rows that begin in it.
struct FoundPage {
  PagePointer page;
  std::int64_t number = 0;
  std::int64_t first_row = 0;  ///< in the row group
};

/// Takes the entries of a page that belong to a row; returns what is wrong.
using TakeEntries = std::function<std::optional<std::string>(const ParquetPage&, std::size_t begin,
                                                             std::size_t end)>;

}  // namespace

struct ParquetFile::State {
  State(std::string name, const ParquetOptions& limits)
      : path(std::move(name)),
        options(limits),
        file(path),
        pages(limits.cache_bytes),
        dictionaries(limits.cache_bytes / 4) {}

  std::string path;
  ParquetOptions options;
  File file;
  ParquetMetadata metadata;

  std::mutex mutex;  // guards the map of chunks, not the chunks
  std::map<std::pair<std::size_t, int>, std::shared_ptr<ChunkPages>> chunks;
  KeptValues<PageKey, ParquetPage> pages;
  KeptValues<PageKey, ParquetValues> dictionaries;

  [[nodiscard]] const ParquetLeaf& leaf(int column) const {
    return metadata.leaves[static_cast<std::size_t>(column)];
  }
  [[nodiscard]] const ParquetChunk& chunk(std::size_t group, int column) const {
    return metadata.groups[group].chunks[static_cast<std::size_t>(column)];
  }
  [[nodiscard]] std::size_t group_of(std::int64_t row) const {
    const auto after =
        std::ranges::upper_bound(metadata.groups, row, {}, &ParquetRowGroup::first_row);
    return static_cast<std::size_t>(after - metadata.groups.begin()) - 1;
  }

  /// "photos.parquet: column image.bytes, row group 3, page 2 is damaged: …"
  [[nodiscard]] DataError located(std::size_t group, int column, std::int64_t page,
                                  const std::string& what) const {
    return error(fmt::format("{}: column {}, row group {}, {} {}", path,
                             metadata.columns[static_cast<std::size_t>(column)].path, group,
                             page == kDictionaryPage ? "dictionary" : fmt::format("page {}", page),
                             what));
  }

  Result<bool> walk(std::size_t group, int column, ChunkPages& out) const;
  std::shared_ptr<ChunkPages> pages_of(std::size_t group, int column);
  Result<HeapBytes> read_page(std::size_t group, int column, std::int64_t number,
                              const PagePlace& place) const;
  Result<std::shared_ptr<const ParquetValues>> dictionary(std::size_t group, int column,
                                                          const PagePlace& place);
  Result<PagePointer> page(std::size_t group, int column, std::int64_t number,
                           const ChunkPages& chunk);
  Result<FoundPage> find_page(std::size_t group, int column, std::int64_t row);
  Result<bool> visit_row(std::size_t group, int column, std::int64_t row, const FoundPage& found,
                         const TakeEntries& take);
  Result<bool> visit_rest(std::size_t group, int column, std::int64_t number,
                          const TakeEntries& take);
  std::optional<std::string> append(const ParquetPage& page, std::size_t begin, std::size_t end,
                                    int column, std::int64_t& bytes_left, ParquetCell& cell) const;
};

/// Reads the headers of a chunk's pages, one after the other, without their data.
Result<bool> ParquetFile::State::walk(std::size_t group, int column, ChunkPages& out) const {
  // Headers without statistics are small: the first read usually holds a whole one.
  constexpr std::int64_t kFirst = 256, kMost = 16 << 20;
  const ParquetChunk& at = chunk(group, column);
  const bool list = leaf(column).max_repetition > 0;
  const auto fail = [&](std::size_t number, const std::string& what) {
    out.pages.clear();
    out.first_row.clear();
    out.dictionary.reset();
    return located(group, column, static_cast<std::int64_t>(number), what);
  };
  if (at.elsewhere)
    return fail(0, "is encrypted or in another file, which is not served. Write one plain file");
  std::vector<std::byte> bytes;
  std::int64_t offset = at.begin, values = 0, rows = 0;
  while (values < at.values) {
    PagePlace place;
    std::size_t header_bytes = 0;
    HeaderState state = HeaderState::kNeedsMore;
    for (std::int64_t want = kFirst; state == HeaderState::kNeedsMore; want *= 8) {
      const std::int64_t there = std::min({want, kMost, at.end - offset});
      if (there <= static_cast<std::int64_t>(bytes.size()) && want != kFirst) break;
      bytes.resize(static_cast<std::size_t>(std::max<std::int64_t>(there, 0)));
      if (const auto why = file.read(offset, bytes))
        return fail(out.pages.size(), "cannot be read: " + *why);
      state = parse_page_header(bytes, place.header, header_bytes);
    }
    place.offset = offset + static_cast<std::int64_t>(header_bytes);
    if (state != HeaderState::kWhole || place.header.stored_bytes > at.end - place.offset)
      return fail(out.pages.size(), "is damaged: its header makes no sense");
    offset = place.offset + place.header.stored_bytes;
    if (place.header.kind == PageKind::kIndex) continue;
    if (place.header.kind == PageKind::kDictionary) {
      if (out.dictionary || !out.pages.empty())
        return fail(out.pages.size(), "is damaged: a dictionary is where a data page should be");
      out.dictionary = place;
      continue;
    }
    values += place.header.values;
    if (values > at.values)
      return fail(out.pages.size(), "is damaged: it holds more values than the footer says");
    if (!list)
      out.first_row.push_back(std::exchange(rows, rows + place.header.values));
    else if (out.pages.empty())
      out.first_row.push_back(0);
    out.pages.push_back(place);
  }
  out.walked = true;
  return true;
}

std::shared_ptr<ChunkPages> ParquetFile::State::pages_of(std::size_t group, int column) {
  const std::scoped_lock lock(mutex);
  auto& chunk = chunks[{group, column}];
  if (chunk == nullptr) chunk = std::make_shared<ChunkPages>();
  return chunk;
}

Result<HeapBytes> ParquetFile::State::read_page(std::size_t group, int column, std::int64_t number,
                                                const PagePlace& place) const {
  HeapBytes stored(static_cast<std::size_t>(place.header.stored_bytes));
  if (const auto why = file.read(place.offset, stored.span()))
    return located(group, column, number, "cannot be read: " + *why);
  if (place.header.crc && crc32_of(stored.span()) != *place.header.crc)
    return located(group, column, number,
                   "is damaged: its checksum is another. Copy the file again");
  return stored;
}

Result<std::shared_ptr<const ParquetValues>> ParquetFile::State::dictionary(
    std::size_t group, int column, const PagePlace& place) {
  return dictionaries.get({group, column, kDictionaryPage}, [&]() -> Result<ParquetValues> {
    const auto stored = read_page(group, column, kDictionaryPage, place);
    if (!stored.ok()) return stored.error();
    auto values = decode_dictionary(place.header, stored->span(), leaf(column),
                                    chunk(group, column).codec, options.max_page_bytes);
    if (!values.ok()) return located(group, column, kDictionaryPage, values.error().message);
    return values;
  });
}

Result<PagePointer> ParquetFile::State::page(std::size_t group, int column, std::int64_t number,
                                             const ChunkPages& from) {
  return pages.get({group, column, number}, [&]() -> Result<ParquetPage> {
    const PagePlace& place = from.pages[static_cast<std::size_t>(number)];
    std::shared_ptr<const ParquetValues> words;
    if (from.dictionary) {
      auto found = dictionary(group, column, *from.dictionary);
      if (!found.ok()) return found.error();
      words = std::move(*found);
    }
    const auto stored = read_page(group, column, number, place);
    if (!stored.ok()) return stored.error();
    auto decoded =
        decode_page(place.header, stored->span(), leaf(column), chunk(group, column).codec,
                    std::move(words), options.max_page_bytes);
    if (!decoded.ok()) return located(group, column, number, decoded.error().message);
    return decoded;
  });
}

/// The page in which a row begins.
///   row  in the row group
Result<FoundPage> ParquetFile::State::find_page(std::size_t group, int column, std::int64_t row) {
  const std::shared_ptr<ChunkPages> at = pages_of(group, column);
  FoundPage found;
  {
    const std::scoped_lock lock(at->mutex);
    if (!at->walked)
      if (const auto walked = walk(group, column, *at); !walked.ok()) return walked.error();
    auto& first_row = at->first_row;
    const auto all = static_cast<std::int64_t>(at->pages.size());
    // For a list, decode pages until one begins after the row, or none is left.
    while (leaf(column).max_repetition > 0 && first_row.back() <= row &&
           static_cast<std::int64_t>(first_row.size()) <= all) {
      const auto number = static_cast<std::int64_t>(first_row.size()) - 1;
      std::int64_t rows = at->pages[static_cast<std::size_t>(number)].header.rows;
      if (rows < 0) {
        const auto decoded = page(group, column, number, *at);
        if (!decoded.ok()) return decoded.error();
        rows = static_cast<std::int64_t>((*decoded)->row_begin.size());
      }
      first_row.push_back(first_row.back() + rows);
    }
    const auto after = std::ranges::upper_bound(first_row, row);
    found.number = after - first_row.begin() - 1;
    if (found.number >= all)
      return located(group, column, all,
                     "is missing: the pages hold fewer rows than the footer "
                     "says");
    found.first_row = first_row[static_cast<std::size_t>(found.number)];
  }
  // From here on only first_row of the chunk changes.
  auto decoded = page(group, column, found.number, *at);
  if (!decoded.ok()) return decoded.error();
  found.page = std::move(*decoded);
  return found;
}

std::optional<std::string> ParquetFile::State::append(const ParquetPage& page, std::size_t begin,
                                                      std::size_t end, int column,
                                                      std::int64_t& bytes_left,
                                                      ParquetCell& cell) const {
  for (std::size_t i = begin; i < end; ++i) {
    const std::int32_t entry =
        page.entries.empty() ? static_cast<std::int32_t>(i) : page.entries[i];
    if (entry >= 0) {
      const auto value = page.value(static_cast<std::size_t>(entry));
      // A dictionary holds a long value once, and a row may have it any number of times.
      bytes_left -= static_cast<std::int64_t>(value.size());
      if (bytes_left < 0) return "has a row that is too large";
      cell.values.emplace_back(value_text(leaf(column), value));
    } else if (entry == kAbsentList) {
      cell.null = true;
    } else if (entry == kAbsent) {
      cell.values.emplace_back(std::nullopt);
    }
  }
  return std::nullopt;
}

/// A row of a list may continue in the pages after the one in which it begins.
Result<bool> ParquetFile::State::visit_rest(std::size_t group, int column, std::int64_t number,
                                            const TakeEntries& take) {
  const std::shared_ptr<ChunkPages> at = pages_of(group, column);
  while (++number < static_cast<std::int64_t>(at->pages.size())) {
    // In version 2 every page begins with a row.
    if (at->pages[static_cast<std::size_t>(number)].header.rows >= 0) return true;
    const auto next = page(group, column, number, *at);
    if (!next.ok()) return next.error();
    const auto& begins = (*next)->row_begin;
    if (const auto why = take(**next, 0, begins.empty() ? (*next)->entry_count : begins.front()))
      return located(group, column, number, *why);
    if (!begins.empty()) return true;
  }
  return true;
}

Result<bool> ParquetFile::State::visit_row(std::size_t group, int column, std::int64_t row,
                                           const FoundPage& found, const TakeEntries& take) {
  const auto local = static_cast<std::size_t>(row - found.first_row);
  const ParquetPage& page = *found.page;
  if (local >= page.rows(leaf(column)))
    return located(group, column, found.number, "is damaged: it holds fewer rows than it says");
  const bool list = leaf(column).max_repetition > 0;
  const bool last = list && local + 1 == page.row_begin.size();
  const std::size_t begin = list ? page.row_begin[local] : local;
  const std::size_t end = !list ? local + 1 : last ? page.entry_count : page.row_begin[local + 1];
  if (const auto why = take(page, begin, end)) return located(group, column, found.number, *why);
  return last ? visit_rest(group, column, found.number, take) : Result<bool>(true);
}

ParquetFile::ParquetFile(std::unique_ptr<State> state) : state_(std::move(state)) {}
ParquetFile::~ParquetFile() = default;

Result<std::shared_ptr<const ParquetFile>> ParquetFile::open(const std::string& path,
                                                             const ParquetOptions& options) {
  auto state = std::make_unique<State>(path, options);
  const auto fail = [&](const std::string& what) { return error(path + ": " + what); };
  if (!state->file.open()) return fail(std::strerror(errno));
  const std::int64_t size = state->file.size();
  if (size < 0) return fail("is no file");
  // "PAR1", the pages, the footer, its length, "PAR1".
  constexpr std::int64_t kEnds = 8, kSmallest = 12;
  std::byte head[4] = {}, tail[kEnds] = {};
  if (size < kSmallest) return fail("is no Parquet file: it is too short");
  for (const auto& why : {state->file.read(0, head), state->file.read(size - kEnds, tail)})
    if (why) return fail("cannot be read: " + *why);
  if (std::memcmp(tail + 4, "PARE", 4) == 0)
    return DataError{kUnsupportedParquet,
                     path +
                         ": its footer is encrypted, which is not served. Write it without "
                         "encryption"};
  if (std::memcmp(head, "PAR1", 4) != 0) return fail("is no Parquet file: it begins otherwise");
  if (std::memcmp(tail + 4, "PAR1", 4) != 0)
    return fail("is a Parquet file without its end. The copy is incomplete; copy it again");
  std::uint32_t length = 0;
  for (int i = 0; i < 4; ++i) length |= std::to_integer<std::uint32_t>(tail[i]) << (8 * i);
  const std::int64_t data_end = size - kEnds - length;
  if (data_end < 4) return fail("its footer is damaged: it is longer than the file");
  HeapBytes footer(length);
  if (const auto why = state->file.read(data_end, footer.span()))
    return fail("cannot be read: " + *why);
  auto metadata = parse_footer(footer.span(), data_end);
  if (!metadata.ok())
    return DataError{metadata.error().stage, path + ": " + metadata.error().message};
  state->metadata = std::move(*metadata);
  return std::shared_ptr<const ParquetFile>(new ParquetFile(std::move(state)));
}

const std::string& ParquetFile::path() const { return state_->path; }
std::int64_t ParquetFile::rows() const { return state_->metadata.rows; }
const std::vector<ParquetColumn>& ParquetFile::columns() const { return state_->metadata.columns; }
const std::vector<ParquetNode>& ParquetFile::schema() const { return state_->metadata.nodes; }

std::optional<int> ParquetFile::find(std::string_view path) const {
  const auto found = std::ranges::find(columns(), path, &ParquetColumn::path);
  if (found == columns().end()) return std::nullopt;
  return static_cast<int>(found - columns().begin());
}

Result<int> ParquetFile::column(std::string_view path) const {
  const std::optional<int> found = find(path);
  if (!found) {
    std::string known;
    for (const ParquetColumn& each : columns())
      known += fmt::format("{}{} ({}{})", known.empty() ? "" : ", ", each.path,
                           each.list ? "list of " : "", each.type);
    return error(fmt::format("{}: no column {}. It has: {}", state_->path, path, known));
  }
  if (std::ranges::count(columns(), path, &ParquetColumn::path) > 1)
    return error(
        fmt::format("{}: several columns are called {}. Rename all but one", state_->path, path));
  if (const std::string& why = state_->leaf(*found).refusal; !why.empty())
    return error(fmt::format("{}: column {} {}", state_->path, path, why));
  return *found;
}

std::string ParquetFile::refusal(int column) const {
  if (const std::string& why = state_->leaf(column).refusal; !why.empty()) return why;
  for (std::size_t group = 0; group < state_->metadata.groups.size(); ++group) {
    const ParquetChunk& chunk = state_->chunk(group, column);
    if (chunk.elsewhere) return "is encrypted or in another file, which is not served";
    if (chunk.values == 0) continue;
    if (!is_served_codec(chunk.codec))
      return fmt::format("is compressed with {}, which is not served", codec_name(chunk.codec));
    if (chunk.unknown_encoding >= 0)
      return fmt::format("is encoded as {}, which is not served",
                         encoding_name(chunk.unknown_encoding));
  }
  return "";
}

Result<ParquetCell> ParquetFile::cell(std::int64_t row, int column) const {
  return ParquetCursor(std::shared_ptr<const ParquetFile>(std::shared_ptr<void>(), this), column)
      .cell(row);
}

struct ParquetCursor::Place {
  std::size_t group = 0;
  FoundPage found;
};

ParquetCursor::ParquetCursor(std::shared_ptr<const ParquetFile> file, int column)
    : file_(std::move(file)), column_(column), place_(std::make_unique<Place>()) {
  check(column >= 0 && column < static_cast<int>(file_->columns().size()), "a column of the file");
}
ParquetCursor::~ParquetCursor() = default;
ParquetCursor::ParquetCursor(ParquetCursor&&) noexcept = default;

/// Finds the page of a row; returns the row in its row group.
Result<std::int64_t> ParquetCursor::find(std::int64_t row) {
  check(row >= 0 && row < file_->rows(), "a row of the file");
  ParquetFile::State& state = *file_->state_;
  if (const std::string& why = state.leaf(column_).refusal; !why.empty())
    return error(fmt::format("{}: column {} {}", state.path,
                             file_->columns()[static_cast<std::size_t>(column_)].path, why));
  const ParquetRowGroup* group = &state.metadata.groups[place_->group];
  const FoundPage& here = place_->found;
  std::int64_t local = row - group->first_row;
  const bool in_page =
      here.page != nullptr && local >= here.first_row && local < group->rows &&
      local - here.first_row < static_cast<std::int64_t>(here.page->rows(state.leaf(column_)));
  if (in_page) return local;
  place_->group = state.group_of(row);
  group = &state.metadata.groups[place_->group];
  local = row - group->first_row;
  place_->found.page.reset();
  auto found = state.find_page(place_->group, column_, local);
  if (!found.ok()) return found.error();
  place_->found = std::move(*found);
  return local;
}

Result<ParquetCell> ParquetCursor::cell(std::int64_t row) {
  const auto local = find(row);
  if (!local.ok()) return local.error();
  ParquetFile::State& state = *file_->state_;
  ParquetCell cell;
  std::int64_t bytes_left = state.options.max_page_bytes;
  const auto visited =
      state.visit_row(place_->group, column_, *local, place_->found,
                      [&](const ParquetPage& page, std::size_t begin, std::size_t end) {
                        return state.append(page, begin, end, column_, bytes_left, cell);
                      });
  if (!visited.ok()) return visited.error();
  if (state.leaf(column_).max_repetition == 0) {
    cell.null = !cell.values.front().has_value();
    if (cell.null) cell.values.clear();
  }
  if (cell.null && !cell.values.empty())
    return state.located(place_->group, column_, place_->found.number,
                         "is damaged: a list is absent and has elements");
  return cell;
}

Result<bool> ParquetCursor::entries(std::int64_t row, std::int64_t& bytes_left,
                                    std::vector<ParquetEntry>& out) {
  const auto local = find(row);
  if (!local.ok()) return local.error();
  ParquetFile::State& state = *file_->state_;
  const ParquetLeaf& leaf = state.leaf(column_);
  const bool bytes = !file_->columns()[static_cast<std::size_t>(column_)].text &&
                     leaf.meaning == ParquetMeaning::kNone && leaf.type >= ParquetType::kByteArray;
  out.clear();
  const auto append = [&](const ParquetPage& page, std::size_t begin,
                          std::size_t end) -> std::optional<std::string> {
    for (std::size_t i = begin; i < end; ++i) {
      ParquetEntry& entry = out.emplace_back();
      entry.definition = page.definition.empty() ? static_cast<std::uint8_t>(leaf.max_definition)
                                                 : page.definition[i];
      entry.repetition = page.repetition.empty() ? std::uint8_t{0} : page.repetition[i];
      const std::int32_t at = page.entries.empty() ? static_cast<std::int32_t>(i) : page.entries[i];
      bytes_left -= static_cast<std::int64_t>(sizeof(ParquetEntry));
      if (at >= 0 && !bytes) {
        const auto value = page.value(static_cast<std::size_t>(at));
        bytes_left -= static_cast<std::int64_t>(value.size());
        if (bytes_left >= 0) entry.text = value_text(leaf, value);
      }
      if (bytes_left < 0) return "has a row that is too large";
    }
    return std::nullopt;
  };
  return state.visit_row(place_->group, column_, *local, place_->found, append);
}

}  // namespace retinue::runtime
