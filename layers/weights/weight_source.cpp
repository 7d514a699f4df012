#include "layers/weights/weight_source.h"

#include "parallel/base/check.h"
#include "parallel/base/rng.h"

#include <fmt/format.h>

#include <cmath>
#include <cstring>

namespace retinue::layers {

namespace {

/// IEEE binary16 to f32, exact.
float half_to_float(std::uint16_t h) {
  const std::uint32_t sign = std::uint32_t{h} >> 15 << 31;
  const std::uint32_t exponent = (h >> 10) & 31U, mantissa = h & 1023U;
  if (exponent == 0) {
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

}  // namespace

void CheckpointSource::read(const std::string& name, const Shape& shape, const WeightSlice& slice,
                            TensorView to) {
  const StoredTensor* tensor = checkpoint_.find(name);
  if (tensor == nullptr)
    throw UsageError(
        fmt::format("[checkpoint] tensor {} is missing; config.json asks for it with shape {}",
                    name, shape.to_string()));
  if (tensor->shape != shape)
    throw UsageError(fmt::format("[checkpoint] {}: tensor {} has shape {}, config.json asks for {}",
                                 checkpoint_.file_of(name), name, tensor->shape.to_string(),
                                 shape.to_string()));
  if (tensor->type != StoredType::kF32 && tensor->type != StoredType::kF16 &&
      tensor->type != StoredType::kBF16)
    throw UsageError(
        fmt::format("[checkpoint] {}: tensor {} holds integers, wanted F32, F16 or BF16",
                    checkpoint_.file_of(name), name));
  check_slice(shape, slice, to);
  used_.insert(name);
  const std::int64_t width = shape.numel() / std::max<std::int64_t>(1, shape[0]);
  const auto size = static_cast<std::int64_t>(size_bytes(tensor->type));
  const bool same = (tensor->type == StoredType::kBF16 && to.dtype() == DType::kBF16) ||
                    (tensor->type == StoredType::kF32 && to.dtype() == DType::kF32);
  const std::byte* from =
      tensor->bytes.data() + (slice.first_row * width + slice.first_column) * size;
  if (same) {
    for (std::int64_t r = 0; r < slice.rows; ++r)
      std::memcpy(to.bytes() + r * to.row_stride() * size, from + r * width * size,
                  static_cast<std::size_t>(slice.columns * size));
    return;
  }
  fill(to, [&](std::int64_t r, std::int64_t c) {
    return stored_to_float(tensor->type, from + (r * width + c) * size);
  });
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

void RandomSource::read(const std::string& name, const Shape& shape, const WeightSlice& slice,
                        TensorView to) {
  check_slice(shape, slice, to);
  const std::uint64_t key = mix64(seed_ ^ fnv1a64(name));
  const std::int64_t width = shape.numel() / std::max<std::int64_t>(1, shape[0]);
  double centre = 0, spread = 0;
  if (shape.rank() == 1) {
    const bool bias = name.ends_with(".bias");
    centre = bias ? 0 : 1, spread = bias ? 0.1 : 0.25;
  } else {
    spread = std::sqrt(3.0 / static_cast<double>(width));
  }
  fill(to, [&](std::int64_t r, std::int64_t c) {
    const std::int64_t i = (slice.first_row + r) * width + slice.first_column + c;
    const std::uint64_t bits = random_bits(key, static_cast<std::uint64_t>(i));
    const double unit = static_cast<double>(bits >> 40) / 8388608.0 - 1.0;
    return to_float(to_bfloat16(static_cast<float>(centre + spread * unit)));
  });
}

}  // namespace retinue::layers
