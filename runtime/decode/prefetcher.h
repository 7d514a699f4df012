#pragma once

#include "runtime/dataset/item_table.h"
#include "runtime/dataset/media_bytes.h"
#include "runtime/decode/isolated_decoder.h"
#include "runtime/engine/request.h"
#include "runtime/media/media_decoder.h"

#include <algorithm>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <exception>
#include <functional>
#include <map>
#include <mutex>
#include <thread>
#include <vector>

namespace retinue::runtime {

/// Names an image or video to every rank: item of the table that all ranks hold, place in it.
constexpr std::uint64_t media_key(std::size_t item, std::size_t media) {
  return (static_cast<std::uint64_t>(item) << 16) | static_cast<std::uint64_t>(media);
}
constexpr std::size_t kMaxMediaPerItem = std::size_t{1} << 16;

/// What a feeder has done and has before it. Seconds are summed over its threads.
struct PrefetchState {
  std::int64_t queued = 0;   ///< images and videos that no thread has begun
  std::int64_t ready = 0;    ///< decoded, not taken by the engine
  std::int64_t decoded = 0;  ///< or failed
  double read_s = 0;         ///< files, where the question has not brought them
  double decode_s = 0;       ///< decoding, resizing and cutting, which go band by band
};

/// What decoding took so far. CPU time of decoding helpers is not in it.
struct PrefetchTimes {
  double cpu_s = 0;  ///< of the threads that read and decode
  std::int64_t decoded = 0;
};

/// Threads that decode on a rank beside `threads` that compute.
constexpr int decode_threads(int threads) { return std::clamp(threads / 4, 1, 8); }

/// Reads and decodes on its own threads what this rank will encode.
class Prefetcher final : public PixelSource {
 public:
  /// `items`, `spec`, `tables` (as in read_media) and `apart` outlive it; `threads` at least 1.
  ///   apart  decodes; null: this process does
  Prefetcher(const ItemTable& items, const VisionProcessorSpec& spec, const ImageOptions& image,
             int threads, OpenTables* tables = nullptr, IsolatedDecoder* isolated = nullptr);
  ~Prefetcher() override;

  void prefetch(std::uint64_t key) override;
  /// Throws: SystemError when the table of items cannot be read.
  std::optional<Result<layers::Patches>> take(std::uint64_t key) override;

  /// The lead has read these files for the prompt; if it also encodes them, they are not read
  /// again. Kept until prefetch() or forget(), within a bound of memory.
  void keep(std::uint64_t key, MediaBytes files);
  void forget(std::uint64_t key);

  /// Sees what was decoded, on the thread that did it. Set before the first prefetch().
  using Watch = std::function<void(std::uint64_t key, const layers::Patches& patches)>;
  void watch(Watch watch);
  [[nodiscard]] PrefetchState state();
  /// For studies: decodes the pixels of every item of the table before it returns; prefetch() then
  /// finds them ready. Throws: UsageError when they take more than `most_bytes`.
  void preload(std::int64_t most_bytes);
  [[nodiscard]] PrefetchTimes times();

 private:
  void work(const std::stop_token& stop);
  /// What it took is added to `spent`.
  Result<layers::Patches> decode(std::uint64_t key, const MediaBytes& kept,
                                 PrefetchState& spent) const;

  static constexpr std::size_t kKeptBytes = std::size_t{256} << 20;

  const ItemTable& items_;
  const VisionProcessorSpec& spec_;
  ImageOptions image_;
  OpenTables* tables_;
  IsolatedDecoder* isolated_;
  std::mutex mutex_;
  std::condition_variable_any wake_;
  std::deque<std::uint64_t> queue_;
  std::map<std::uint64_t, Result<layers::Patches>> ready_;
  std::map<std::uint64_t, MediaBytes> kept_;
  std::size_t kept_bytes_ = 0;
  PrefetchState state_;  ///< but for what the queues say
  Watch watch_;
  PrefetchTimes times_;
  std::exception_ptr failure_;         ///< of a thread: no item's fault
  std::vector<std::jthread> threads_;  // last: they use all of the above
};

}  // namespace retinue::runtime
