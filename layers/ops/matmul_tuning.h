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

/// The vendor library's fastest algorithm per kind of product and bucket of rows. `tune_matmul`
/// fills it at start, a file keeps it between starts, and products only read it.
class MatmulTuning {
 public:
  /// An algorithm as the library serialises it; valid for one GPU, driver and library.
  using Algorithm = std::array<std::uint64_t, 8>;

  /// Rows that share an algorithm: up to this power of two, above half of it.
  static std::int64_t bucket_of(std::int64_t rows);
  /// Null where it was not timed.
  [[nodiscard]] const Algorithm* find(const MatmulKind& kind, std::int64_t rows) const;
  void put(const MatmulKind& kind, std::int64_t bucket, const Algorithm& algorithm);
  [[nodiscard]] std::size_t size() const { return algorithms_.size(); }
  friend bool operator==(const MatmulTuning&, const MatmulTuning&) = default;

  /// Loads what `save` wrote for the same machine. Otherwise the tuning is empty, and `why_not` is
  /// the reason, for a log: no file, another machine's, or damaged. No content of a file throws.
  ///   machine  names GPU, driver and library (`matmul_machine`), one line
  [[nodiscard]] static MatmulTuning load(const std::string& path, const std::string& machine,
                                         std::string& why_not);
  /// The file is complete or absent.   Throws: SystemError when the disk refuses.
  void save(const std::string& path, const std::string& machine) const;
  /// $XDG_CACHE_HOME or ~/.cache, then retinue/matmul-<hash of machine>.txt; empty: neither is set.
  static std::string default_path(const std::string& machine);

 private:
  std::map<std::pair<MatmulKind, std::int64_t>, Algorithm> algorithms_;
};

/// The tuning that products on `ctx` go by; null: one algorithm serves every shape.
const MatmulTuning* matmul_tuning(const Context& ctx);
/// `tuning` outlives the context.
void set_matmul_tuning(Context& ctx, const MatmulTuning* tuning);

/// Seconds that `work`, which enqueues on the stream, takes there.
using MatmulTimer = std::function<double(const std::function<void()>& work)>;
/// Takes the median of five, by events on the stream of `ctx`, which outlives the timer.
MatmulTimer event_timer(Context& ctx);

/// Which algorithms a tuning may take.
enum class TunedBits {
  kAny,   ///< all: the bits of a row depend on the number of rows, too
  kEqual  ///< those that give the bits of the algorithm that serves every shape
};

/// What `tune_matmul` times.
struct TunedProduct {
  PackedMatrix w;
  int leaves = 1;
  bool bias = false;
  DType y = DType::kBF16;
  std::int64_t max_rows = 1;
  TunedBits bits = TunedBits::kAny;

  [[nodiscard]] MatmulKind kind() const { return {w.inputs, w.outputs, leaves, bias, y}; }
};

/// Times the library's algorithms for a product of up to `max_rows` rows, and puts the fastest into
/// each bucket that `tuning` lacks. For equal bits an algorithm must not split sums, and is
/// compared with the one that serves every shape, byte by byte, on a million results at least whose
/// inputs have random signs and exponents; where that many are not to be had, or the weight is so
/// small that a launch takes longer than the product, that one stays. Does nothing on CPU, nor for
/// f8_e4m3 and own_kernel, whose products have one algorithm each.
/// Order:    enqueues and waits: for the start only, never in a capture. Takes the activations and
///           the scratch of such a product.
/// Throws:   SystemError when the library offers nothing.
void tune_matmul(Context& ctx, const TunedProduct& product, const MatmulTimer& timer,
                 MatmulTuning& tuning);

/// The library that multiplies and what its choice of the algorithm for every shape goes by: "cublasLt
/// 13.1.0 on NVIDIA H100 80GB HBM3 with 132 multiprocessors"; "cpu".
std::string matmul_library(Device device);
/// The same, and the driver.
std::string matmul_machine(Device device);

namespace detail {
void tune_matmul(Cpu, Context& ctx, const TunedProduct& product, const MatmulTimer& timer,
                 MatmulTuning& tuning);
void tune_matmul(Cuda, Context& ctx, const TunedProduct& product, const MatmulTimer& timer,
                 MatmulTuning& tuning);
std::string matmul_library_on_cuda(Device device);
}  // namespace detail
}  // namespace retinue::ops
