#pragma once

// Tested through tests/runtime/jobs/greedy_test.cpp.

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

/// Names an image or video on every rank: the item's index in the table, and the place in the item.
constexpr std::uint64_t media_key(std::size_t item, std::size_t media) {
  return (static_cast<std::uint64_t>(item) << 16) | static_cast<std::uint64_t>(media);
}
constexpr std::size_t kMaxMediaPerItem = std::size_t{1} << 16;

/// Counters of a prefetcher. Seconds are summed over its threads.
struct PrefetchState {
  std::int64_t queued = 0;   ///< images and videos that no thread has started
  std::int64_t ready = 0;    ///< decoded, not taken by the engine yet
  std::int64_t decoded = 0;  ///< with those that failed
  double read_s = 0;         ///< reading files, without those that keep() gave
  double decode_s = 0;       ///< decoding, resizing and cutting, interleaved band by band
};

/// The cost of decoding so far. CPU time of isolated workers is not included.
struct PrefetchTimes {
  double cpu_s = 0;  ///< of the threads that read and decode
  std::int64_t decoded = 0;
};

/// Threads that decode on a rank beside `threads` that compute.
constexpr int decode_threads(int threads) { return std::clamp(threads / 4, 1, 8); }

/// Reads and decodes, on its own threads, the images and videos that this rank will encode.
class Prefetcher final : public PixelSource {
 public:
  ///   items, spec  must outlive it, as must `tables` and `isolated`
  ///   threads      at least 1
  ///   tables       open Parquet files, as in read_media; may be null
  ///   isolated     decodes in other processes; null: this process decodes
  Prefetcher(const ItemTable& items, const VisionProcessorSpec& spec, const ImageOptions& image,
             int threads, OpenTables* tables = nullptr, IsolatedDecoder* isolated = nullptr);
  ~Prefetcher() override;

  void prefetch(std::uint64_t key) override;
  /// Throws: SystemError when the item table cannot be read.
  std::optional<Result<layers::Patches>> take(std::uint64_t key) override;

  /// Keeps files that the leader has read for the prompt, so that a rank that also encodes them
  /// does not read them again. They are dropped at prefetch() or forget(), or at once beyond
  /// kKeptBytes.
  void keep(std::uint64_t key, MediaBytes files);
  void forget(std::uint64_t key);

  /// Called with what was decoded, on the thread that decoded it. Set before the first prefetch().
  using Watch = std::function<void(std::uint64_t key, const layers::Patches& patches)>;
  void watch(Watch watch);
  [[nodiscard]] PrefetchState state();
  [[nodiscard]] PrefetchTimes times();

 private:
  void work(const std::stop_token& stop);
  /// Sets the seconds of `spent`.
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
  PrefetchState state_;  ///< without `queued` and `ready`, which state() counts
  Watch watch_;
  PrefetchTimes times_;
  std::exception_ptr failure_;         ///< an error of a thread that no item caused
  std::vector<std::jthread> threads_;  // last: they use all members above
};

}  // namespace retinue::runtime
