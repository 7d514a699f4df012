#include "layers/weights/weight_stream.h"

#include "parallel/base/check.h"

#include <algorithm>
#include <condition_variable>
#include <exception>
#include <limits>
#include <mutex>
#include <thread>
#include <vector>

namespace retinue::layers {

namespace {

/// Pieces that may be in flight to the device while the next one is enqueued.
constexpr std::size_t kInFlight = 2;

/// The state that readers and the placing thread share: which pieces are read, which slots are
/// free. Both sides sleep until there is work for them.
class Progress {
 public:
  Progress(std::size_t pieces, std::size_t depth) : filled_(pieces), depth_(depth) {}

  /// The next piece to read, once its slot in the ring is free; past the last when none is left.
  std::size_t take() {
    std::unique_lock lock(mutex_);
    if (next_ >= filled_.size()) return next_;
    const std::size_t piece = next_++;
    changed_.wait(lock, [&] { return stopped_ || piece < freed_ + depth_; });
    return stopped_ ? filled_.size() : piece;
  }
  void has_read(std::size_t piece, std::exception_ptr error) {
    const std::scoped_lock lock(mutex_);
    filled_[piece] = 1;
    // An earlier piece may still fail, and its error is the one to report.
    if (error && piece < failed_) failed_ = piece, error_ = std::move(error);
    if (error_) next_ = filled_.size();
    changed_.notify_all();
  }
  /// Waits for a piece. Throws: its reader's error.
  void await(std::size_t piece) {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return filled_[piece] != 0; });
    if (piece == failed_) std::rethrow_exception(error_);
  }
  /// The slots of all pieces before `count` may be written again.
  void free(std::size_t count) {
    const std::scoped_lock lock(mutex_);
    freed_ = count;
    changed_.notify_all();
  }
  void stop() {
    const std::scoped_lock lock(mutex_);
    stopped_ = true;
    next_ = filled_.size();
    changed_.notify_all();
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<char> filled_;
  std::size_t depth_;
  std::size_t next_ = 0, freed_ = 0;
  std::size_t failed_ = std::numeric_limits<std::size_t>::max();
  std::exception_ptr error_;
  bool stopped_ = false;
};

/// However the calling thread leaves: ends the readers, then waits for the device, which may still
/// read the ring.
class Ending {
 public:
  Ending(Progress& progress, std::vector<std::jthread>& readers, const Stream& stream)
      : progress_(progress), readers_(readers), stream_(stream) {}
  ~Ending() {
    progress_.stop();
    readers_.clear();
    if (done_) return;
    try {
      stream_.synchronize();
    } catch (const Error&) {
      // The error that is unwinding is the one to report.
    }
  }
  Ending(const Ending&) = delete;
  Ending& operator=(const Ending&) = delete;
  void done() {
    stream_.synchronize();
    done_ = true;
  }

 private:
  Progress& progress_;
  std::vector<std::jthread>& readers_;
  const Stream& stream_;
  bool done_ = false;
};

}  // namespace

void stream_weights(Context& ctx, MemoryLedger& ledger, WeightSource& source, int readers,
                    std::span<const WeightPiece> pieces,
                    const std::function<void(std::size_t i, ConstTensorView rows)>& place) {
  if (pieces.empty()) return;
  const auto threads = std::min(static_cast<std::size_t>(readers), pieces.size());
  check(readers >= 1, "weights have at least one reader");
  const std::size_t depth = std::min(2 * threads + kInFlight, pieces.size());
  std::size_t slot_bytes = 0;
  for (const WeightPiece& piece : pieces)
    slot_bytes =
        std::max(slot_bytes, static_cast<std::size_t>(piece.slice.rows * piece.slice.columns) *
                                 size_bytes(piece.dtype));
  const Buffer ring = Buffer::staging(ledger, ctx.device(), depth * slot_bytes);
  const auto rows_of = [&](std::size_t i) {
    const WeightSlice& slice = pieces[i].slice;
    return TensorView(ring.data() + i % depth * slot_bytes, pieces[i].dtype,
                      Shape{slice.rows, slice.columns});
  };
  std::vector<Event> passed;
  for (std::size_t i = 0; i < depth; ++i) passed.emplace_back(ctx.device());

  Progress progress(pieces.size(), depth);
  std::vector<std::jthread> running;
  Ending ending(progress, running, ctx.stream());
  for (std::size_t t = 0; t < threads; ++t)
    running.emplace_back([&] {
      for (std::size_t i = progress.take(); i < pieces.size(); i = progress.take()) {
        std::exception_ptr error;
        try {
          source.read(*pieces[i].name, pieces[i].shape, pieces[i].slice, rows_of(i));
        } catch (...) {
          error = std::current_exception();
        }
        progress.has_read(i, std::move(error));
      }
    });
  for (std::size_t i = 0; i < pieces.size(); ++i) {
    progress.await(i);
    place(i, rows_of(i));
    passed[i % depth].record(ctx.stream());
    if (i < kInFlight) continue;
    passed[(i - kInFlight) % depth].synchronize();
    progress.free(i - kInFlight + 1);
  }
  ending.done();
}

}  // namespace retinue::layers
