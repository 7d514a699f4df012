#include "cuda_emulator/mma_order.h"
#include "layers/kernels/cuda/ptx.cuh"
#include "tests/support/cuda_emulator/src/matmul_kernel.h"
#include "tests/support/cuda_emulator/tests/launch.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <cuda_bf16.h>
#include <cuda_fp8.h>
#include <random>

namespace cuda_emulator::testing {
namespace {

using namespace retinue::cuda;

/// Lane i gets pairs of 16-bit elements and writes them to their places according to the PTX ISA.
__global__ void load_layouts(const std::uint16_t* in, std::uint32_t* out) {
  auto* shared = dynamic_shared<std::uint16_t>();
  for (unsigned i = threadIdx.x; i < 256; i += 32) shared[i] = in[i];
  __syncthreads();
  std::uint32_t x4[4], x2[2];
  load_matrix_x4(x4, shared + threadIdx.x * 8);
  for (int m = 0; m < 4; ++m) out[threadIdx.x * 12 + m] = x4[m];
  load_matrix_x4_transposed(x4, shared + threadIdx.x * 8);
  for (int m = 0; m < 4; ++m) out[threadIdx.x * 12 + 4 + m] = x4[m];
  load_matrix_x2(x2, shared + threadIdx.x % 16 * 8);
  for (int m = 0; m < 2; ++m) out[threadIdx.x * 12 + 8 + m] = x2[m];
  load_matrix_x2_transposed(x2, shared + threadIdx.x % 16 * 8);
  for (int m = 0; m < 2; ++m) out[threadIdx.x * 12 + 10 + m] = x2[m];
}

TEST(Matrix, LoadsHandOutTheDocumentedElements) {
  std::vector<std::uint16_t> in(256);
  for (std::size_t i = 0; i < in.size(); ++i) in[i] = static_cast<std::uint16_t>(i);
  DeviceArray<std::uint16_t> input(in);
  DeviceArray<std::uint32_t> output(32 * 12);
  ASSERT_CUDA(launch({dim3(1), dim3(32), 512}, load_layouts, input.data(), output.data()));
  const auto values = output.values();
  for (std::uint32_t lane = 0; lane < 32; ++lane) {
    for (std::uint32_t m = 0; m < 4; ++m) {
      const std::uint32_t major = lane / 4, minor = lane % 4 * 2;
      const std::uint32_t plain = m * 64 + major * 8 + minor;
      const std::uint32_t turned = m * 64 + minor * 8 + major;
      const std::uint32_t plain_pair = plain | (plain + 1) << 16;
      const std::uint32_t turned_pair = turned | (turned + 8) << 16;
      EXPECT_EQ(values[lane * 12 + m], plain_pair);
      EXPECT_EQ(values[lane * 12 + 4 + m], turned_pair);
      if (m < 2) {
        EXPECT_EQ(values[lane * 12 + 8 + m], plain_pair);
        EXPECT_EQ(values[lane * 12 + 10 + m], turned_pair);
      }
    }
  }
}

/// d [16, 8] = c + a [16, 16] b [16, 8], a and b row-major: a with ldmatrix, b with its transposed
/// form.
__global__ void multiply(const __nv_bfloat16* a, const __nv_bfloat16* b, const float* c, float* d) {
  auto* a_shared = dynamic_shared<__nv_bfloat16>();
  auto* b_shared = a_shared + 256;
  const unsigned lane = threadIdx.x;
  for (unsigned i = lane; i < 256; i += 32) a_shared[i] = a[i];
  for (unsigned i = lane; i < 128; i += 32) b_shared[i] = b[i];
  __syncwarp();
  std::uint32_t a_fragment[4], b_fragment[2];
  load_matrix_x4(a_fragment, a_shared + lane % 16 * 16 + lane / 16 * 8);
  load_matrix_x2_transposed(b_fragment, b_shared + lane % 16 * 8);
  const unsigned row = lane / 4, column = lane % 4 * 2;
  float sum[4] = {c[row * 8 + column], c[row * 8 + column + 1], c[(row + 8) * 8 + column],
                  c[(row + 8) * 8 + column + 1]};
  mma_bf16_16x8x16(sum, a_fragment, b_fragment);
  d[row * 8 + column] = sum[0];
  d[row * 8 + column + 1] = sum[1];
  d[(row + 8) * 8 + column] = sum[2];
  d[(row + 8) * 8 + column + 1] = sum[3];
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

constexpr MmaOrder kMmaOrders[] = {MmaOrder::kAscending, MmaOrder::kPairs, MmaOrder::kTree4,
                                   MmaOrder::kTree8, MmaOrder::kTruncated};

TEST(Matrix, MultiplyAddIsTheProductWithSumsInAscendingOrder) {
  const ScopedMmaOrder ascending(MmaOrder::kAscending);
  std::mt19937 random(7);
  std::normal_distribution<float> normal;
  std::vector<__nv_bfloat16> a(256), b(128);
  std::vector<float> c(128);
  for (auto& v : a) v = __float2bfloat16(normal(random));
  for (auto& v : b) v = __float2bfloat16(normal(random));
  for (auto& v : c) v = normal(random);
  DeviceArray<__nv_bfloat16> device_a(a), device_b(b);
  DeviceArray<float> device_c(c), device_d(128);
  ASSERT_CUDA(launch({dim3(1), dim3(32), 1024}, multiply, device_a.data(), device_b.data(),
                     device_c.data(), device_d.data()));
  const auto d = device_d.values();
  for (std::size_t i = 0; i < 16; ++i) {
    for (std::size_t j = 0; j < 8; ++j) {
      float sum = c[i * 8 + j];
      for (std::size_t k = 0; k < 16; ++k) sum += float{a[i * 16 + k]} * float{b[k * 8 + j]};
      EXPECT_EQ(d[i * 8 + j], sum) << i << ' ' << j;
    }
  }
}

/// The accumulator `large`, to which one mma adds 16 products of `small`.
float accumulated(float large, float small) {
  DeviceArray<__nv_bfloat16> a(std::vector<__nv_bfloat16>(256, __float2bfloat16(small)));
  DeviceArray<__nv_bfloat16> b(std::vector<__nv_bfloat16>(128, __float2bfloat16(1)));
  DeviceArray<float> c(std::vector<float>(128, large)), d(128);
  EXPECT_CUDA(launch({dim3(1), dim3(32), 1024}, multiply, a.data(), b.data(), c.data(), d.data()));
  const std::vector<float> values = d.values();
  for (const float value : values) EXPECT_TRUE(value == values[0] || std::isnan(values[0]));
  return values[0];
}

/// Numbers of f32 differ by 2 above 2^24 and by 1 below it, and so on.
TEST(Matrix, TheOrderOfAnMmaDecidesWhichSmallProductsCount) {
  struct Case {
    float large, small;
    float added[5];  // to `large`, in the order of kMmaOrders
  };
  for (const Case& c : {Case{0x1p24F, 1, {0, 16, 16, 16, 16}}, Case{0x1p25F, 1, {0, 0, 16, 16, 16}},
                        // Of 2^26 the bits down to 2 are kept, so that nothing of 1 is.
                        Case{0x1p26F, 1, {0, 0, 0, 16, 0}}, Case{0x1p27F, 1, {0, 0, 0, 0, 0}},
                        // Cut to 0.5 each.
                        Case{0x1p24F, 0.6875F, {0, 16, 8, 12, 8}},
                        // 2^24 + 3 lies between two numbers: the one nearer to zero.
                        Case{0x1p24F - 1, 0.25F, {0, 1, 1, 3, 3}},
                        Case{1 - 0x1p24F, -0.25F, {0, -1, -1, -3, -3}}}) {
    for (int i = 0; i < 5; ++i) {
      const ScopedMmaOrder order(kMmaOrders[i]);
      EXPECT_EQ(accumulated(c.large, c.small), c.large + c.added[i])
          << c.large << " + 16 x " << c.small << ", order " << i;
    }
  }
}

TEST(Matrix, InfinityNaNAndZeroAreTheSameInEveryOrderOfAnMma) {
  for (const MmaOrder wanted : kMmaOrders) {
    const ScopedMmaOrder order(wanted);
    EXPECT_EQ(accumulated(INFINITY, 1), INFINITY);
    EXPECT_EQ(accumulated(1, -INFINITY), -INFINITY);
    EXPECT_TRUE(std::isnan(accumulated(INFINITY, -INFINITY)));
    EXPECT_TRUE(std::isnan(accumulated(NAN, 1)));
    EXPECT_EQ(accumulated(0, 0), 0);
    EXPECT_EQ(accumulated(0, 0x1p-120F), 0x1p-116F);
  }
}

/// The sum of large² and then small² to the end of one mma, as the emulated cuBLASLt adds it.
template <class T>
float cublaslt_sum(cudaDataType_t type, int products, float large, float small) {
  std::vector<T> values(static_cast<std::size_t>(products), T(small));
  values[0] = T(large);
  const MatrixView row{values.data(), type, products, 1}, column{values.data(), type, 1, products};
  float sum = 0;
  multiply_slices(1, 1, {products, 1}, row, column, &sum);
  return sum;
}

TEST(Matrix, ProductsOfCublasLtFollowTheOrderOfAnMma) {
  for (const MmaOrder wanted : kMmaOrders) {
    const ScopedMmaOrder order(wanted);
    // Numbers of f32 differ by 2 above 2^24.
    EXPECT_EQ(cublaslt_sum<__nv_bfloat16>(CUDA_R_16BF, 16, 0x1p12F, 1),
              wanted == MmaOrder::kAscending ? 0x1p24F : 0x1p24F + 14);
    // Hopper keeps 13 bits below the largest: 2^16 down to 2^3.
    EXPECT_EQ(cublaslt_sum<__nv_fp8_e4m3>(CUDA_R_8F_E4M3, 32, 0x1p8F, 2),
              wanted == MmaOrder::kTruncated ? 0x1p16F : 0x1p16F + 31 * 4);
  }
}

TEST(MatrixDeathTest, AnUnknownOrderOfMmaIsRefused) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_DEATH(
      {
        setenv("RETINUE_EMULATOR_MMA_ORDER", "tree5", 1);
        set_mma_order(mma_order());
      },
      "RETINUE_EMULATOR_MMA_ORDER is \"tree5\"; wanted ascending");
}

TEST(Bfloat16, ArithmeticRoundsEachResult) {
  const __nv_bfloat16 one = 1.0f, small = __uint_as_float(0x3B800000);  // 2^-8: half a unit of 1
  EXPECT_EQ(float{one + small}, 1.0f);
  EXPECT_EQ(float{one + small + small}, 1.0f);
  EXPECT_EQ(float{small + small + one}, 1.0078125f);
  EXPECT_TRUE(small < one && -one < small && one != small);
}

TEST(Bfloat16, RoundsToNearestEven) {
  const auto bits = [](float value) { return __bfloat16_as_ushort(__float2bfloat16_rn(value)); };
  EXPECT_EQ(bits(1.0f), 0x3F80);
  EXPECT_EQ(bits(__uint_as_float(0x3F808000)), 0x3F80);  // a tie: to even
  EXPECT_EQ(bits(__uint_as_float(0x3F818000)), 0x3F82);
  EXPECT_EQ(bits(__uint_as_float(0x3F808001)), 0x3F81);
  EXPECT_EQ(bits(__uint_as_float(0x7F7FFFFF)), 0x7F80);  // over the largest: infinity
  EXPECT_EQ(bits(__uint_as_float(0x7F800001)), 0x7FFF);
  EXPECT_EQ(bits(__uint_as_float(0x00008001)), 0x0001);  // subnormal numbers stay
  const float2 pair = __bfloat1622float2(__floats2bfloat162_rn(2.0f, -3.0f));
  EXPECT_EQ(pair.x, 2.0f);
  EXPECT_EQ(pair.y, -3.0f);
}

}  // namespace
}  // namespace cuda_emulator::testing
