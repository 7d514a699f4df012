#include "tests/support/cuda_emulator/src/cublaslt_algorithms.h"

#include <algorithm>
#include <cstring>
#include <vector>

namespace cuda_emulator {
namespace {

constexpr MatmulAlgorithm kAlgorithms[] = {
    {66, 1, 16, true, CUBLASLT_MATMUL_TILE_128x128},
    {67, 2, 16, true, CUBLASLT_MATMUL_TILE_64x128},
    {21, 4, 16, true, CUBLASLT_MATMUL_TILE_64x64},
    // With the bits of the three above, in other tiles.
    {68, 1, 16, true, CUBLASLT_MATMUL_TILE_64x64},
    {69, 2, 16, true, CUBLASLT_MATMUL_TILE_128x128},
    {22, 4, 16, true, CUBLASLT_MATMUL_TILE_64x128},
    {13, 1, 2, false, CUBLASLT_MATMUL_TILE_128x64},  // for alignments that the others refuse
};
constexpr std::uint32_t kMaxSplits = 16;

constexpr std::uint32_t kEpilogues = CUBLASLT_EPILOGUE_DEFAULT | CUBLASLT_EPILOGUE_RELU |
                                     CUBLASLT_EPILOGUE_BIAS | CUBLASLT_EPILOGUE_GELU;
constexpr std::uint32_t kStages[] = {CUBLASLT_MATMUL_STAGES_64x3, CUBLASLT_MATMUL_STAGES_64x4};

cublasStatus_t give(const void* from, std::size_t available, void* value, std::size_t bytes,
                    std::size_t* written) {
  if (bytes == 0) {
    if (written == nullptr) return CUBLAS_STATUS_INVALID_VALUE;
    *written = available;
    return CUBLAS_STATUS_SUCCESS;
  }
  if (value == nullptr || bytes < std::min(available, sizeof(std::uint32_t))) {
    return CUBLAS_STATUS_INVALID_VALUE;
  }
  const std::size_t given = std::min(bytes, available);
  std::memcpy(value, from, given);
  if (written != nullptr) *written = given;
  return CUBLAS_STATUS_SUCCESS;
}

template <class T>
cublasStatus_t give_one(T from, void* value, std::size_t bytes, std::size_t* written) {
  if (bytes != 0 && bytes != sizeof(T)) return CUBLAS_STATUS_INVALID_VALUE;
  return give(&from, sizeof(T), value, bytes, written);
}

template <class T>
cublasStatus_t take_one(T* to, const void* value, std::size_t bytes) {
  if (value == nullptr || bytes != sizeof(T)) return CUBLAS_STATUS_INVALID_VALUE;
  std::memcpy(to, value, bytes);
  return CUBLAS_STATUS_SUCCESS;
}

}  // namespace

std::span<const MatmulAlgorithm> matmul_algorithms() { return kAlgorithms; }

const MatmulAlgorithm* find_algorithm(int id) {
  for (const MatmulAlgorithm& algorithm : kAlgorithms) {
    if (algorithm.id == id) return &algorithm;
  }
  return nullptr;
}

MatmulConfig config_of(const cublasLtMatmulAlgo_t& algo) {
  MatmulConfig config;
  std::memcpy(static_cast<void*>(&config), &algo, sizeof config);
  return config;
}

cublasLtMatmulAlgo_t algo_of(const MatmulConfig& config) {
  cublasLtMatmulAlgo_t algo = {};
  std::memcpy(&algo, &config, sizeof config);
  return algo;
}

std::int32_t type_key(cudaDataType_t a, cudaDataType_t d) { return (a + 1) * 256 + (d + 1); }

cublasStatus_t check_config(const MatmulConfig& config, const MatmulProblem& problem,
                            std::size_t* workspace_bytes) {
  const MatmulAlgorithm* algorithm = find_algorithm(config.id);
  if (algorithm == nullptr || config.types != type_key(problem.a.type, problem.d.type)) {
    return CUBLAS_STATUS_INVALID_VALUE;
  }
  const bool tile_is_known = config.tile == 0 || config.tile == algorithm->tile;
  const bool stages_are_known =
      config.stages == 0 ||
      std::find(std::begin(kStages), std::end(kStages), config.stages) != std::end(kStages);
  if (!tile_is_known || !stages_are_known || config.swizzling > 1 || config.custom_option != 0 ||
      config.split_k < 1 || config.split_k > kMaxSplits) {
    return CUBLAS_STATUS_NOT_SUPPORTED;
  }
  // With scales of blocks, the parts of split-k and unaligned operands are not emulated.
  if (problem.a_scales.in_blocks() && (config.split_k > 1 || algorithm->alignment < 16))
    return CUBLAS_STATUS_NOT_SUPPORTED;
  *workspace_bytes = 0;
  if (config.split_k > 1) {
    const std::uint32_t scheme = config.reduction_scheme;
    const bool one_scheme = scheme == CUBLASLT_REDUCTION_SCHEME_INPLACE ||
                            scheme == CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE ||
                            scheme == CUBLASLT_REDUCTION_SCHEME_OUTPUT_TYPE;
    if (!algorithm->split_k || !one_scheme || config.split_k > problem.k) {
      return CUBLAS_STATUS_NOT_SUPPORTED;
    }
    const auto results = static_cast<std::size_t>(problem.m * problem.n * problem.batch);
    const std::size_t bytes = scheme == CUBLASLT_REDUCTION_SCHEME_OUTPUT_TYPE
                                  ? element_bytes(problem.d.type)
                                  : sizeof(float);
    *workspace_bytes = scheme == CUBLASLT_REDUCTION_SCHEME_INPLACE
                           ? results / 64 * 4 + 4
                           : results * bytes * config.split_k;
  } else if (config.reduction_scheme != CUBLASLT_REDUCTION_SCHEME_NONE) {
    return CUBLAS_STATUS_NOT_SUPPORTED;
  }
  return CUBLAS_STATUS_SUCCESS;
}

}  // namespace cuda_emulator

using namespace cuda_emulator;

cublasStatus_t cublasLtMatmulAlgoGetIds(cublasLtHandle_t handle, cublasComputeType_t compute_type,
                                        cudaDataType_t scale_type, cudaDataType_t a,
                                        cudaDataType_t b, cudaDataType_t c, cudaDataType_t d,
                                        int requested, int ids[], int* returned) {
  if (handle == nullptr) return CUBLAS_STATUS_NOT_INITIALIZED;
  if (requested <= 0 || ids == nullptr) return CUBLAS_STATUS_INVALID_VALUE;
  if (!types_are_supported(compute_type, scale_type, a, b, c, d))
    return CUBLAS_STATUS_NOT_SUPPORTED;
  int count = 0;
  for (const MatmulAlgorithm& algorithm : kAlgorithms) {
    if (count < requested) ids[count++] = algorithm.id;
  }
  if (returned != nullptr) *returned = count;
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmulAlgoInit(cublasLtHandle_t handle, cublasComputeType_t compute_type,
                                      cudaDataType_t scale_type, cudaDataType_t a, cudaDataType_t b,
                                      cudaDataType_t c, cudaDataType_t d, int id,
                                      cublasLtMatmulAlgo_t* algo) {
  if (handle == nullptr) return CUBLAS_STATUS_NOT_INITIALIZED;
  if (algo == nullptr || find_algorithm(id) == nullptr) return CUBLAS_STATUS_INVALID_VALUE;
  if (!types_are_supported(compute_type, scale_type, a, b, c, d))
    return CUBLAS_STATUS_NOT_SUPPORTED;
  MatmulConfig config;
  config.id = id;
  config.types = type_key(a, d);
  *algo = algo_of(config);
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmulAlgoCapGetAttribute(const cublasLtMatmulAlgo_t* algo,
                                                 cublasLtMatmulAlgoCapAttributes_t attribute,
                                                 void* value, std::size_t bytes,
                                                 std::size_t* written) {
  if (algo == nullptr) return CUBLAS_STATUS_INVALID_VALUE;
  const MatmulAlgorithm* algorithm = find_algorithm(config_of(*algo).id);
  if (algorithm == nullptr) return CUBLAS_STATUS_INVALID_VALUE;
  const std::uint32_t schemes = algorithm->split_k ? CUBLASLT_REDUCTION_SCHEME_MASK : 0;
  switch (attribute) {
    case CUBLASLT_ALGO_CAP_SPLITK_SUPPORT:
      return give_one<std::int32_t>(algorithm->split_k ? 1 : 0, value, bytes, written);
    case CUBLASLT_ALGO_CAP_REDUCTION_SCHEME_MASK:
      return give_one(schemes, value, bytes, written);
    case CUBLASLT_ALGO_CAP_CTA_SWIZZLING_SUPPORT:
      return give_one<std::uint32_t>(1, value, bytes, written);
    case CUBLASLT_ALGO_CAP_STRIDED_BATCH_SUPPORT:
    case CUBLASLT_ALGO_CAP_OUT_OF_PLACE_RESULT_SUPPORT:
      return give_one<std::int32_t>(1, value, bytes, written);
    case CUBLASLT_ALGO_CAP_TILE_IDS:
      return give(&algorithm->tile, sizeof algorithm->tile, value, bytes, written);
    case CUBLASLT_ALGO_CAP_STAGES_IDS:
      return give(kStages, sizeof kStages, value, bytes, written);
    case CUBLASLT_ALGO_CAP_CUSTOM_OPTION_MAX:
      return give_one<std::int32_t>(0, value, bytes, written);
    case CUBLASLT_ALGO_CAP_POINTER_MODE_MASK:
      return give_one<std::uint32_t>(1, value, bytes, written);
    case CUBLASLT_ALGO_CAP_EPILOGUE_MASK:
      return give_one(kEpilogues, value, bytes, written);
    case CUBLASLT_ALGO_CAP_NUMERICAL_IMPL_FLAGS:
      return give_one<std::uint64_t>(0, value, bytes, written);
    case CUBLASLT_ALGO_CAP_MIN_ALIGNMENT_A_BYTES:
    case CUBLASLT_ALGO_CAP_MIN_ALIGNMENT_B_BYTES:
    case CUBLASLT_ALGO_CAP_MIN_ALIGNMENT_C_BYTES:
    case CUBLASLT_ALGO_CAP_MIN_ALIGNMENT_D_BYTES:
      return give_one(algorithm->alignment, value, bytes, written);
  }
  return CUBLAS_STATUS_INVALID_VALUE;
}

cublasStatus_t cublasLtMatmulAlgoConfigSetAttribute(cublasLtMatmulAlgo_t* algo,
                                                    cublasLtMatmulAlgoConfigAttributes_t attribute,
                                                    const void* value, std::size_t bytes) {
  if (algo == nullptr) return CUBLAS_STATUS_INVALID_VALUE;
  MatmulConfig config = config_of(*algo);
  cublasStatus_t status = CUBLAS_STATUS_INVALID_VALUE;
  switch (attribute) {
    case CUBLASLT_ALGO_CONFIG_ID:
      break;  // only read
    case CUBLASLT_ALGO_CONFIG_TILE_ID:
      status = take_one(&config.tile, value, bytes);
      break;
    case CUBLASLT_ALGO_CONFIG_SPLITK_NUM:
      status = take_one(&config.split_k, value, bytes);
      break;
    case CUBLASLT_ALGO_CONFIG_REDUCTION_SCHEME:
      status = take_one(&config.reduction_scheme, value, bytes);
      break;
    case CUBLASLT_ALGO_CONFIG_CTA_SWIZZLING:
      status = take_one(&config.swizzling, value, bytes);
      break;
    case CUBLASLT_ALGO_CONFIG_CUSTOM_OPTION:
      status = take_one(&config.custom_option, value, bytes);
      break;
    case CUBLASLT_ALGO_CONFIG_STAGES_ID:
      status = take_one(&config.stages, value, bytes);
      break;
    case CUBLASLT_ALGO_CONFIG_INNER_SHAPE_ID:
      status = take_one(&config.inner_shape, value, bytes);
      break;
    case CUBLASLT_ALGO_CONFIG_CLUSTER_SHAPE_ID:
      status = take_one(&config.cluster_shape, value, bytes);
      break;
  }
  *algo = algo_of(config);
  return status;
}

cublasStatus_t cublasLtMatmulAlgoConfigGetAttribute(const cublasLtMatmulAlgo_t* algo,
                                                    cublasLtMatmulAlgoConfigAttributes_t attribute,
                                                    void* value, std::size_t bytes,
                                                    std::size_t* written) {
  if (algo == nullptr) return CUBLAS_STATUS_INVALID_VALUE;
  const MatmulConfig config = config_of(*algo);
  switch (attribute) {
    case CUBLASLT_ALGO_CONFIG_ID:
      return give_one(config.id, value, bytes, written);
    case CUBLASLT_ALGO_CONFIG_TILE_ID:
      return give_one(config.tile, value, bytes, written);
    case CUBLASLT_ALGO_CONFIG_SPLITK_NUM:
      return give_one(config.split_k, value, bytes, written);
    case CUBLASLT_ALGO_CONFIG_REDUCTION_SCHEME:
      return give_one(config.reduction_scheme, value, bytes, written);
    case CUBLASLT_ALGO_CONFIG_CTA_SWIZZLING:
      return give_one(config.swizzling, value, bytes, written);
    case CUBLASLT_ALGO_CONFIG_CUSTOM_OPTION:
      return give_one(config.custom_option, value, bytes, written);
    case CUBLASLT_ALGO_CONFIG_STAGES_ID:
      return give_one(config.stages, value, bytes, written);
    case CUBLASLT_ALGO_CONFIG_INNER_SHAPE_ID:
      return give_one(config.inner_shape, value, bytes, written);
    case CUBLASLT_ALGO_CONFIG_CLUSTER_SHAPE_ID:
      return give_one(config.cluster_shape, value, bytes, written);
  }
  return CUBLAS_STATUS_INVALID_VALUE;
}
