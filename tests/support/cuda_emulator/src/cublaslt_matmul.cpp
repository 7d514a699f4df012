#include "cuda_emulator/schedule.h"
#include "tests/support/cuda_emulator/src/cublaslt_algorithms.h"
#include "tests/support/cuda_emulator/src/device.h"
#include "tests/support/cuda_emulator/src/device_memory.h"
#include "tests/support/cuda_emulator/src/stream.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <numeric>
#include <random>
#include <utility>
#include <vector>

namespace cuda_emulator {
namespace {

using Layout = cublasLtMatrixLayoutOpaque_t;

struct Matmul {
  MatmulProblem problem;
  MatmulConfig config;
  float alpha = 1, beta = 0;
  void* d = nullptr;
  const void* bias = nullptr;
  void* workspace = nullptr;
  std::size_t workspace_bytes = 0;
};

/// GELU in cuBLASLt's tanh form.
float gelu(float x) {
  return 0.5f * x * (1.0f + std::tanh(0.797884560802865f * (x + 0.044715f * x * x * x)));
}

float apply(const MatmulProblem& problem, float value) {
  if ((problem.epilogue & CUBLASLT_EPILOGUE_GELU) != 0) return gelu(value);
  if ((problem.epilogue & CUBLASLT_EPILOGUE_RELU) != 0) return std::max(value, 0.0f);
  return value;
}

/// The order in which the parts of split-k are added: any order where they are added in place.
std::vector<int> order_of_parts(const MatmulConfig& config) {
  std::vector<int> order(config.split_k);
  std::iota(order.begin(), order.end(), 0);
  if (config.reduction_scheme != CUBLASLT_REDUCTION_SCHEME_INPLACE) return order;
  const Schedule now = schedule();
  if (now.order == Order::kDescending) std::reverse(order.begin(), order.end());
  if (now.order == Order::kRandom) {
    std::shuffle(order.begin(), order.end(), std::mt19937_64(now.seed));
  }
  return order;
}

/// The sums [n, m] of one batch, by an algorithm that splits k as it does for all shapes.
void sum_products(const Matmul& matmul, const MatrixView& a, const MatrixView& b, float* out) {
  const MatmulProblem& p = matmul.problem;
  const int per_part = find_algorithm(matmul.config.id)->slices;
  const auto parts = static_cast<int>(matmul.config.split_k);
  const Slicing slicing{p.k, static_cast<int>(std::min<std::int64_t>(per_part * parts, p.k))};
  // Where k is too short for all slices, the parts have fewer of them.
  const int in_part = std::max(1, slicing.slices / parts);
  const std::vector<int> order = order_of_parts(matmul.config);
  const bool rounds_parts = matmul.config.reduction_scheme == CUBLASLT_REDUCTION_SCHEME_OUTPUT_TYPE;
  const std::int64_t results = p.m * p.n;
  std::vector<float> sums(static_cast<std::size_t>(results * slicing.slices));
  multiply_slices(p.m, p.n, slicing, a, b, sums.data());
  for (std::int64_t i = 0; i < results; ++i) {
    float sum = 0;
    for (std::size_t at = 0; at < order.size(); ++at) {
      const int first = order[at] * in_part;
      const int last = order[at] + 1 == parts ? slicing.slices : first + in_part;
      float part = sums[static_cast<std::size_t>(first * results + i)];
      for (int s = first + 1; s < last; ++s)
        part += sums[static_cast<std::size_t>(s * results + i)];
      if (rounds_parts) part = rounded_to(p.d.type, part);
      sum = at == 0 ? part : sum + part;
    }
    out[i] = sum;
  }
}

/// The same where blocks have scales: an algorithm splits each group of 128, and the group's sum
/// times both scales is added to the total, groups upwards.
void sum_scaled_products(const Matmul& matmul, float* out) {
  const MatmulProblem& p = matmul.problem;
  const int per_group = find_algorithm(matmul.config.id)->slices;
  const auto groups = static_cast<int>((p.k + kScaleGroup - 1) / kScaleGroup);
  const Slicing slicing{p.k, groups * per_group, kScaleGroup / per_group};
  const std::int64_t results = p.m * p.n;
  std::vector<float> sums(static_cast<std::size_t>(results * slicing.slices));
  multiply_slices(p.m, p.n, slicing, p.a, p.b, sums.data());
  for (std::int64_t j = 0; j < p.n; ++j) {
    for (std::int64_t i = 0; i < p.m; ++i) {
      float total = 0;
      for (int group = 0; group < groups; ++group) {
        float sum = 0;
        for (int s = group * per_group; s < (group + 1) * per_group; ++s)
          sum += sums[static_cast<std::size_t>((s * p.n + j) * p.m + i)];
        total += sum * (p.a_scales.at(i, group) * p.b_scales.at(j, group));
      }
      out[j * p.m + i] = total;
    }
  }
}

void run(const Matmul& matmul) {
  const MatmulProblem& p = matmul.problem;
  if (matmul.workspace != nullptr) std::memset(matmul.workspace, 0xFF, matmul.workspace_bytes);
  std::vector<float> sums(static_cast<std::size_t>(p.m * p.n));
  for (std::int32_t batch = 0; batch < p.batch; ++batch) {
    const auto in_batch = [&](const MatrixView& view) {
      MatrixView moved = view;
      moved.data = static_cast<const char*>(view.data) +
                   batch * view.batch_stride * static_cast<std::int64_t>(element_bytes(view.type));
      return moved;
    };
    if (p.a_scales.in_blocks())
      sum_scaled_products(matmul, sums.data());
    else
      sum_products(matmul, in_batch(p.a), in_batch(p.b), sums.data());
    const MatrixView c = in_batch(p.c), d = in_batch(p.d);
    for (std::int64_t j = 0; j < p.n; ++j) {
      for (std::int64_t i = 0; i < p.m; ++i) {
        float value = matmul.alpha * sums[static_cast<std::size_t>(j * p.m + i)];
        if (matmul.beta != 0) {
          value +=
              matmul.beta * load_element(c.data, c.type, i * c.row_stride + j * c.column_stride);
        }
        if (p.has_bias())
          value += load_element(matmul.bias, p.bias_type, batch * p.bias_batch_stride + i);
        store_element(const_cast<void*>(d.data), d.type, i * d.row_stride + j * d.column_stride,
                      apply(p, value));
      }
    }
  }
}

/// Whether the bytes lie in one allocation of the device.
bool is_on_device(const void* data, std::size_t bytes, int device) {
  const Allocation allocation = find_allocation(data);
  return allocation.data != nullptr && allocation.device == device &&
         static_cast<const char*>(data) + bytes <= allocation.data + allocation.bytes;
}

bool is_aligned(const void* data, std::size_t bytes) {
  return reinterpret_cast<std::uintptr_t>(data) % bytes == 0;
}

/// Takes the scales' addresses, where cuBLASLt could read all of them.
cublasStatus_t take_scales(const cublasLtMatmulDescOpaque_t& desc, int device,
                           MatmulProblem* problem) {
  if (!problem->a_scales.in_blocks()) return CUBLAS_STATUS_SUCCESS;
  for (const auto& [scales, data] : {std::pair{&problem->a_scales, desc.a_scales},
                                     std::pair{&problem->b_scales, desc.b_scales}}) {
    const auto bytes = static_cast<std::size_t>(scales->numel) * sizeof(float);
    if (!is_aligned(data, 16) || !is_on_device(data, bytes, device))
      return CUBLAS_STATUS_INVALID_VALUE;
    scales->data = static_cast<const float*>(data);
  }
  return CUBLAS_STATUS_SUCCESS;
}

/// All configurations that the heuristic offers for a problem, best first; the order depends on the
/// shape.
std::vector<MatmulConfig> candidates(const MatmulProblem& problem, std::size_t max_workspace_bytes,
                                     std::uint32_t schemes, std::size_t alignment) {
  std::vector<MatmulConfig> found;
  const auto consider = [&](const MatmulAlgorithm& algorithm, std::uint32_t split_k,
                            std::uint32_t scheme) {
    if (alignment < algorithm.alignment || (scheme & schemes) != scheme) return;
    MatmulConfig config;
    config.id = algorithm.id;
    config.types = type_key(problem.a.type, problem.d.type);
    config.tile = algorithm.tile;
    config.split_k = split_k;
    config.reduction_scheme = scheme;
    std::size_t needed = 0;
    if (check_config(config, problem, &needed) == CUBLAS_STATUS_SUCCESS &&
        needed <= max_workspace_bytes) {
      found.push_back(config);
    }
  };
  for (const MatmulAlgorithm& algorithm : matmul_algorithms()) {
    consider(algorithm, 1, CUBLASLT_REDUCTION_SCHEME_NONE);
    consider(algorithm, 2, CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE);
    consider(algorithm, 3, CUBLASLT_REDUCTION_SCHEME_INPLACE);
  }
  if (!found.empty()) {
    const auto bucket = static_cast<std::size_t>(std::log2(problem.n) + std::log2(problem.m) / 2);
    std::rotate(found.begin(), found.begin() + static_cast<std::ptrdiff_t>(bucket % found.size()),
                found.end());
  }
  return found;
}

cublasStatus_t problem_of(cublasLtHandle_t handle, cublasLtMatmulDesc_t desc, const Layout* a,
                          const Layout* b, const Layout* c, const Layout* d,
                          MatmulProblem* problem) {
  if (handle == nullptr) return CUBLAS_STATUS_NOT_INITIALIZED;
  if (desc == nullptr || a == nullptr || b == nullptr || c == nullptr || d == nullptr) {
    return CUBLAS_STATUS_INVALID_VALUE;
  }
  return make_problem(*desc, *a, *b, *c, *d, problem);
}

}  // namespace
}  // namespace cuda_emulator

using namespace cuda_emulator;

cublasStatus_t cublasLtMatmulAlgoGetHeuristic(cublasLtHandle_t handle, cublasLtMatmulDesc_t desc,
                                              cublasLtMatrixLayout_t a, cublasLtMatrixLayout_t b,
                                              cublasLtMatrixLayout_t c, cublasLtMatrixLayout_t d,
                                              cublasLtMatmulPreference_t preference, int requested,
                                              cublasLtMatmulHeuristicResult_t results[],
                                              int* returned) {
  MatmulProblem problem;
  if (returned != nullptr) *returned = 0;
  if (const auto status = problem_of(handle, desc, a, b, c, d, &problem);
      status != CUBLAS_STATUS_SUCCESS) {
    return status;
  }
  if (preference == nullptr || requested <= 0 || results == nullptr || returned == nullptr) {
    return CUBLAS_STATUS_INVALID_VALUE;
  }
  if (preference->search_mode != CUBLASLT_SEARCH_BEST_FIT) return CUBLAS_STATUS_NOT_SUPPORTED;
  const Layout* layouts[] = {a, b, c, d};
  std::size_t alignment = 256;
  for (std::size_t i = 0; i < 4; ++i) {
    alignment = std::min(
        {alignment, stride_alignment(*layouts[i]), std::size_t{preference->min_alignment[i]}});
  }
  for (const MatmulConfig& config : candidates(problem, preference->max_workspace_bytes,
                                               preference->reduction_schemes, alignment)) {
    if (*returned == requested) break;
    cublasLtMatmulHeuristicResult_t& result = results[(*returned)++];
    result = {};
    result.algo = algo_of(config);
    result.state = check_config(config, problem, &result.workspaceSize);
    result.wavesCount = 1;
  }
  return *returned > 0 ? CUBLAS_STATUS_SUCCESS : CUBLAS_STATUS_NOT_SUPPORTED;
}

cublasStatus_t cublasLtMatmulAlgoCheck(cublasLtHandle_t handle, cublasLtMatmulDesc_t desc,
                                       cublasLtMatrixLayout_t a, cublasLtMatrixLayout_t b,
                                       cublasLtMatrixLayout_t c, cublasLtMatrixLayout_t d,
                                       const cublasLtMatmulAlgo_t* algo,
                                       cublasLtMatmulHeuristicResult_t* result) {
  MatmulProblem problem;
  if (const auto status = problem_of(handle, desc, a, b, c, d, &problem);
      status != CUBLAS_STATUS_SUCCESS) {
    return status;
  }
  if (algo == nullptr || result == nullptr) return CUBLAS_STATUS_INVALID_VALUE;
  const MatmulConfig config = config_of(*algo);
  *result = {};
  result->algo = *algo;
  result->wavesCount = 1;
  result->state = check_config(config, problem, &result->workspaceSize);
  for (const Layout* layout : {a, b, c, d}) {
    if (result->state == CUBLAS_STATUS_SUCCESS &&
        stride_alignment(*layout) < find_algorithm(config.id)->alignment) {
      result->state = CUBLAS_STATUS_NOT_SUPPORTED;
    }
  }
  return result->state;
}

cublasStatus_t cublasLtMatmul(cublasLtHandle_t handle, cublasLtMatmulDesc_t desc, const void* alpha,
                              const void* a, cublasLtMatrixLayout_t a_layout, const void* b,
                              cublasLtMatrixLayout_t b_layout, const void* beta, const void* c,
                              cublasLtMatrixLayout_t c_layout, void* d,
                              cublasLtMatrixLayout_t d_layout, const cublasLtMatmulAlgo_t* algo,
                              void* workspace, std::size_t workspace_bytes,
                              cudaStream_t stream_handle) {
  Matmul matmul;
  MatmulProblem& problem = matmul.problem;
  if (const auto status =
          problem_of(handle, desc, a_layout, b_layout, c_layout, d_layout, &problem);
      status != CUBLAS_STATUS_SUCCESS) {
    return status;
  }
  const auto stream = find_stream(stream_handle);
  if (alpha == nullptr || beta == nullptr || stream == nullptr ||
      stream->device != handle->device || handle->device != current_device()) {
    return CUBLAS_STATUS_INVALID_VALUE;
  }
  matmul.alpha = *static_cast<const float*>(alpha);
  matmul.beta = *static_cast<const float*>(beta);

  // Every matrix must lie within an allocation. C is not read where beta is 0.
  struct Operand {
    const void* data;
    const Layout* layout;
  };
  std::vector<Operand> operands{{a, a_layout}, {b, b_layout}, {d, d_layout}};
  if (matmul.beta != 0) operands.push_back({c, c_layout});
  std::size_t alignment = 256;
  for (const auto& [data, layout] : operands) {
    if (!is_on_device(data, extent_bytes(*layout), handle->device))
      return CUBLAS_STATUS_INVALID_VALUE;
    alignment = std::min(alignment, stride_alignment(*layout));
    while (!is_aligned(data, alignment)) alignment /= 2;
  }
  // D may be C, element by element; any other overlap is a mistake.
  if (matmul.beta != 0 && c == d && c_layout->ld != d_layout->ld)
    return CUBLAS_STATUS_INVALID_VALUE;
  if (problem.has_bias()) {
    const auto elements =
        static_cast<std::size_t>((problem.batch - 1) * problem.bias_batch_stride + problem.m);
    if (!is_on_device(desc->bias, elements * element_bytes(problem.bias_type), handle->device)) {
      return CUBLAS_STATUS_INVALID_VALUE;
    }
  }

  if (const auto status = take_scales(*desc, handle->device, &problem);
      status != CUBLAS_STATUS_SUCCESS) {
    return status;
  }
  if (algo != nullptr) {
    matmul.config = config_of(*algo);
  } else {
    const auto found =
        candidates(problem, workspace_bytes, CUBLASLT_REDUCTION_SCHEME_MASK, alignment);
    if (found.empty()) return CUBLAS_STATUS_NOT_SUPPORTED;
    matmul.config = found.front();
  }
  std::size_t needed = 0;
  if (const auto status = check_config(matmul.config, problem, &needed);
      status != CUBLAS_STATUS_SUCCESS) {
    return status;
  }
  if (alignment < find_algorithm(matmul.config.id)->alignment || needed > workspace_bytes) {
    return CUBLAS_STATUS_INVALID_VALUE;
  }
  if (workspace_bytes > 0 &&
      (!is_aligned(workspace, 256) || !is_on_device(workspace, workspace_bytes, handle->device))) {
    return CUBLAS_STATUS_INVALID_VALUE;
  }
  problem.a.data = a;
  problem.b.data = b;
  problem.c.data = c;
  problem.d.data = d;
  matmul.bias = desc->bias;
  matmul.workspace = needed > 0 ? workspace : nullptr;
  matmul.workspace_bytes = needed;
  const cudaError_t error = enqueue(stream, work_once("cublasLtMatmul", [matmul] { run(matmul); }));
  return error == cudaSuccess ? CUBLAS_STATUS_SUCCESS : CUBLAS_STATUS_EXECUTION_FAILED;
}
