#include "tests/support/cuda_emulator/tests/launch.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstdlib>
#include <cublasLt.h>
#include <cuda_bf16.h>
#include <cuda_fp8.h>
#include <memory>
#include <random>
#include <set>
#include <utility>
#include <vector>

namespace cuda_emulator::testing {
namespace {

#define ASSERT_CUBLAS(call) ASSERT_EQ(call, CUBLAS_STATUS_SUCCESS)

/// Column-major matrices of a product; op(A) is A transposed, as for y = x W^T with row-major x and
/// W.
struct CublasLt : ::testing::Test {
  static constexpr std::uint64_t kM = 24, kN = 9, kK = 40;

  void SetUp() override {
    ASSERT_EQ(cublasLtCreate(&handle), CUBLAS_STATUS_SUCCESS);
    ASSERT_EQ(cublasLtMatmulDescCreate(&desc, CUBLAS_COMPUTE_32F, CUDA_R_32F),
              CUBLAS_STATUS_SUCCESS);
    const std::int32_t transpose = CUBLAS_OP_T;
    set(CUBLASLT_MATMUL_DESC_TRANSA, transpose);
    ASSERT_EQ(cublasLtMatmulPreferenceCreate(&preference), CUBLAS_STATUS_SUCCESS);
    const std::uint64_t bytes = workspace.bytes();
    ASSERT_EQ(cublasLtMatmulPreferenceSetAttribute(
                  preference, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, &bytes, sizeof bytes),
              CUBLAS_STATUS_SUCCESS);
    ASSERT_EQ(cublasLtMatrixLayoutCreate(&a_layout, CUDA_R_16BF, kK, kM, kK),
              CUBLAS_STATUS_SUCCESS);
    ASSERT_EQ(cublasLtMatrixLayoutCreate(&b_layout, CUDA_R_16BF, kK, kN, kK),
              CUBLAS_STATUS_SUCCESS);
    std::mt19937 random(3);
    std::normal_distribution<float> normal;
    for (auto* values : {&a_host, &b_host, &bias_host}) {
      for (auto& v : *values) v = __float2bfloat16(normal(random));
    }
    a = std::make_unique<DeviceArray<__nv_bfloat16>>(a_host);
    b = std::make_unique<DeviceArray<__nv_bfloat16>>(b_host);
    bias = std::make_unique<DeviceArray<__nv_bfloat16>>(bias_host);
  }
  void TearDown() override {
    cublasLtMatrixLayoutDestroy(a_layout);
    cublasLtMatrixLayoutDestroy(b_layout);
    cublasLtMatmulPreferenceDestroy(preference);
    cublasLtMatmulDescDestroy(desc);
    cublasLtDestroy(handle);
  }
  template <class T>
  void set(cublasLtMatmulDescAttributes_t attribute, const T& value) {
    EXPECT_EQ(cublasLtMatmulDescSetAttribute(desc, attribute, &value, sizeof value),
              CUBLAS_STATUS_SUCCESS);
  }
  std::vector<cublasLtMatmulHeuristicResult_t> heuristic(cublasLtMatrixLayout_t d_layout) {
    std::vector<cublasLtMatmulHeuristicResult_t> results(16);
    int count = 0;
    EXPECT_EQ(cublasLtMatmulAlgoGetHeuristic(handle, desc, a_layout, b_layout, d_layout, d_layout,
                                             preference, 16, results.data(), &count),
              CUBLAS_STATUS_SUCCESS);
    results.resize(static_cast<std::size_t>(count));
    return results;
  }
  double exact(std::size_t i, std::size_t j) const {
    double sum = 0;
    for (std::size_t k = 0; k < kK; ++k)
      sum += double{a_host[i * kK + k]} * double{b_host[j * kK + k]};
    return sum;
  }

  cublasLtHandle_t handle = nullptr;
  cublasLtMatmulDesc_t desc = nullptr;
  cublasLtMatmulPreference_t preference = nullptr;
  cublasLtMatrixLayout_t a_layout = nullptr, b_layout = nullptr;
  // With = and not with {}: integers convert to bfloat16.
  std::vector<__nv_bfloat16> a_host = std::vector<__nv_bfloat16>(kM * kK);
  std::vector<__nv_bfloat16> b_host = std::vector<__nv_bfloat16>(kN * kK);
  std::vector<__nv_bfloat16> bias_host = std::vector<__nv_bfloat16>(kM);
  std::unique_ptr<DeviceArray<__nv_bfloat16>> a, b, bias;
  DeviceArray<char> workspace{1 << 20};
};

double tanh_gelu(double x) {
  return 0.5 * x * (1 + std::tanh(std::sqrt(2 / M_PI) * (x + 0.044715 * x * x * x)));
}

TEST_F(CublasLt, EveryAlgorithmAndEpilogueMatchesF64) {
  const float alpha = 0.5f, beta = 2;
  const auto* bias_pointer = bias->data();
  set(CUBLASLT_MATMUL_DESC_BIAS_POINTER, bias_pointer);
  for (const auto epilogue : {CUBLASLT_EPILOGUE_DEFAULT, CUBLASLT_EPILOGUE_BIAS,
                              CUBLASLT_EPILOGUE_GELU, CUBLASLT_EPILOGUE_GELU_BIAS}) {
    set(CUBLASLT_MATMUL_DESC_EPILOGUE, static_cast<std::uint32_t>(epilogue));
    cublasLtMatrixLayout_t d_layout = nullptr;
    ASSERT_CUBLAS(cublasLtMatrixLayoutCreate(&d_layout, CUDA_R_16BF, kM, kN, kM));
    const auto results = heuristic(d_layout);
    EXPECT_GE(results.size(), 5u);
    for (const auto& result : results) {
      DeviceArray<__nv_bfloat16> d(std::vector<__nv_bfloat16>(kM * kN, __float2bfloat16(0.25f)));
      ASSERT_CUBLAS(cublasLtMatmul(handle, desc, &alpha, a->data(), a_layout, b->data(), b_layout,
                                   &beta, d.data(), d_layout, d.data(), d_layout, &result.algo,
                                   workspace.data(), workspace.bytes(), nullptr));
      const auto values = d.values();
      for (std::size_t j = 0; j < kN; ++j) {
        for (std::size_t i = 0; i < kM; ++i) {
          double expected = 0.5 * exact(i, j) + 2 * 0.25;
          if ((epilogue & CUBLASLT_EPILOGUE_BIAS) != 0) expected += double{bias_host[i]};
          if ((epilogue & CUBLASLT_EPILOGUE_GELU) != 0) expected = tanh_gelu(expected);
          EXPECT_NEAR(double{values[j * kM + i]}, expected, 0.004 * std::abs(expected) + 1e-5);
        }
      }
    }
    cublasLtMatrixLayoutDestroy(d_layout);
  }
}

TEST_F(CublasLt, AlgorithmsDifferInBitsAndOneAlgorithmDoesNotDependOnTheRows) {
  cublasLtMatrixLayout_t d_layout = nullptr, one_layout = nullptr, one_b = nullptr;
  ASSERT_CUBLAS(cublasLtMatrixLayoutCreate(&d_layout, CUDA_R_32F, kM, kN, kM));
  ASSERT_CUBLAS(cublasLtMatrixLayoutCreate(&one_layout, CUDA_R_32F, kM, 1, kM));
  ASSERT_CUBLAS(cublasLtMatrixLayoutCreate(&one_b, CUDA_R_16BF, kK, 1, kK));
  const float alpha = 1, beta = 0;
  std::set<std::vector<float>> different;
  for (const auto& result : heuristic(d_layout)) {
    DeviceArray<float> d(kM * kN), one(kM);
    ASSERT_CUBLAS(cublasLtMatmul(handle, desc, &alpha, a->data(), a_layout, b->data(), b_layout,
                                 &beta, nullptr, d_layout, d.data(), d_layout, &result.algo,
                                 workspace.data(), workspace.bytes(), nullptr));
    ASSERT_CUBLAS(cublasLtMatmul(handle, desc, &alpha, a->data(), a_layout, b->data() + 3 * kK,
                                 one_b, &beta, nullptr, one_layout, one.data(), one_layout,
                                 &result.algo, workspace.data(), workspace.bytes(), nullptr));
    const auto values = d.values();
    EXPECT_EQ(one.values(), std::vector<float>(values.begin() + 3 * kM, values.begin() + 4 * kM));
    different.insert(values);
  }
  EXPECT_GT(different.size(), 1u);
  for (auto layout : {d_layout, one_layout, one_b}) cublasLtMatrixLayoutDestroy(layout);
}

TEST_F(CublasLt, ConfiguresAlgorithmsById) {
  int ids[16], count = 0;
  ASSERT_CUBLAS(cublasLtMatmulAlgoGetIds(handle, CUBLAS_COMPUTE_32F, CUDA_R_32F, CUDA_R_16BF,
                                         CUDA_R_16BF, CUDA_R_32F, CUDA_R_32F, 16, ids, &count));
  ASSERT_GT(count, 1);
  cublasLtMatmulAlgo_t algo;
  ASSERT_CUBLAS(cublasLtMatmulAlgoInit(handle, CUBLAS_COMPUTE_32F, CUDA_R_32F, CUDA_R_16BF,
                                       CUDA_R_16BF, CUDA_R_32F, CUDA_R_32F, ids[0], &algo));
  std::size_t written = 0;
  ASSERT_CUBLAS(
      cublasLtMatmulAlgoCapGetAttribute(&algo, CUBLASLT_ALGO_CAP_TILE_IDS, nullptr, 0, &written));
  std::vector<std::uint32_t> tiles(written / sizeof(std::uint32_t));
  ASSERT_CUBLAS(cublasLtMatmulAlgoCapGetAttribute(&algo, CUBLASLT_ALGO_CAP_TILE_IDS, tiles.data(),
                                                  written, &written));
  ASSERT_CUBLAS(
      cublasLtMatmulAlgoConfigSetAttribute(&algo, CUBLASLT_ALGO_CONFIG_TILE_ID, tiles.data(), 4));
  cublasLtMatrixLayout_t d_layout = nullptr;
  ASSERT_CUBLAS(cublasLtMatrixLayoutCreate(&d_layout, CUDA_R_32F, kM, kN, kM));
  cublasLtMatmulHeuristicResult_t result;
  ASSERT_CUBLAS(cublasLtMatmulAlgoCheck(handle, desc, a_layout, b_layout, d_layout, d_layout, &algo,
                                        &result));
  EXPECT_EQ(result.workspaceSize, 0u);
  const std::uint32_t splits = 4, scheme = CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE, unknown = 599;
  ASSERT_CUBLAS(
      cublasLtMatmulAlgoConfigSetAttribute(&algo, CUBLASLT_ALGO_CONFIG_SPLITK_NUM, &splits, 4));
  EXPECT_EQ(
      cublasLtMatmulAlgoCheck(handle, desc, a_layout, b_layout, d_layout, d_layout, &algo, &result),
      CUBLAS_STATUS_NOT_SUPPORTED);  // without a reduction scheme
  ASSERT_CUBLAS(cublasLtMatmulAlgoConfigSetAttribute(&algo, CUBLASLT_ALGO_CONFIG_REDUCTION_SCHEME,
                                                     &scheme, 4));
  ASSERT_CUBLAS(cublasLtMatmulAlgoCheck(handle, desc, a_layout, b_layout, d_layout, d_layout, &algo,
                                        &result));
  EXPECT_EQ(result.workspaceSize, kM * kN * 4 * 4);
  ASSERT_CUBLAS(
      cublasLtMatmulAlgoConfigSetAttribute(&algo, CUBLASLT_ALGO_CONFIG_TILE_ID, &unknown, 4));
  EXPECT_EQ(
      cublasLtMatmulAlgoCheck(handle, desc, a_layout, b_layout, d_layout, d_layout, &algo, &result),
      CUBLAS_STATUS_NOT_SUPPORTED);
  cublasLtMatrixLayoutDestroy(d_layout);
}

TEST_F(CublasLt, RefusesInvalidArguments) {
  cublasLtMatrixLayout_t d_layout = nullptr, wrong = nullptr;
  ASSERT_CUBLAS(cublasLtMatrixLayoutCreate(&d_layout, CUDA_R_16BF, kM, kN, kM));
  ASSERT_CUBLAS(cublasLtMatrixLayoutCreate(&wrong, CUDA_R_16BF, kN, kM, kN));
  const auto best = heuristic(d_layout);
  const cublasLtMatmulAlgo_t* fast = nullptr;  // needs 16-byte alignment, and no workspace
  for (const auto& result : best) {
    std::uint32_t alignment = 0;
    std::size_t written = 0;
    ASSERT_CUBLAS(cublasLtMatmulAlgoCapGetAttribute(&result.algo,
                                                    CUBLASLT_ALGO_CAP_MIN_ALIGNMENT_A_BYTES,
                                                    &alignment, sizeof alignment, &written));
    if (alignment == 16 && result.workspaceSize == 0) fast = &result.algo;
  }
  ASSERT_NE(fast, nullptr);
  const float alpha = 1, beta = 0;
  DeviceArray<__nv_bfloat16> d(kM * kN), too_short(kM * kN - 1);
  const auto run = [&](const void* a_data, void* d_data, cublasLtMatrixLayout_t layout,
                       const cublasLtMatmulAlgo_t* algo, std::size_t workspace_bytes) {
    return cublasLtMatmul(handle, desc, &alpha, a_data, a_layout, b->data(), b_layout, &beta,
                          nullptr, layout, d_data, layout, algo, workspace.data(), workspace_bytes,
                          nullptr);
  };
  EXPECT_EQ(run(a->data(), d.data(), d_layout, fast, workspace.bytes()), CUBLAS_STATUS_SUCCESS);
  EXPECT_EQ(run(a->data(), d.data(), wrong, fast, workspace.bytes()), CUBLAS_STATUS_INVALID_VALUE);
  EXPECT_EQ(run(a->data(), too_short.data(), d_layout, fast, workspace.bytes()),
            CUBLAS_STATUS_INVALID_VALUE);
  EXPECT_EQ(run(a_host.data(), d.data(), d_layout, fast, workspace.bytes()),
            CUBLAS_STATUS_INVALID_VALUE);
  DeviceArray<__nv_bfloat16> moved(kM * kK + 1);
  EXPECT_EQ(run(moved.data() + 1, d.data(), d_layout, fast, workspace.bytes()),
            CUBLAS_STATUS_INVALID_VALUE);
  EXPECT_EQ(run(moved.data() + 1, d.data(), d_layout, nullptr, 0), CUBLAS_STATUS_SUCCESS);
  for (const auto& result : best) {
    if (result.workspaceSize == 0) continue;
    EXPECT_EQ(run(a->data(), d.data(), d_layout, &result.algo, result.workspaceSize - 1),
              CUBLAS_STATUS_INVALID_VALUE);
  }
  const std::int32_t wrong_bias = CUDA_R_32F;
  set(CUBLASLT_MATMUL_DESC_EPILOGUE, static_cast<std::uint32_t>(CUBLASLT_EPILOGUE_BIAS));
  EXPECT_EQ(run(a->data(), d.data(), d_layout, fast, workspace.bytes()),
            CUBLAS_STATUS_INVALID_VALUE);
  set(CUBLASLT_MATMUL_DESC_BIAS_DATA_TYPE, wrong_bias);
  EXPECT_EQ(run(a->data(), d.data(), d_layout, fast, workspace.bytes()),
            CUBLAS_STATUS_NOT_SUPPORTED);
  EXPECT_CUDA(cudaDeviceSynchronize());
  cublasLtMatrixLayoutDestroy(d_layout);
  cublasLtMatrixLayoutDestroy(wrong);
}

TEST_F(CublasLt, RunsWithItsStreamAndInGraphs) {
  cublasLtMatrixLayout_t d_layout = nullptr;
  ASSERT_CUBLAS(cublasLtMatrixLayoutCreate(&d_layout, CUDA_R_32F, kM, kN, kM));
  cudaStream_t stream = nullptr;
  cudaGraph_t graph = nullptr;
  cudaGraphExec_t executable = nullptr;
  ASSERT_CUDA(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking));
  ASSERT_CUDA(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal));
  DeviceArray<float>* d = nullptr;
  {
    cudaStreamCaptureMode relaxed = cudaStreamCaptureModeRelaxed;
    ASSERT_CUDA(cudaThreadExchangeStreamCaptureMode(&relaxed));
    d = new DeviceArray<float>(kM * kN);
    ASSERT_CUDA(cudaThreadExchangeStreamCaptureMode(&relaxed));
  }
  float alpha = 1;
  const float beta = 0;
  ASSERT_CUBLAS(cublasLtMatmul(handle, desc, &alpha, a->data(), a_layout, b->data(), b_layout,
                               &beta, nullptr, d_layout, d->data(), d_layout, nullptr,
                               workspace.data(), workspace.bytes(), stream));
  alpha = 1000;
  ASSERT_CUDA(cudaStreamEndCapture(stream, &graph));
  ASSERT_CUDA(cudaGraphInstantiate(&executable, graph));
  EXPECT_TRUE(std::isnan(d->values()[0]));
  ASSERT_CUDA(cudaGraphLaunch(executable, stream));
  ASSERT_CUDA(cudaStreamSynchronize(stream));
  EXPECT_NEAR(d->values()[0], exact(0, 0), 1e-4);
  ASSERT_CUDA(cudaGraphExecDestroy(executable));
  ASSERT_CUDA(cudaGraphDestroy(graph));
  ASSERT_CUDA(cudaStreamDestroy(stream));
  delete d;
  cublasLtMatrixLayoutDestroy(d_layout);
}

/// Products of e4m3 with a scale for each 128 of k and each row of A or B, or each 128 of them.
struct CublasLtFp8 : CublasLt {
  static constexpr std::uint64_t kRows = 272, kColumns = 132, kInner = 656;  // 5 groups and 16
  static constexpr std::int32_t kVector = CUBLASLT_MATMUL_MATRIX_SCALE_VEC128_32F;
  static constexpr std::int32_t kBlock = CUBLASLT_MATMUL_MATRIX_SCALE_BLK128x128_32F;
  static constexpr std::uint64_t kGroups = (kInner + 127) / 128, kPaddedGroups = 8;

  struct Layouts {
    cublasLtMatrixLayoutOpaque_t a, b, d;
  };
  static Layouts layouts(cudaDataType_t d_type = CUDA_R_32F, std::uint64_t k = kInner,
                         std::uint64_t m = kRows, std::uint64_t n = kColumns) {
    Layouts made;
    const auto stride = [](std::uint64_t rows) { return static_cast<std::int64_t>(rows); };
    cublasLtMatrixLayoutInit(&made.a, CUDA_R_8F_E4M3, k, m, stride(k));
    cublasLtMatrixLayoutInit(&made.b, CUDA_R_8F_E4M3, k, n, stride(k));
    cublasLtMatrixLayoutInit(&made.d, d_type, m, n, stride(m));
    return made;
  }
  /// What the heuristic says.
  cublasStatus_t status_of(Layouts made) {
    cublasLtMatmulHeuristicResult_t result = {};
    int count = 0;
    return cublasLtMatmulAlgoGetHeuristic(handle, desc, &made.a, &made.b, &made.d, &made.d,
                                          preference, 1, &result, &count);
  }
  void set_modes(std::int32_t a_mode, std::int32_t b_mode) {
    set(CUBLASLT_MATMUL_DESC_A_SCALE_MODE, a_mode);
    set(CUBLASLT_MATMUL_DESC_B_SCALE_MODE, b_mode);
  }
  void set_scales(const void* a_scales, const void* b_scales) {
    set(CUBLASLT_MATMUL_DESC_A_SCALE_POINTER, a_scales);
    set(CUBLASLT_MATMUL_DESC_B_SCALE_POINTER, b_scales);
  }
  void SetUp() override {
    CublasLt::SetUp();
    std::mt19937 random(5);
    std::normal_distribution<float> normal(0, 40);
    std::uniform_real_distribution<float> uniform(0.5f, 2);
    for (auto* values : {&a8_host, &b8_host})
      for (auto& v : *values) v = __nv_fp8_e4m3(normal(random));
    for (auto* values : {&a_scales_host, &b_scales_host})
      for (auto& v : *values) v = uniform(random);
    a8 = std::make_unique<DeviceArray<__nv_fp8_e4m3>>(a8_host);
    b8 = std::make_unique<DeviceArray<__nv_fp8_e4m3>>(b8_host);
    a_scales = std::make_unique<DeviceArray<float>>(a_scales_host);
    b_scales = std::make_unique<DeviceArray<float>>(b_scales_host);
    set_scales(a_scales->data(), b_scales->data());
    set_modes(kBlock, kVector);
  }
  cublasStatus_t multiply(Layouts made, void* d, const cublasLtMatmulAlgo_t* algo) {
    const float alpha = 1, beta = 0;
    return cublasLtMatmul(handle, desc, &alpha, a8->data(), &made.a, b8->data(), &made.b, &beta,
                          nullptr, &made.d, d, &made.d, algo, workspace.data(), workspace.bytes(),
                          nullptr);
  }
  static double scale(const std::vector<float>& scales, std::int32_t mode, std::uint64_t count,
                      std::uint64_t outer, std::uint64_t k) {
    return double{mode == kVector ? scales[k / 128 * count + outer]
                                  : scales[outer / 128 * kPaddedGroups + k / 128]};
  }

  std::vector<__nv_fp8_e4m3> a8_host = std::vector<__nv_fp8_e4m3>(kRows * kInner);
  std::vector<__nv_fp8_e4m3> b8_host = std::vector<__nv_fp8_e4m3>(kColumns * kInner);
  // Enough for both layouts.
  std::vector<float> a_scales_host = std::vector<float>(kRows * kPaddedGroups);
  std::vector<float> b_scales_host = std::vector<float>(kColumns * kPaddedGroups);
  std::unique_ptr<DeviceArray<__nv_fp8_e4m3>> a8, b8;
  std::unique_ptr<DeviceArray<float>> a_scales, b_scales;
};

TEST_F(CublasLtFp8, EveryPairOfModesMatchesF64) {
  for (const auto& [a_mode, b_mode] :
       {std::pair{kVector, kVector}, std::pair{kVector, kBlock}, std::pair{kBlock, kVector}}) {
    set_modes(a_mode, b_mode);
    std::set<std::vector<float>> different;
    Layouts made = layouts();
    for (const int id : {66, 67, 21}) {
      cublasLtMatmulAlgo_t algo;
      ASSERT_CUBLAS(cublasLtMatmulAlgoInit(handle, CUBLAS_COMPUTE_32F, CUDA_R_32F, CUDA_R_8F_E4M3,
                                           CUDA_R_8F_E4M3, CUDA_R_32F, CUDA_R_32F, id, &algo));
      DeviceArray<float> d(kRows * kColumns);
      ASSERT_CUBLAS(multiply(made, d.data(), &algo));
      const auto values = d.values();
      different.insert(values);
      for (std::uint64_t j = 0; j < kColumns; j += 11) {
        for (std::uint64_t i = 0; i < kRows; i += 13) {
          double sum = 0, magnitude = 0;
          for (std::uint64_t k = 0; k < kInner; ++k) {
            const double product = double{static_cast<float>(a8_host[i * kInner + k])} *
                                   double{static_cast<float>(b8_host[j * kInner + k])} *
                                   scale(a_scales_host, a_mode, kRows, i, k) *
                                   scale(b_scales_host, b_mode, kColumns, j, k);
            sum += product, magnitude += std::abs(product);
          }
          // 128 additions in a group, two products and an addition for each of six groups.
          EXPECT_NEAR(double{values[j * kRows + i]}, sum, (128 + 3 * 6) * 0x1p-24 * magnitude);
        }
      }
    }
    EXPECT_EQ(different.size(), 3u) << "algorithms add in different orders";
  }
}

TEST_F(CublasLtFp8, RoundsOnceToBfloat16) {
  cublasLtMatmulAlgo_t to_f32, to_bf16;
  for (const auto& [algo, type] :
       {std::pair{&to_f32, CUDA_R_32F}, std::pair{&to_bf16, CUDA_R_16BF}})
    ASSERT_CUBLAS(cublasLtMatmulAlgoInit(handle, CUBLAS_COMPUTE_32F, CUDA_R_32F, CUDA_R_8F_E4M3,
                                         CUDA_R_8F_E4M3, type, type, 66, algo));
  DeviceArray<float> d(kRows * kColumns);
  DeviceArray<__nv_bfloat16> rounded(kRows * kColumns);
  ASSERT_CUBLAS(multiply(layouts(), d.data(), &to_f32));
  ASSERT_CUBLAS(multiply(layouts(CUDA_R_16BF), rounded.data(), &to_bf16));
  const auto exact = d.values();
  const auto values = rounded.values();
  for (std::size_t i = 0; i < exact.size(); ++i)
    ASSERT_EQ(static_cast<float>(values[i]), static_cast<float>(__float2bfloat16(exact[i]))) << i;
}

TEST_F(CublasLtFp8, RefusesWhatHopperRefuses) {
  ASSERT_EQ(status_of(layouts()), CUBLAS_STATUS_SUCCESS);
  ASSERT_EQ(status_of(layouts(CUDA_R_16BF)), CUBLAS_STATUS_SUCCESS);
  const auto refused = [&](const Layouts& made, const char* why) {
    EXPECT_EQ(status_of(made), CUBLAS_STATUS_NOT_SUPPORTED) << why;
  };
  refused(layouts(CUDA_R_32F, kInner + 8), "k is no multiple of 16");
  refused(layouts(CUDA_R_32F, kInner, kRows + 2), "m is no multiple of 4");
  refused(layouts(CUDA_R_16BF, kInner, kRows + 4), "a column of D has no multiple of 16 bytes");
  refused(layouts(CUDA_R_32F, kInner, kRows, kColumns + 1), "n is no multiple of 4");
  refused(layouts(CUDA_R_16F), "D is neither bf16 nor f32");
  Layouts made = layouts();
  made.a.ld += 8;
  refused(made, "a column of A does not begin at a multiple of 16 bytes");
  made = layouts();
  made.b.ld += 8;
  refused(made, "a column of B does not, either");
  made = layouts();
  for (auto* layout : {&made.a, &made.b, &made.d}) layout->batch_count = 2;
  refused(made, "scales have no batches");
  for (const auto& [a_mode, b_mode] :
       {std::pair{kBlock, kBlock}, std::pair{0, kVector}, std::pair{kBlock, 0}, std::pair{0, 0}}) {
    set_modes(a_mode, b_mode);
    refused(layouts(), "modes");
  }
  set_modes(kBlock, kVector);
  set(CUBLASLT_MATMUL_DESC_TRANSB, static_cast<std::int32_t>(CUBLAS_OP_T));
  made = layouts(CUDA_R_32F, kInner, kRows, kInner);
  refused(made, "B is transposed");
  set(CUBLASLT_MATMUL_DESC_TRANSB, static_cast<std::int32_t>(CUBLAS_OP_N));
  set(CUBLASLT_MATMUL_DESC_COMPUTE_TYPE, static_cast<std::int32_t>(CUBLAS_COMPUTE_32F_PEDANTIC));
  refused(layouts(), "the compute type");
  set(CUBLASLT_MATMUL_DESC_COMPUTE_TYPE, static_cast<std::int32_t>(CUBLAS_COMPUTE_32F));
  Layouts bf16 = layouts();
  bf16.a.type = bf16.b.type = CUDA_R_16BF;
  refused(bf16, "bf16 has no scales");
}

TEST_F(CublasLtFp8, RefusesScalesOfBlocksOnOtherGpusThanHopper) {
  for (const char* capability : {"8.9", "10.0", "12.0"}) {
    setenv("RETINUE_EMULATOR_CAPABILITY", capability, 1);
    EXPECT_EQ(status_of(layouts()), CUBLAS_STATUS_NOT_SUPPORTED) << capability;
  }
  unsetenv("RETINUE_EMULATOR_CAPABILITY");
  EXPECT_EQ(status_of(layouts()), CUBLAS_STATUS_SUCCESS);
}

TEST_F(CublasLtFp8, RefusesScalesThatItCannotRead) {
  DeviceArray<float> d(kRows * kColumns);
  const auto run = [&](const void* a, const void* b) {
    set_scales(a, b);
    return multiply(layouts(), d.data(), nullptr);
  };
  const std::size_t a_count = 3 * kPaddedGroups, b_count = kGroups * kColumns;
  DeviceArray<float> a_fits(a_count), a_short(a_count - 1), b_fits(b_count), b_short(b_count - 1);
  EXPECT_EQ(run(a_fits.data(), b_fits.data()), CUBLAS_STATUS_SUCCESS);
  EXPECT_EQ(run(a_short.data(), b_fits.data()), CUBLAS_STATUS_INVALID_VALUE);
  EXPECT_EQ(run(a_fits.data(), b_short.data()), CUBLAS_STATUS_INVALID_VALUE);
  EXPECT_EQ(run(nullptr, b_fits.data()), CUBLAS_STATUS_INVALID_VALUE);
  EXPECT_EQ(run(a_fits.data(), b_scales_host.data()), CUBLAS_STATUS_INVALID_VALUE) << "on the host";
  EXPECT_EQ(run(a_fits.data(), b_scales->data() + 1), CUBLAS_STATUS_INVALID_VALUE) << "4 bytes";
  EXPECT_CUDA(cudaDeviceSynchronize());
}

TEST(Fp8, EveryPatternAndEveryMiddleRoundsToNearestEven) {
  const auto convert = [](float value) {
    return static_cast<int>(__nv_cvt_float_to_fp8(value, __NV_SATFINITE, __NV_E4M3));
  };
  const auto value_of = [](int bits) {
    __nv_fp8_e4m3 value;
    value.__x = static_cast<__nv_fp8_storage_t>(bits);
    return static_cast<float>(value);
  };
  EXPECT_EQ(value_of(0x01), 0x1p-9f);
  EXPECT_EQ(value_of(0x08), 0x1p-6f);
  EXPECT_EQ(value_of(0x38), 1);
  EXPECT_EQ(value_of(0x7E), 448);
  EXPECT_TRUE(std::isnan(value_of(0x7F)));
  for (int bits = 0; bits < 0x7E; ++bits) {
    EXPECT_EQ(convert(value_of(bits)), bits);
    EXPECT_EQ(convert(-value_of(bits)), bits | 0x80);
    const float middle = (value_of(bits) + value_of(bits + 1)) / 2;
    EXPECT_EQ(convert(middle), bits % 2 == 0 ? bits : bits + 1);
    EXPECT_EQ(convert(std::nextafter(middle, 1e9f)), bits + 1);
    EXPECT_EQ(convert(std::nextafter(middle, 0.0f)), bits);
  }
  EXPECT_EQ(convert(1e9f), 0x7E);
  EXPECT_EQ(convert(-INFINITY), 0xFE);
  EXPECT_EQ(convert(NAN), 0x7F);
  EXPECT_EQ(__nv_cvt_float2_to_fp8x2({1, -2}, __NV_SATFINITE, __NV_E4M3), 0xC038);
}

}  // namespace
}  // namespace cuda_emulator::testing
