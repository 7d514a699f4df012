#include "runtime/decode/prefetcher.h"

#include "parallel/base/clock.h"
#include "parallel/base/cpu_time.h"
#include "runtime/failure/crash_report.h"

#include <algorithm>
#include <exception>
#include <utility>

namespace retinue::runtime {

namespace {
std::size_t bytes_of(const MediaBytes& files) {
  std::size_t bytes = 0;
  for (const FileBytes& file : *files) bytes += file.size();
  return bytes;
}
}  // namespace

Prefetcher::Prefetcher(const ItemTable& items, const VisionProcessorSpec& spec,
                       const ImageOptions& image, int threads, OpenTables* tables,
                       IsolatedDecoder* isolated)
    : items_(items), spec_(spec), image_(image), tables_(tables), isolated_(isolated) {
  for (int i = 0; i < std::max(1, threads); ++i)
    threads_.emplace_back([this](const std::stop_token& stop) { work(stop); });
}

Prefetcher::~Prefetcher() = default;

void Prefetcher::prefetch(std::uint64_t key) {
  const std::lock_guard lock(mutex_);
  queue_.push_back(key);
  wake_.notify_one();
}

std::optional<Result<layers::Patches>> Prefetcher::take(std::uint64_t key) {
  const std::lock_guard lock(mutex_);
  if (failure_) std::rethrow_exception(failure_);
  const auto found = ready_.find(key);
  if (found == ready_.end()) return std::nullopt;
  Result<layers::Patches> patches = std::move(found->second);
  ready_.erase(found);
  return patches;
}

void Prefetcher::keep(std::uint64_t key, MediaBytes files) {
  const std::size_t bytes = bytes_of(files);
  const std::lock_guard lock(mutex_);
  if (kept_bytes_ + bytes > kKeptBytes) return;
  if (kept_.emplace(key, std::move(files)).second) kept_bytes_ += bytes;
}

void Prefetcher::forget(std::uint64_t key) {
  const std::lock_guard lock(mutex_);
  const auto found = kept_.find(key);
  if (found == kept_.end()) return;
  kept_bytes_ -= bytes_of(found->second);
  kept_.erase(found);
}

void Prefetcher::watch(Watch watch) {
  const std::lock_guard lock(mutex_);
  watch_ = std::move(watch);
}

PrefetchState Prefetcher::state() {
  const std::lock_guard lock(mutex_);
  PrefetchState state = state_;
  state.queued = static_cast<std::int64_t>(queue_.size());
  state.ready = static_cast<std::int64_t>(ready_.size());
  return state;
}

PrefetchTimes Prefetcher::times() {
  const std::lock_guard lock(mutex_);
  return times_;
}

void Prefetcher::work(const std::stop_token& stop) {
  while (true) {
    std::uint64_t key = 0;
    MediaBytes kept;
    {
      std::unique_lock lock(mutex_);
      if (!wake_.wait(lock, stop, [&] { return !queue_.empty(); }) || stop.stop_requested()) return;
      key = queue_.front();
      queue_.pop_front();
      if (const auto found = kept_.find(key); found != kept_.end()) {
        kept = std::move(found->second);
        kept_bytes_ -= bytes_of(kept);
        kept_.erase(found);
      }
    }
    try {
      PrefetchState spent;
      const double begin = thread_cpu_s();
      Result<layers::Patches> patches = decode(key, kept, spent);
      const double cpu_s = thread_cpu_s() - begin;
      if (patches.ok() && watch_) watch_(key, patches.value());
      const std::lock_guard lock(mutex_);
      ++state_.decoded;
      state_.read_s += spent.read_s, state_.decode_s += spent.decode_s;
      times_.cpu_s += cpu_s, ++times_.decoded;
      ready_.insert_or_assign(key, std::move(patches));
    } catch (...) {
      const std::lock_guard lock(mutex_);
      failure_ = std::current_exception();
    }
  }
}

Result<layers::Patches> Prefetcher::decode(std::uint64_t key, const MediaBytes& kept,
                                           PrefetchState& spent) const {
  const WorkOn work_on(static_cast<std::int64_t>(key >> 16));
  try {
    const Item item = items_.item(static_cast<std::size_t>(key >> 16));
    check((key & 0xFFFFU) < item.media.size(), "a key names an image or video of the table");
    const MediaReference& media = item.media[key & 0xFFFFU];
    MediaBytes files = kept;
    const SteadyClock clock;
    const double begin_s = clock.now_s();
    if (files == nullptr) {
      auto read = read_media(media, tables_);
      if (!read.ok()) return read.error();
      files = std::move(read).value();
    }
    const double read_s = clock.now_s();
    spent.read_s = read_s - begin_s;
    auto patches = isolated_ != nullptr ? isolated_->patches(media, *files)
                                        : read_patches(media, *files, spec_, image_);
    spent.decode_s = clock.now_s() - read_s;
    return patches;
  } catch (const std::bad_alloc&) {
    return DataError{"image", "no memory for its pixels"};
  }
}

}  // namespace retinue::runtime
