#include "runtime/doctor/storage.h"

#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <fcntl.h>
#include <filesystem>
#include <memory>
#include <sys/mman.h>
#include <unistd.h>
#include <vector>

namespace retinue::runtime {
namespace {

constexpr std::int64_t kBlock = std::int64_t{4} << 20;
/// Direct reads need offsets and addresses that are multiples of this, on every usual disk.
constexpr std::int64_t kAlignment = 4096;

struct Descriptor {
  int number = -1;
  ~Descriptor() {
    if (number >= 0) ::close(number);
  }
};

/// The largest *.safetensors of a folder; empty: none.
std::string largest_weights(const std::string& folder, std::int64_t& bytes) {
  std::string path;
  std::error_code error;
  bytes = 0;
  for (const auto& entry : std::filesystem::directory_iterator(folder, error)) {
    if (entry.path().extension() != ".safetensors") continue;
    const auto size = static_cast<std::int64_t>(entry.file_size(error));
    if (error || size <= bytes) continue;
    path = entry.path().string(), bytes = size;
  }
  return path;
}

/// Whether the page cache has some of these bytes.
bool is_cached(int descriptor, std::int64_t begin, std::int64_t bytes) {
  void* map =
      ::mmap(nullptr, static_cast<std::size_t>(bytes), PROT_READ, MAP_SHARED, descriptor, begin);
  if (map == MAP_FAILED) return true;  // unknown, so not called cold
  std::vector<unsigned char> pages(static_cast<std::size_t>((bytes + kAlignment - 1) / kAlignment));
  const bool known = ::mincore(map, static_cast<std::size_t>(bytes), pages.data()) == 0;
  ::munmap(map, static_cast<std::size_t>(bytes));
  return !known || std::ranges::any_of(pages, [](unsigned char page) { return (page & 1) != 0; });
}

}  // namespace

ReadRate read_rate(const std::string& folder, int rank, int ranks, const Clock& clock,
                   const ReadOptions& options) {
  ReadRate rate;
  std::int64_t size = 0;
  const std::string path = largest_weights(folder, size);
  if (path.empty()) {
    rate.error = fmt::format("{} has no weights", folder);
    return rate;
  }
  // Shares are whole blocks of the disk; the last ranks get the rest.
  const std::int64_t share = (size + ranks - 1) / ranks;
  const std::int64_t each = (share + kAlignment - 1) / kAlignment * kAlignment;
  const std::int64_t begin = each * rank;
  const std::int64_t end = std::min({begin + each, size, begin + options.most_bytes});
  if (begin >= end) return rate;
  Descriptor file;
  if (options.direct) file.number = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_DIRECT);
  const bool direct = file.number >= 0;
  if (!direct) file.number = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (file.number < 0) {
    rate.error = fmt::format("{}: {}", path, std::strerror(errno));
    return rate;
  }
  rate.how = "direct";
  if (!direct) {
    ::posix_fadvise(file.number, begin, end - begin, POSIX_FADV_DONTNEED);
    rate.how = is_cached(file.number, begin, end - begin) ? "cached" : "cold";
  }
  const std::unique_ptr<void, decltype(&std::free)> block(std::aligned_alloc(kAlignment, kBlock),
                                                          &std::free);
  const double start = clock.now_s();
  for (std::int64_t at = begin; at < end && clock.now_s() - start < options.seconds;) {
    // Reads whole blocks even at the end of the file, since direct reads need multiples.
    const ssize_t got = ::pread(file.number, block.get(), kBlock, at);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0 && errno == EINVAL && direct) {
      // This file system opens files for direct reads but refuses the reads.
      ReadOptions again = options;
      again.direct = false;
      return read_rate(folder, rank, ranks, clock, again);
    }
    if (got <= 0) {
      rate.error = fmt::format("{}: byte {} of {} cannot be read: {}", path, at, size,
                               got == 0 ? "the file became shorter" : std::strerror(errno));
      return rate;
    }
    rate.bytes += std::min<std::int64_t>(got, end - at);
    at += got;
  }
  rate.seconds = std::max(clock.now_s() - start, 1e-9);
  return rate;
}

}  // namespace retinue::runtime
