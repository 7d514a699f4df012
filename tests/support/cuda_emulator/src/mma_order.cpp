#include "tests/support/cuda_emulator/src/mma_order.h"

#include "cuda_emulator/simt.h"

#include <algorithm>
#include <atomic>
#include <bit>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <string_view>

namespace cuda_emulator {
namespace {

using EightInts = std::int32_t __attribute__((vector_size(32)));

constexpr int kFractionBits = 23;
constexpr std::int32_t kExponent = 0xFF << kFractionBits;  // its bits in an f32

MmaOrder from_environment() {
  const char* text = std::getenv("RETINUE_EMULATOR_MMA_ORDER");
  if (text == nullptr) return MmaOrder::kAscending;
  constexpr std::string_view kNames[] = {"ascending", "pairs", "tree4", "tree8", "truncated"};
  const auto* const found = std::find(std::begin(kNames), std::end(kNames), text);
  if (found == std::end(kNames)) {
    fail("RETINUE_EMULATOR_MMA_ORDER is \"%s\"; wanted ascending, pairs, tree4, tree8 or truncated",
         text);
  }
  return static_cast<MmaOrder>(found - std::begin(kNames));
}

std::atomic<MmaOrder>& current() {
  static std::atomic<MmaOrder> value = from_environment();
  return value;
}

inline void add_groups(int group, const EightFloats* products, int count, EightFloats& sum) {
  for (int first = 0; first < count; first += group) {
    EightFloats tree[8] = {};
    std::copy(products + first, products + std::min(first + group, count), tree);
    for (int step = 1; step < group; step *= 2) {
      for (int i = 0; i < group; i += 2 * step) tree[i] += tree[i + step];
    }
    sum += tree[0];
  }
}

/// n as an f32, rounded toward zero.
inline float toward_zero(std::int32_t n) {
  const std::uint32_t size = n < 0 ? -static_cast<std::uint32_t>(n) : static_cast<std::uint32_t>(n);
  const int cut = std::max(0, 31 - kFractionBits - std::countl_zero(size));
  const auto kept = static_cast<float>(size >> cut << cut);
  return n < 0 ? -kept : kept;
}

/// In integers: multiples of the last bit that is kept of the largest summand.
inline void add_truncated(int kept_bits, const EightFloats* products, int count, EightFloats& sum) {
  EightInts largest = reinterpret_cast<EightInts>(sum) & kExponent;
  for (int k = 0; k < count; ++k) {
    const EightInts exponent = reinterpret_cast<EightInts>(products[k]) & kExponent;
    largest = exponent > largest ? exponent : largest;
  }
  EightFloats plain = sum;  // inf and NaN are the same in every order
  add_groups(1, products, count, plain);
  const EightInts finite = largest < kExponent;
  // So that both factors are normal numbers; nothing below 2^-126 counts.
  const EightInts least = EightInts{} + ((kept_bits + 1) << kFractionBits);
  largest = largest < least ? least : largest;
  const auto to_units =
      reinterpret_cast<EightFloats>(((254 + kept_bits) << kFractionBits) - largest);
  const auto of_unit = reinterpret_cast<EightFloats>(largest - (kept_bits << kFractionBits));
  EightInts total = __builtin_convertvector(sum * to_units, EightInts);
  for (int k = 0; k < count; ++k)
    total += __builtin_convertvector(products[k] * to_units, EightInts);
  EightFloats rounded;
  for (int i = 0; i < 8; ++i) rounded[i] = toward_zero(total[i]);
  sum = finite ? rounded * of_unit : plain;
}

}  // namespace

MmaOrder mma_order() { return current().load(std::memory_order_relaxed); }

void set_mma_order(MmaOrder order) { current().store(order, std::memory_order_relaxed); }

__attribute__((target_clones("avx2", "default"))) void add_products(MmaOrder order, const Mma& mma,
                                                                    const EightFloats* products,
                                                                    int count, EightFloats& sum) {
  switch (order) {
    case MmaOrder::kAscending:
      return add_groups(1, products, count, sum);
    case MmaOrder::kPairs:
      return add_groups(2, products, count, sum);
    case MmaOrder::kTree4:
      return add_groups(4, products, count, sum);
    case MmaOrder::kTree8:
      return add_groups(8, products, count, sum);
    case MmaOrder::kTruncated:
      return add_truncated(mma.kept_bits, products, count, sum);
  }
}

/// Wider instructions change no bit.
__attribute__((target_clones("avx2", "default"))) void multiply_add(const float (&a)[16][16],
                                                                    const float (&b)[16][8],
                                                                    MmaOrder order,
                                                                    float (&d)[16][8]) {
  EightFloats b_rows[16];
  std::memcpy(b_rows, b, sizeof b);
  for (int row = 0; row < 16; ++row) {
    EightFloats sum;
    std::memcpy(&sum, d[row], sizeof sum);
    if (order == MmaOrder::kAscending) {
      for (int k = 0; k < 16; ++k) sum += a[row][k] * b_rows[k];
    } else {
      EightFloats products[16];
      for (int k = 0; k < 16; ++k) products[k] = a[row][k] * b_rows[k];
      add_products(order, kMmaOfBf16, products, 16, sum);
    }
    std::memcpy(d[row], &sum, sizeof sum);
  }
}

}  // namespace cuda_emulator
