#pragma once

#include "layers/ops/matmul.h"

#include <array>
#include <compare>
#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <utility>

namespace retinue::ops {

/// A product without its number of rows.
struct MatmulKind {
  std::int64_t inputs = 0, outputs = 0;
  int leaves = 1;
  bool bias = false;
  DType y = DType::kBF16;
  friend auto operator<=>(const MatmulKind&, const MatmulKind&) = default;
};

/// Which of the vendor library's algorithms was fastest, per kind of product and bucket of rows:
/// for contexts whose bits may depend on shapes. Filled by `tune_matmul` at start, kept in a file
/// between starts, and only read afterwards.
class MatmulTuning {
 public:
  /// As the library serialises it; valid for one GPU, driver and library.
  using Algorithm = std::array<std::uint64_t, 8>;

  /// Rows that share an algorithm: up to this power of two, above half of it.
  static std::int64_t bucket_of(std::int64_t rows);
  /// Null: it was not timed.
  [[nodiscard]] const Algorithm* find(const MatmulKind& kind, std::int64_t rows) const;
  void put(const MatmulKind& kind, std::int64_t bucket, const Algorithm& algorithm);
  [[nodiscard]] std::size_t size() const { return algorithms_.size(); }
  friend bool operator==(const MatmulTuning&, const MatmulTuning&) = default;

  /// What `save` wrote for the same machine. Otherwise nothing is taken, and `why_not` says for a
  /// log why: no file, another machine's, or damaged. Never throws for what a file holds.
  ///   machine  names GPU, driver and library (`matmul_machine`), one line
  [[nodiscard]] static MatmulTuning load(const std::string& path, const std::string& machine,
                                         std::string& why_not);
  /// The file is whole or not there.   Throws: SystemError when the disk refuses.
  void save(const std::string& path, const std::string& machine) const;
  /// $XDG_CACHE_HOME or ~/.cache, then retinue/matmul-<hash of machine>.txt; empty: neither is set.
  static std::string default_path(const std::string& machine);

 private:
  std::map<std::pair<MatmulKind, std::int64_t>, Algorithm> algorithms_;
};

/// Seconds that `work`, which enqueues on the stream, takes there.
using MatmulTimer = std::function<double(const std::function<void()>& work)>;
/// The median of five, by events on ctx's stream, which outlives it.
MatmulTimer event_timer(Context& ctx);

/// Times what the library offers for products with `w` and up to `max_rows` rows, and puts the
/// fastest of each bucket that `tuning` has not. Nothing to choose on CPU.
/// Order:    enqueues and waits: at start only, never in a capture; takes activations and scratch
/// of such a product.   Throws: SystemError when the library offers nothing.
void tune_matmul(Context& ctx, const PackedMatrix& w, int leaves, bool bias, DType y,
                 std::int64_t max_rows, const MatmulTimer& timer, MatmulTuning& tuning);

/// GPU, driver and library in one line.
std::string matmul_machine(Device device);

namespace detail {
void tune_matmul(Cpu, Context& ctx, const PackedMatrix& w, const MatmulKind& kind,
                 std::int64_t max_rows, const MatmulTimer& timer, MatmulTuning& tuning);
void tune_matmul(Cuda, Context& ctx, const PackedMatrix& w, const MatmulKind& kind,
                 std::int64_t max_rows, const MatmulTimer& timer, MatmulTuning& tuning);
std::string matmul_machine_on_cuda(Device device);
}  // namespace detail
}  // namespace retinue::ops
