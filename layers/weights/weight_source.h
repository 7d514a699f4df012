#pragma once

// Tested through tests/layers/weights/checkpoint_test.cpp.

#include "layers/ops/random_fill.h"
#include "layers/weights/checkpoint.h"
#include "parallel/device/context.h"
#include "parallel/device/tensor.h"

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <set>
#include <span>
#include <string>

namespace retinue::layers {

/// A rectangle of a tensor seen as a matrix: dimension 0 by all the others.
struct WeightSlice {
  std::int64_t first_row = 0;
  std::int64_t rows = 0;
  std::int64_t first_column = 0;
  std::int64_t columns = 0;

  friend bool operator==(const WeightSlice&, const WeightSlice&) = default;
};

/// A slice that a store wants. The same tensor may be wanted several times: tied weights.
struct WeightNeed {
  const std::string* name = nullptr;
  Shape shape;  ///< of the whole tensor
  WeightSlice slice;
  DType dtype = DType::kBF16;  ///< of the rows that are placed
};
/// Takes rows of a need, of its slice's columns, from its row `row` on. The caller may overwrite
/// their memory once the context's stream has passed the work that this enqueued.
using PlaceRows = std::function<void(std::size_t need, std::int64_t row, ConstTensorView rows)>;

/// Bytes that this rank read and received.
struct WeightTraffic {
  std::int64_t read_bytes = 0;       ///< of tensors, from files
  std::int64_t exchanged_bytes = 0;  ///< received from other ranks
};

/// Where weights come from, by Hugging Face's names.
class WeightSource {
 public:
  virtual ~WeightSource() = default;
  /// Announces that `name` will be read as `dtype`; its whole shape must be `shape`.
  /// Throws: UsageError when it is missing, of another shape, or of a type that cannot be read so:
  ///         f8_e4m3 is only read as f8_e4m3. As check_scales() for its scales, which follow it.
  virtual void require(const std::string& /*name*/, const Shape& /*shape*/, DType /*dtype*/) {}
  /// The rule of a required tensor whose elements are computed and not read; else none.
  [[nodiscard]] virtual std::optional<ops::RandomRule> rule(const std::string& /*name*/,
                                                            const Shape& /*shape*/,
                                                            DType /*dtype*/) const {
    return std::nullopt;
  }
  /// Writes the slice of `name` to host memory as `to`'s dtype. Several threads may read at once.
  ///   to  [rows, columns]  f32 | bf16 | f8_e4m3
  /// Throws: as require(); SystemError naming file and tensor when the file cannot be read.
  virtual void read(const std::string& name, const Shape& shape, const WeightSlice& slice,
                    TensorView to) = 0;
  /// Delivers all needs in an order of its own and returns true; or returns false at once, where
  /// read() is the only way. `needs` are the required tensors without a rule().
  virtual bool deliver(Context& /*ctx*/, MemoryLedger& /*ledger*/,
                       std::span<const WeightNeed> /*needs*/, const PlaceRows& /*place*/) {
    return false;
  }
  [[nodiscard]] virtual WeightTraffic traffic() const { return {}; }
  /// Called when everything has been required.
  /// Throws: UsageError naming tensors that were not required.
  virtual void finish() = 0;
};

/// Whether stored elements are those of `dtype`, bit for bit.
bool keeps_bits(StoredType type, DType dtype);
/// Converts rows of stored elements, `stride_bytes` apart, to the dtype of `to`.
///   to  [rows, columns]  f32 | bf16, or f8_e4m3 of the same
void convert_rows(StoredType type, const std::byte* from, std::int64_t stride_bytes, TensorView to);

/// Reads from a checkpoint; each call touches only the bytes of its slice.
class CheckpointSource : public WeightSource {
 public:
  explicit CheckpointSource(const std::string& model_dir) : checkpoint_(model_dir) {}
  void require(const std::string& name, const Shape& shape, DType dtype) override;
  void read(const std::string& name, const Shape& shape, const WeightSlice& slice,
            TensorView to) override;
  void finish() override;
  /// Names that a checkpoint may hold unused: a tied head.
  void allow_unused(const std::string& name) { used_.insert(name); }
  [[nodiscard]] WeightTraffic traffic() const override { return {read_bytes_, exchanged_bytes_}; }

 protected:
  [[nodiscard]] const Checkpoint& checkpoint() const { return checkpoint_; }
  /// Bytes of a tensor from `offset` on, counted.
  void read_bytes(const std::string& name, std::int64_t offset, std::span<std::byte> to);
  void count_exchanged(std::int64_t bytes) { exchanged_bytes_ += bytes; }

 private:
  /// Throws: as require().
  const StoredTensor& checked(const std::string& name, const Shape& shape, DType dtype) const;

  Checkpoint checkpoint_;
  std::set<std::string> used_;
  std::atomic<std::int64_t> read_bytes_ = 0, exchanged_bytes_ = 0;
};

/// Weights of the true shape from a seed, the same on every machine and for every mesh: element i
/// of a tensor comes from random_bits(mix64(seed ^ fnv1a64(name)), i) and is a bf16 value.
///   *.bias                 0 ± 0.1
///   other vectors (norms)  1 ± 0.25
///   matrices               0 ± sqrt(3 / inputs), which keeps the variance
///   matrices of e4m3       0 ± 448, rounded to e4m3
///   their scales           c ± c / 2, c = sqrt(3 / inputs) / 448
class RandomSource final : public WeightSource {
 public:
  explicit RandomSource(std::uint64_t seed) : seed_(seed) {}
  [[nodiscard]] std::optional<ops::RandomRule> rule(const std::string& name, const Shape& shape,
                                                    DType dtype) const override;
  void read(const std::string& name, const Shape& shape, const WeightSlice& slice,
            TensorView to) override;
  void finish() override {}

 private:
  std::uint64_t seed_;
};

}  // namespace retinue::layers
