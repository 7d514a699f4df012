#include "cuda_emulator/mma_order.h"
#include "layers/kernels/cuda/ptx_hopper.cuh"
#include "tests/support/cuda_emulator/tests/boxes.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <random>

namespace cuda_emulator::testing {
namespace {

using namespace retinue::cuda;

constexpr int kInputs = 128;  // two boxes of 64

/// One mistake of the kernel below.
enum class Fault {
  kNone,
  kNoWaitForCopies,
  kWrongParity,
  kDroppedProxyFence,
  kWrongSwizzle,
  kNoFence,
  kReadBeforeWait,
  kWrittenInFlight,
  kOverwritten,
  kNoWait,
  kWarpsDiffer,
  kLanesDiffer,
};

/// How the matrices come to shared memory.
enum class By { kCopies, kThreads };

struct Operands {
  CUtensorMap a, b;
  const std::uint16_t *a_rows, *b_rows;  ///< [64, kInputs], [columns, kInputs] bf16
  float* d;                              ///< [64, columns], added to
  By by;
  Fault fault;
};

template <int kColumns>
constexpr std::size_t shared_bytes() {
  return kToPattern + (64 + kColumns) * kInputs * 2;
}

/// Writes 64 inputs of a matrix as copies with a swizzle of 128 bytes would.
__device__ void write_box(const std::uint16_t* rows, int count, int first, std::uint16_t* box) {
  for (int i = static_cast<int>(threadIdx.x); i < count * 64; i += 128) {
    const int row = i / 64, k = i % 64;
    box[row * 64 + (k / 8 ^ row % 8) * 8 + k % 8] = rows[row * kInputs + first + k];
  }
}

template <int kColumns>
__device__ void bring_matrices(const Operands& o, std::uint16_t* a, std::uint16_t* b) {
  __shared__ Mbarrier there;
  if (o.by == By::kThreads) {
    for (int box = 0; box < 2; ++box) {
      write_box(o.a_rows, 64, box * 64, a + box * 64 * 64);
      write_box(o.b_rows, kColumns, box * 64, b + box * 64 * kColumns);
    }
    if (o.fault != Fault::kDroppedProxyFence) fence_proxy_async();
    __syncthreads();
    return;
  }
  if (threadIdx.x == 0) {
    mbarrier_init(&there, 1);
    mbarrier_init_fence();
    mbarrier_arrive_expect(&there, (64 + kColumns) * kInputs * 2);
    for (int box = 0; box < 2; ++box) {
      copy_box_2d(a + box * 64 * 64, &o.a, box * 64, 0, &there);
      copy_box_2d(b + box * 64 * kColumns, &o.b, box * 64, 0, &there);
    }
  }
  __syncthreads();
  if (o.fault != Fault::kNoWaitForCopies)
    mbarrier_wait(&there, o.fault == Fault::kWrongParity ? 1 : 0);
}

/// d += a bᵀ by one warpgroup, the first products as one group and the rest as another.
template <int kColumns>
__global__ void multiply(const __grid_constant__ Operands o) {
  auto* const a = shared_pattern<std::uint16_t>();
  std::uint16_t* const b = a + 64 * kInputs;
  bring_matrices<kColumns>(o, a, b);
  const int warp = static_cast<int>(threadIdx.x) / 32, lane = static_cast<int>(threadIdx.x) % 32;
  float* const d = o.d + (warp * 16 + lane / 4) * kColumns + lane % 4 * 2;
  float sums[kColumns / 2];
  const auto place = [](int i) { return i / 2 % 2 * 8 * kColumns + i / 4 * 8 + i % 2; };
  for (int i = 0; i < kColumns / 2; ++i) sums[i] = d[place(i)];
  if (o.fault != Fault::kNoFence) wgmma_fence();
  const Swizzle swizzle = o.fault == Fault::kWrongSwizzle ? Swizzle::kNone : Swizzle::k128Bytes;
  const int shift =
      (o.fault == Fault::kWarpsDiffer && warp == 2) || (o.fault == Fault::kLanesDiffer && lane == 3)
          ? 16
          : 0;
  for (int step = 0; step < kInputs / 16; ++step) {
    const int box = step / 4, k = step % 4 * 16 + shift;
    const auto named = [&](const std::uint16_t* matrix, int rows) {
      return shared_matrix(matrix + box * 64 * rows + k, swizzle, 1024, 16);
    };
    wgmma_m64k16(sums, named(a, 64), named(b, kColumns), true);
    if (step == 5) wgmma_commit();
  }
  wgmma_commit();
  if (o.fault == Fault::kWrittenInFlight) sums[0] = 0;
  if (o.fault == Fault::kOverwritten) {
    b[0] = 0x4000;
    fence_proxy_async();
  }
  if (o.fault == Fault::kNoWait) return;
  if (o.fault != Fault::kReadBeforeWait) {
    wgmma_wait<1>();
    wgmma_wait<0>();
  }
  pin_registers(sums);
  for (int i = 0; i < kColumns / 2; ++i) d[place(i)] = sums[i];
  wgmma_wait<0>();
}

float value_of(std::uint16_t bf16) { return std::bit_cast<float>(std::uint32_t{bf16} << 16); }

std::vector<std::uint16_t> random_values(std::size_t count, unsigned seed) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal;
  std::vector<std::uint16_t> values(count);
  for (auto& v : values) v = __bfloat16_as_ushort(__float2bfloat16(normal(random)));
  return values;
}

/// Sets the order of mma during its lifetime.
class ScopedMmaOrder {
 public:
  explicit ScopedMmaOrder(MmaOrder wanted) { set_mma_order(wanted); }
  ScopedMmaOrder(const ScopedMmaOrder&) = delete;
  ScopedMmaOrder& operator=(const ScopedMmaOrder&) = delete;
  ~ScopedMmaOrder() { set_mma_order(before_); }

 private:
  MmaOrder before_ = mma_order();
};

template <int kColumns>
struct Product {
  std::vector<std::uint16_t> a = random_values(64 * kInputs, 1),
                             b = random_values(kColumns * kInputs, 2);
  DeviceArray<std::uint16_t> device_a{a}, device_b{b};

  /// d starts at 0.5.
  [[nodiscard]] std::vector<float> run(By by, Fault fault = Fault::kNone) const {
    DeviceArray<float> d(std::vector<float>(64 * kColumns, 0.5F));
    const auto map = [](const DeviceArray<std::uint16_t>& rows, cuuint32_t count) {
      return map_of(
          {rows.data(), kInputs, count, kInputs * 2, 64, count, CU_TENSOR_MAP_SWIZZLE_128B});
    };
    run_now({dim3(1), dim3(128), shared_bytes<kColumns>()}, multiply<kColumns>,
            Operands{map(device_a, 64), map(device_b, kColumns), device_a.data(), device_b.data(),
                     d.data(), by, fault});
    return d.values();
  }

  [[nodiscard]] float ascending(int row, int column) const {
    float sum = 0.5F;
    for (int k = 0; k < kInputs; ++k)
      sum += value_of(a[static_cast<std::size_t>(row * kInputs + k)]) *
             value_of(b[static_cast<std::size_t>(column * kInputs + k)]);
    return sum;
  }
};

struct WgmmaTest : ::testing::Test {
  void SetUp() override { GTEST_FLAG_SET(death_test_style, "threadsafe"); }
};
using WgmmaDeathTest = WgmmaTest;

template <int kColumns>
void expect_the_product() {
  const ScopedMmaOrder ascending(MmaOrder::kAscending);
  const Product<kColumns> product;
  for (const Schedule& schedule : some_schedules()) {
    const ScopedSchedule scoped(schedule);
    for (const By by : {By::kCopies, By::kThreads}) {
      const std::vector<float> d = product.run(by);
      for (int row = 0; row < 64; ++row)
        for (int column = 0; column < kColumns; ++column)
          ASSERT_EQ(d[static_cast<std::size_t>(row * kColumns + column)],
                    product.ascending(row, column))
              << row << ", " << column;
    }
  }
}

TEST_F(WgmmaTest, IsTheProductWithSumsInAscendingOrder) {
  expect_the_product<64>();
  expect_the_product<128>();
}

/// As an mma: bits of the other orders differ, and the error of f32 sums is bounded.
TEST_F(WgmmaTest, FollowsTheOrderOfAnMma) {
  const Product<64> product;
  std::vector<std::vector<float>> results;
  for (const MmaOrder wanted : {MmaOrder::kAscending, MmaOrder::kPairs, MmaOrder::kTree4,
                                MmaOrder::kTree8, MmaOrder::kTruncated}) {
    const ScopedMmaOrder order(wanted);
    results.push_back(product.run(By::kCopies));
    for (std::size_t i = 0; i + 1 < results.size(); ++i) EXPECT_NE(results.back(), results[i]);
    for (std::size_t i = 0; i < results[0].size(); ++i)
      // 128 products below 16 each in sums below 64, each rounded to 2^-18 at most.
      EXPECT_NEAR(results.back()[i], results[0][i], 128 * 0x1p-18);
  }
}

/// A swizzle other than that of the copy gives wrong numbers, as on a GPU.
TEST_F(WgmmaTest, ADescriptorOfAnotherSwizzleReadsOtherNumbers) {
  const Product<64> product;
  EXPECT_NE(product.run(By::kCopies, Fault::kWrongSwizzle), product.run(By::kCopies));
}

TEST_F(WgmmaTest, RegistersReadBeforeTheWaitAreNaN) {
  const Product<64> product;
  for (const float value : product.run(By::kCopies, Fault::kReadBeforeWait))
    EXPECT_TRUE(std::isnan(value));
}

/// A wait for the parity of the phase before does not wait.
TEST_F(WgmmaDeathTest, MatricesReadBeforeTheyAreThereAreNoticed) {
  const Product<64> product;
  for (const Fault fault : {Fault::kNoWaitForCopies, Fault::kWrongParity})
    EXPECT_DEATH((void)product.run(By::kCopies, fault),
                 "a block ends while 4 of its copies are under way|"
                 "its matrices were overwritten before wgmma_wait");
}

TEST_F(WgmmaDeathTest, WhatTheIsaLeavesUndefinedEndsTheProgram) {
  const Product<64> product;
  EXPECT_DEATH((void)product.run(By::kThreads, Fault::kDroppedProxyFence),
               "wgmma: threads wrote to the shared memory without fence_proxy_async behind it. "
               "kernel .*multiply");
  EXPECT_DEATH((void)product.run(By::kCopies, Fault::kNoFence),
               "wgmma: no wgmma_fence is between other uses of its registers and it");
  EXPECT_DEATH((void)product.run(By::kCopies, Fault::kWrittenInFlight),
               "wgmma: its registers were written before wgmma_wait");
  EXPECT_DEATH((void)product.run(By::kThreads, Fault::kOverwritten),
               "wgmma: its matrices were overwritten before wgmma_wait");
  EXPECT_DEATH((void)product.run(By::kCopies, Fault::kNoWait),
               "a block ends while its wgmma are in flight");
  EXPECT_DEATH((void)product.run(By::kCopies, Fault::kWarpsDiffer),
               "wgmma: the warps of a warpgroup start different products");
  EXPECT_DEATH((void)product.run(By::kCopies, Fault::kLanesDiffer),
               "wgmma: the lanes of a warp start different products");
}

/// One product of zeros by the descriptors that are given.
__global__ void descriptors(std::uint64_t a, std::uint64_t b) {
  auto* const zeros = shared_pattern<std::uint16_t>();
  for (unsigned i = threadIdx.x; i < 8192; i += blockDim.x) zeros[i] = 0;
  fence_proxy_async();
  __syncthreads();
  const std::uint64_t start = shared_matrix(zeros, Swizzle::k128Bytes, 0, 0) & 0x3FFF;
  float sums[32];
  wgmma_fence();
  wgmma_m64k16(sums, a + start, b + start, false);
  wgmma_commit();
  wgmma_wait<0>();
}

TEST_F(WgmmaDeathTest, WrongDescriptorsEndTheProgram) {
  const auto run = [](unsigned threads, std::uint64_t a, std::uint64_t b) {
    run_now({dim3(1), dim3(threads), kToPattern + 16384}, descriptors, a, b);
  };
  const std::uint64_t good = std::uint64_t{1} << 62 | std::uint64_t{64} << 32;
  run(128, good, good);
  EXPECT_DEATH(run(96, good, good), "wgmma: a warpgroup has four warps");
  EXPECT_DEATH(run(128, good | std::uint64_t{1} << 49, good), "without a base offset");
  EXPECT_DEATH(run(128, good, good | std::uint64_t{1} << 60), "unused bits are zero");
  EXPECT_DEATH(run(128, good, good + 8), "does not begin where the pattern of 1024 bytes does");
  EXPECT_DEATH(run(128, good, good + (std::uint64_t{4096} << 32)),
               "wgmma: 16 bytes that are not all dynamic shared memory");
}

TEST(WgmmaDescriptor, HasTheFieldsOfThePtxIsa) {
  const SharedMatrix matrix{.address = 0x2A5B0,
                            .swizzle = Swizzle::k64Bytes,
                            .eight_rows_bytes = 1024,
                            .eight_k_bytes = 128};
  const std::uint64_t bits = matrix.descriptor();
  EXPECT_EQ(bits & 0x3FFF, 0x2A5BU);    // bits 0 to 13: address / 16
  EXPECT_EQ(bits >> 16 & 0x3FFF, 8U);   // 16 to 29: leading offset / 16
  EXPECT_EQ(bits >> 32 & 0x3FFF, 64U);  // 32 to 45: stride offset / 16
  EXPECT_EQ(bits >> 62, 2U);            // 1: 128 bytes, 2: 64, 3: 32
  EXPECT_EQ(bits & 0x3FFF'C000'C000'C000, 0U);
  EXPECT_EQ(row_bytes(Swizzle::kNone), 16U);
  EXPECT_EQ(row_bytes(Swizzle::k128Bytes), 128U);
  EXPECT_EQ(row_bytes(Swizzle::k64Bytes), 64U);
  EXPECT_EQ(row_bytes(Swizzle::k32Bytes), 32U);
}

/// One product from matrices that threads write in each of the layouts.
__global__ void in_layout(const std::uint16_t* a, const std::uint16_t* b, float* d,
                          Swizzle swizzle) {
  auto* const shared = shared_pattern<std::uint16_t>();
  const int span = static_cast<int>(row_bytes(swizzle)) / 2;  // elements from row to row
  const int leading = swizzle == Swizzle::kNone ? 64 * 8 : 8;
  // As the PTX ISA draws them: eight rows, whose pieces of 16 bytes change places.
  const auto place = [&](int row, int k) {
    const int at = row % 8 * span + row / 8 * 8 * span + k / 8 * leading;
    const int moved = swizzle == Swizzle::k128Bytes  ? row % 8
                      : swizzle == Swizzle::k64Bytes ? row % 8 / 2
                      : swizzle == Swizzle::k32Bytes ? row % 8 / 4
                                                     : 0;
    return (at / 8 ^ moved) * 8 + k % 8;
  };
  std::uint16_t* const second = shared + 64 * 64;
  for (int i = static_cast<int>(threadIdx.x); i < 64 * 16; i += 128) {
    shared[place(i / 16, i % 16)] = a[i];
    second[place(i / 16, i % 16)] = b[i];
  }
  fence_proxy_async();
  __syncthreads();
  float sums[32];
  wgmma_fence();
  const auto eight_rows = static_cast<std::uint32_t>(16 * span);
  const auto eight_k = static_cast<std::uint32_t>(2 * leading);
  wgmma_m64k16(sums, shared_matrix(shared, swizzle, eight_rows, eight_k),
               shared_matrix(second, swizzle, eight_rows, eight_k), false);
  wgmma_commit();
  wgmma_wait<0>();
  const int row = static_cast<int>(threadIdx.x) / 32 * 16 + static_cast<int>(threadIdx.x) % 32 / 4;
  for (int i = 0; i < 32; ++i)
    d[(row + i / 2 % 2 * 8) * 64 + i / 4 * 8 + static_cast<int>(threadIdx.x) % 4 * 2 + i % 2] =
        sums[i];
}

TEST_F(WgmmaTest, ReadsEachLayoutOfThePtxIsa) {
  const ScopedMmaOrder ascending(MmaOrder::kAscending);
  const auto a = random_values(64 * 16, 3), b = random_values(64 * 16, 4);
  const DeviceArray<std::uint16_t> device_a(a), device_b(b);
  for (const Swizzle swizzle :
       {Swizzle::kNone, Swizzle::k32Bytes, Swizzle::k64Bytes, Swizzle::k128Bytes}) {
    DeviceArray<float> d(64 * 64);
    run_now({dim3(1), dim3(128), kToPattern + 4 * 64 * 64}, in_layout,
            static_cast<const std::uint16_t*>(device_a.data()),
            static_cast<const std::uint16_t*>(device_b.data()), d.data(), swizzle);
    const std::vector<float> got = d.values();
    for (std::size_t row = 0; row < 64; ++row)
      for (std::size_t column = 0; column < 64; ++column) {
        float sum = 0;
        for (std::size_t k = 0; k < 16; ++k)
          sum += value_of(a[row * 16 + k]) * value_of(b[column * 16 + k]);
        ASSERT_EQ(got[row * 64 + column], sum) << row << ", " << column;
      }
  }
}

}  // namespace
}  // namespace cuda_emulator::testing
