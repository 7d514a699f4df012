#include "runtime/output/journal.h"

#include "parallel/base/check.h"
#include "parallel/base/file.h"
#include "parallel/base/hash.h"
#include "runtime/formats/atomic_file.h"

#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <fcntl.h>
#include <filesystem>
#include <fstream>
#include <optional>
#include <span>
#include <sys/stat.h>
#include <unistd.h>

namespace retinue::runtime {
namespace {

constexpr std::size_t kDigits = 16;

std::string checksum(std::string_view text) {
  return fmt::format("{:016x}", xxh3_64(std::as_bytes(std::span(text))));
}

/// A line whose checksum holds.
struct Entry {
  EntryType type = EntryType::kStart;
  std::int64_t index = 0;
  std::size_t json_at = 0;  ///< in the line
};

std::optional<Entry> parse(std::string_view line) {
  // "<16 digits> T <index> <json>"
  if (line.size() < kDigits + 6 || line[kDigits] != ' ' || line[kDigits + 2] != ' ')
    return std::nullopt;
  const std::string_view body = line.substr(kDigits + 1);
  if (checksum(body) != line.substr(0, kDigits)) return std::nullopt;
  Entry entry;
  entry.type = static_cast<EntryType>(body[0]);
  const auto [end, error] =
      std::from_chars(body.data() + 2, body.data() + body.size(), entry.index);
  if (error != std::errc() || end == body.data() + body.size() || *end != ' ') return std::nullopt;
  entry.json_at = static_cast<std::size_t>(end + 1 - line.data());
  return entry;
}

/// Rank and epoch of "r00017.e3.seg".
std::optional<std::pair<int, int>> parse_name(const std::string& name) {
  int rank = 0, epoch = 0, end = 0;
  if (std::sscanf(name.c_str(), "r%d.e%d.seg%n", &rank, &epoch, &end) != 2 ||
      static_cast<std::size_t>(end) != name.size())
    return std::nullopt;
  return std::pair{epoch, rank};
}

}  // namespace

std::string segment_path(const std::string& job, int rank, int epoch) {
  return fmt::format("{}/journal/r{:05}.e{}.seg", job, rank, epoch);
}

SegmentWriter::SegmentWriter(std::string path, std::int64_t fsync_interval_ms)
    : path_(std::move(path)), fsync_interval_ms_(fsync_interval_ms) {
  fd_ = ::open(path_.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
  if (fd_ < 0) fail(errno);
  // Without a durable name the file would be lost with all its durable lines.
  sync_folder(std::filesystem::path(path_).parent_path().string());
  if (fsync_interval_ms_ > 0)
    syncer_ = std::jthread([this](const std::stop_token& stop) { sync_loop(stop); });
}

SegmentWriter::~SegmentWriter() {
  syncer_.request_stop();
  if (syncer_.joinable()) syncer_.join();
  if (fd_ >= 0) ::close(fd_);
}

void SegmentWriter::fail(int error) const {
  throw SystemError(
      fmt::format("[output] {} cannot be written: {}. Make room or mend the disk, then "
                  "run the same command again; finished items are kept.",
                  path_, std::strerror(error)));
}

std::int64_t SegmentWriter::append(EntryType type, std::int64_t index, std::string_view json) {
  check(json.find('\n') == std::string_view::npos, "a journal entry is one line");
  const std::string body = fmt::format("{} {} {}", static_cast<char>(type), index, json);
  const std::string line = checksum(body) + " " + body + "\n";
  const std::lock_guard lock(mutex_);
  if (fd_ < 0) {
    check(type == EntryType::kTaken, "no record comes after the end of its segment");
    return appended_;
  }
  // After a torn line, or one whose sync failed, a further line would count as if nothing were
  // lost.
  if (error_ == 0 && !write_all(fd_, line)) error_ = errno;
  if (error_ != 0) fail(error_);
  ++appended_;
  // kTaken serves crash attribution alone. After a power failure no item is blamed: no sync needed.
  if (type == EntryType::kTaken) return appended_;
  wanted_ = appended_;
  if (fsync_interval_ms_ > 0) {
    wake_.notify_one();
  } else {
    if (fdatasync(fd_) != 0 && errno != EINVAL) error_ = errno;
    if (error_ != 0) fail(error_);
    durable_ = appended_;
  }
  return appended_;
}

std::int64_t SegmentWriter::durable() const {
  const std::lock_guard lock(mutex_);
  return durable_;
}

void SegmentWriter::sync_loop(const std::stop_token& stop) {
  std::unique_lock lock(mutex_);
  while (wake_.wait(lock, stop, [&] { return durable_ < wanted_ && error_ == 0; })) {
    // Entries of one interval share a sync.
    wake_.wait_for(lock, stop, std::chrono::milliseconds(fsync_interval_ms_), [] { return false; });
    const std::int64_t group = appended_;
    lock.unlock();
    const int error = fdatasync(fd_) == 0 || errno == EINVAL ? 0 : errno;
    lock.lock();
    // After a failed sync the kernel may have dropped the pages: a second sync would prove nothing.
    if (error == 0)
      durable_ = group;
    else
      error_ = error;
  }
}

bool SegmentWriter::is_in_place() const {
  struct stat named {
  }, opened{};
  if (::stat(path_.c_str(), &named) != 0) return errno != ENOENT && errno != ENOTDIR;
  // Where the file system cannot say, the next write or sync will.
  return fstat(fd_, &opened) != 0 ||
         (named.st_ino == opened.st_ino && named.st_dev == opened.st_dev);
}

void SegmentWriter::verify_place() {
  const auto now = std::chrono::steady_clock::now();
  if (now < next_look_) return;
  next_look_ = now + std::chrono::seconds(1);
  if (!is_in_place()) fail_moved();
}

void SegmentWriter::fail_moved() const {
  throw SystemError(fmt::format(
      "[output] {} is gone: its folder was moved or deleted while the job runs. Put the folder "
      "back, then run the same command again; what lies in it is kept.",
      path_));
}

void SegmentWriter::close() {
  syncer_.request_stop();
  if (syncer_.joinable()) syncer_.join();
  const std::lock_guard lock(mutex_);
  if (!is_in_place()) fail_moved();
  if (error_ == 0 && fsync(fd_) != 0 && errno != EINVAL) error_ = errno;
  if (::close(fd_) != 0 && error_ == 0) error_ = errno;
  fd_ = -1;
  if (error_ != 0) fail(error_);
  durable_ = appended_;
}

Journal::Journal(const std::string& job, std::int64_t items)
    : places_(static_cast<std::size_t>(items)), attributed_(job) {
  std::vector<std::pair<std::pair<int, int>, std::string>> found;
  std::error_code error;
  for (auto at = std::filesystem::directory_iterator(job + "/journal", error);
       !error && at != std::filesystem::directory_iterator(); at.increment(error))
    if (const auto name = parse_name(at->path().filename().string()))
      found.emplace_back(*name, at->path().string());
  // Items whose entries stay unread would run twice: a folder that exists must be readable.
  if (error && error != std::errc::no_such_file_or_directory)
    throw SystemError(fmt::format("[journal] {}/journal: {}", job, error.message()));
  std::sort(found.begin(), found.end());
  next_epoch_ = attributed_.newest_epoch() + 1;
  for (const auto& [name, path] : found) {
    next_epoch_ = std::max(next_epoch_, name.first + 1);
    attributed_.begin(name.first, name.second);
    read_segment(path);
  }
  attributed_.finish();
}

void Journal::read_segment(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) throw SystemError(fmt::format("[journal] {} cannot be read", path));
  const auto segment = static_cast<std::uint32_t>(segments_.size());
  segments_.push_back(path);
  std::int64_t offset = 0;
  for (std::string line; std::getline(file, line);) {
    const std::int64_t begin = offset;
    offset += static_cast<std::int64_t>(line.size()) + 1;
    // getline also returns a last line without its end. Such a line is torn, even if it parses.
    const auto entry = file.eof() ? std::nullopt : parse(line);
    if (!entry) {
      ++damaged_lines_;
    } else if (entry->type == EntryType::kStart) {
      starts_.push_back(line.substr(entry->json_at));
    } else if (entry->type == EntryType::kTaken) {
      attributed_.taken(entry->index);
    } else if (entry->type == EntryType::kDone || entry->type == EntryType::kFail) {
      attributed_.ended(entry->index);
      done_lines_ += entry->type == EntryType::kDone ? 1 : 0;
      if (entry->index >= 0 && entry->index < static_cast<std::int64_t>(places_.size()))
        places_[static_cast<std::size_t>(entry->index)] = {
            entry->type, segment, static_cast<std::uint32_t>(line.size() - entry->json_at),
            begin + static_cast<std::int64_t>(entry->json_at)};
    }
  }
  if (file.bad()) throw SystemError(fmt::format("[journal] {} cannot be read to its end", path));
}

bool Journal::is(std::int64_t index, EntryType type) const {
  return places_.at(static_cast<std::size_t>(index)).type == type;
}

std::int64_t Journal::count(EntryType type) const {
  return std::count_if(places_.begin(), places_.end(),
                       [&](const Place& place) { return place.type == type; });
}

std::string Journal::text(std::int64_t index) const {
  const Place& place = places_.at(static_cast<std::size_t>(index));
  check(place.type != EntryType::kStart, "only finished items have a text");
  std::string text(place.length, '\0');
  const std::string& path = segments_[place.segment];
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  errno = EIO;  // also where the file ends too early
  const auto read =
      fd < 0 ? -1 : read_at(fd, place.offset, std::as_writable_bytes(std::span(text)));
  const int error = errno;
  if (fd >= 0) ::close(fd);
  if (read != static_cast<std::int64_t>(text.size()))
    throw SystemError(fmt::format("[journal] {} cannot be read: {}", path, std::strerror(error)));
  return text;
}

}  // namespace retinue::runtime
