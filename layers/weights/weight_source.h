#pragma once

#include "layers/ops/random_fill.h"
#include "layers/weights/checkpoint.h"
#include "parallel/device/tensor.h"

#include <cstdint>
#include <memory>
#include <optional>
#include <set>
#include <string>

namespace retinue::layers {

/// A rectangle of a tensor seen as a matrix: dimension 0 by all the others.
struct WeightSlice {
  std::int64_t first_row = 0;
  std::int64_t rows = 0;
  std::int64_t first_column = 0;
  std::int64_t columns = 0;
};

/// Where weights come from, by Hugging Face's names.
class WeightSource {
 public:
  virtual ~WeightSource() = default;
  /// Says that `name` will be read, whose whole shape must be `shape`.
  /// Throws: UsageError when it is missing, or of another shape or a type that holds no weights.
  virtual void require(const std::string& /*name*/, const Shape& /*shape*/) {}
  /// The rule that a required tensor's elements follow, where they can be made instead of read.
  [[nodiscard]] virtual std::optional<ops::RandomRule> rule(const std::string& /*name*/,
                                                            const Shape& /*shape*/) const {
    return std::nullopt;
  }
  /// Writes the slice of `name` to host memory as `to`'s dtype. Several threads may read at once.
  ///   to  [rows, columns]  f32 | bf16
  /// Throws: as require(); SystemError naming file and tensor when the file cannot be read.
  virtual void read(const std::string& name, const Shape& shape, const WeightSlice& slice,
                    TensorView to) = 0;
  /// Called when everything has been required. Throws: UsageError naming tensors that nothing asked
  /// for.
  virtual void finish() = 0;
};

/// Reads from a checkpoint; each call touches only the bytes of its slice.
class CheckpointSource final : public WeightSource {
 public:
  explicit CheckpointSource(const std::string& model_dir) : checkpoint_(model_dir) {}
  void require(const std::string& name, const Shape& shape) override;
  void read(const std::string& name, const Shape& shape, const WeightSlice& slice,
            TensorView to) override;
  void finish() override;
  /// Names that may stand in a checkpoint without being used: a tied head.
  void allow_unused(const std::string& name) { used_.insert(name); }

 private:
  /// Throws: as require().
  const StoredTensor& checked(const std::string& name, const Shape& shape) const;

  Checkpoint checkpoint_;
  std::set<std::string> used_;
};

/// Weights of the true shape from a seed, the same on every machine and for every mesh: element i
/// of a tensor comes from random_bits(mix64(seed ^ fnv1a64(name)), i) and is a bf16 value.
///   *.bias 0 ± 0.1 · other vectors (norms) 1 ± 0.25 · matrices 0 ± sqrt(3 / inputs), which keeps
///   variance
class RandomSource final : public WeightSource {
 public:
  explicit RandomSource(std::uint64_t seed) : seed_(seed) {}
  [[nodiscard]] std::optional<ops::RandomRule> rule(const std::string& name,
                                                    const Shape& shape) const override;
  void read(const std::string& name, const Shape& shape, const WeightSlice& slice,
            TensorView to) override;
  void finish() override {}

 private:
  std::uint64_t seed_;
};

}  // namespace retinue::layers
