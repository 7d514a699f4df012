#include "layers/weights/weight_source.h"

#include "layers/spec/fp8_weights.h"
#include "layers/weights/finite.h"
#include "layers/weights/fp8_scales.h"
#include "parallel/base/check.h"
#include "parallel/base/rng.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <vector>

namespace retinue::layers {

namespace {

/// Bytes of a file that are converted at once.
constexpr std::int64_t kConvertedBytes = std::int64_t{256} << 10;

/// IEEE binary16 to f32, exact.
float half_to_float(std::uint16_t h) {
  const std::uint32_t sign = std::uint32_t{h} >> 15 << 31;
  const std::uint32_t exponent = (h >> 10) & 31U, mantissa = h & 1023U;
  if (exponent == 0) {  // zero or subnormal: mantissa * 2^-24
    const float value = std::ldexp(static_cast<float>(mantissa), -24);
    return sign != 0 ? -value : value;
  }
  const std::uint32_t rebased = exponent == 31 ? 255U : exponent + 112U;
  return std::bit_cast<float>(sign | rebased << 23 | mantissa << 13);
}

template <class T>
T load_as(const std::byte* at) {
  T value;
  std::memcpy(&value, at, sizeof value);
  return value;
}

float stored_to_float(StoredType type, const std::byte* at) {
  switch (type) {
    case StoredType::kF32:
      return load_as<float>(at);
    case StoredType::kF16:
      return half_to_float(load_as<std::uint16_t>(at));
    default:
      return to_float(load_as<BFloat16>(at));
  }
}

template <class Value>
void fill(TensorView to, Value&& value) {
  for (std::int64_t r = 0; r < to.dim(0); ++r)
    for (std::int64_t c = 0; c < to.dim(1); ++c) {
      const float x = value(r, c);
      const std::int64_t at = r * to.row_stride() + c;
      if (to.dtype() == DType::kF32)
        to.data<float>()[at] = x;
      else if (to.dtype() == DType::kF8E4M3)
        to.data<Float8E4M3>()[at] = to_float8_e4m3(x);
      else
        to.data<BFloat16>()[at] = to_bfloat16(x);
    }
}

void check_slice(const Shape& shape, const WeightSlice& slice, TensorView to) {
  const std::int64_t width = shape.numel() / std::max<std::int64_t>(1, shape[0]);
  check(slice.first_row >= 0 && slice.first_row + slice.rows <= shape[0] &&
            slice.first_column >= 0 && slice.first_column + slice.columns <= width &&
            to.shape() == Shape({slice.rows, slice.columns}),
        "a weight slice lies inside its tensor");
}

/// Explains missing scales of blocks by scales of another layout; empty when there are none.
std::string other_scales(const Checkpoint& checkpoint, const std::string& wanted) {
  if (!wanted.ends_with(kScaleSuffix)) return "";
  const std::string other = wanted.substr(0, wanted.size() - kScaleSuffix.size()) + ".weight_scale";
  const StoredTensor* found = checkpoint.find(other);
  if (found == nullptr) return "";
  return fmt::format(
      ". The weights have {} instead, with shape {}: scales per tensor or per output, as "
      "compressed-tensors and others write them. Only FP8 with a scale per block of 128 x 128 is "
      "served. Use such a checkpoint, or make one from the bfloat16 checkpoint of the same size: "
      "retinue quantize",
      other, found->shape.to_string());
}

/// Explains a missing tensor by one that has its name behind or after another prefix; empty when
/// there is none.
std::string other_spelling(const Checkpoint& checkpoint, const std::string& wanted) {
  std::string tail = wanted;
  for (const char* prefix : {"model.language_model.", "model."})
    if (tail.starts_with(prefix)) {
      tail.erase(0, std::string_view(prefix).size());
      break;
    }
  const std::vector<std::string> names = checkpoint.names();
  const auto found = std::ranges::find_if(
      names, [&](const std::string& name) { return name == tail || name.ends_with("." + tail); });
  if (found == names.end()) return "";
  return fmt::format(
      ". The weights have {} instead: another program wrote them under other names. Save the "
      "checkpoint with transformers 4.57 or later, which writes the wanted names",
      *found);
}

}  // namespace

bool keeps_bits(StoredType type, DType dtype) {
  return (type == StoredType::kBF16 && dtype == DType::kBF16) ||
         (type == StoredType::kF32 && dtype == DType::kF32) ||
         (type == StoredType::kF8E4M3 && dtype == DType::kF8E4M3);
}

void convert_rows(StoredType type, const std::byte* from, std::int64_t stride_bytes,
                  TensorView to) {
  const auto size = static_cast<std::int64_t>(size_bytes(type));
  if (!keeps_bits(type, to.dtype())) {
    fill(to, [&](std::int64_t r, std::int64_t c) {
      return stored_to_float(type, from + r * stride_bytes + c * size);
    });
    return;
  }
  const auto row = static_cast<std::size_t>(to.dim(1) * size);
  for (std::int64_t r = 0; r < to.dim(0); ++r)
    std::memcpy(to.bytes() + r * to.row_stride() * size, from + r * stride_bytes, row);
}

void CheckpointSource::read_bytes(const std::string& name, std::int64_t offset,
                                  std::span<std::byte> to) {
  checkpoint_.file_of(name).read(name, offset, to);
  read_bytes_ += static_cast<std::int64_t>(to.size());
  check_finite(checkpoint_.file_of(name).path(), name, checkpoint_.find(name)->type, offset, to);
}

const StoredTensor& CheckpointSource::checked(const std::string& name, const Shape& shape,
                                              DType dtype) const {
  const StoredTensor* tensor = checkpoint_.find(name);
  if (tensor == nullptr)
    throw UsageError(fmt::format(
        "[checkpoint] tensor {} is missing; config.json asks for it with shape {}{}{}", name,
        shape.to_string(), other_scales(checkpoint_, name), other_spelling(checkpoint_, name)));
  if (tensor->shape != shape)
    throw UsageError(fmt::format("[checkpoint] {}: tensor {} has shape {}, config.json asks for {}",
                                 checkpoint_.file_of(name).path(), name, tensor->shape.to_string(),
                                 shape.to_string()));
  const bool fp8 = tensor->type == StoredType::kF8E4M3;
  if (fp8 != (dtype == DType::kF8E4M3))
    throw UsageError(fmt::format(
        "[checkpoint] {}: tensor {} is {}, by the quantization_config of config.json it is {}. "
        "Do config.json and the weights belong together?",
        checkpoint_.file_of(name).path(), name, to_string(tensor->type),
        fp8 ? "not quantised" : "F8_E4M3"));
  if (!fp8 && tensor->type != StoredType::kF32 && tensor->type != StoredType::kF16 &&
      tensor->type != StoredType::kBF16)
    throw UsageError(
        fmt::format("[checkpoint] {}: tensor {} holds integers, wanted F32, F16 or BF16",
                    checkpoint_.file_of(name).path(), name));
  return *tensor;
}

void CheckpointSource::require(const std::string& name, const Shape& shape, DType dtype) {
  checked(name, shape, dtype);
  if (used_.insert(name).second && name.ends_with(kScaleSuffix)) check_scales(checkpoint_, name);
}

void CheckpointSource::read(const std::string& name, const Shape& shape, const WeightSlice& slice,
                            TensorView to) {
  const StoredTensor& tensor = checked(name, shape, to.dtype());
  check_slice(shape, slice, to);
  const std::int64_t width = shape.numel() / std::max<std::int64_t>(1, shape[0]);
  const auto size = static_cast<std::int64_t>(size_bytes(tensor.type));
  const auto read_rows = [&](std::int64_t first, std::int64_t rows, std::byte* into,
                             std::int64_t into_stride) {
    const std::int64_t begin = (slice.first_row + first) * width + slice.first_column;
    if (slice.columns == width && into_stride == width) {
      read_bytes(name, begin * size, {into, static_cast<std::size_t>(rows * width * size)});
      return;
    }
    for (std::int64_t r = 0; r < rows; ++r)
      read_bytes(name, (begin + r * width) * size,
                 {into + r * into_stride * size, static_cast<std::size_t>(slice.columns * size)});
  };
  if (keeps_bits(tensor.type, to.dtype())) {
    read_rows(0, slice.rows, to.bytes(), to.row_stride());
    return;
  }
  // A few rows at a time, so that the bytes read are still in a cache when they are converted.
  const std::int64_t at_once =
      std::clamp<std::int64_t>(kConvertedBytes / (slice.columns * size), 1, slice.rows);
  std::vector<std::byte> stored(static_cast<std::size_t>(at_once * slice.columns * size));
  for (std::int64_t first = 0; first < slice.rows; first += at_once) {
    const std::int64_t rows = std::min(at_once, slice.rows - first);
    read_rows(first, rows, stored.data(), slice.columns);
    convert_rows(tensor.type, stored.data(), slice.columns * size, to.rows(first, rows));
  }
}

void CheckpointSource::finish() {
  std::string unknown;
  int count = 0;
  for (const std::string& name : checkpoint_.names())
    if (!used_.contains(name) && ++count <= 5) unknown += (unknown.empty() ? "" : ", ") + name;
  if (count > 0)
    throw UsageError(fmt::format(
        "[checkpoint] {} tensor(s) that this configuration does not have: {}{}. Do config.json "
        "and the weights belong together?",
        count, unknown, count > 5 ? ", …" : ""));
}

std::optional<ops::RandomRule> RandomSource::rule(const std::string& name, const Shape& shape,
                                                  DType dtype) const {
  ops::RandomRule rule{mix64(seed_ ^ fnv1a64(name)), 0, 0};
  const std::int64_t width = shape.numel() / std::max<std::int64_t>(1, shape[0]);
  const auto spread = [](std::int64_t inputs) {
    return std::sqrt(3.0 / static_cast<double>(inputs));
  };
  if (shape.rank() == 1) {
    const bool bias = name.ends_with(".bias");
    rule.centre = bias ? 0 : 1, rule.spread = bias ? 0.1 : 0.25;
  } else if (dtype == DType::kF8E4M3) {
    rule.spread = kMaxFloat8E4M3;
  } else if (name.ends_with(kScaleSuffix)) {
    rule.centre = spread(width * kFp8Block) / kMaxFloat8E4M3;
    rule.spread = rule.centre / 2;
  } else {
    rule.spread = spread(width);
  }
  return rule;
}

void RandomSource::read(const std::string& name, const Shape& shape, const WeightSlice& slice,
                        TensorView to) {
  check_slice(shape, slice, to);
  const ops::RandomRule made = *rule(name, shape, to.dtype());
  const std::int64_t width = shape.numel() / std::max<std::int64_t>(1, shape[0]);
  fill(to, [&](std::int64_t r, std::int64_t c) {
    return ops::random_value(made, (slice.first_row + r) * width + slice.first_column + c);
  });
}

}  // namespace retinue::layers
