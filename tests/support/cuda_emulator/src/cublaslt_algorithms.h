#pragma once

#include "tests/support/cuda_emulator/src/cublaslt_problem.h"

#include <cstdint>
#include <span>

namespace cuda_emulator {

/// One of the emulated algorithms. Those that split sums differently have other bits.
struct MatmulAlgorithm {
  int id;
  int slices;               // of k, before split-k
  std::uint32_t alignment;  // of addresses and strides, in bytes
  bool split_k;
  std::uint32_t tile;  // the one besides UNDEFINED
};

std::span<const MatmulAlgorithm> matmul_algorithms();
/// Null where no algorithm has the id.
const MatmulAlgorithm* find_algorithm(int id);

/// The contents of cublasLtMatmulAlgo_t.
struct MatmulConfig {
  std::int32_t id = -1;
  std::int32_t types = 0;  // of A and D, for which the algorithm was made
  std::uint32_t tile = 0, split_k = 1, reduction_scheme = 0;
  std::uint32_t swizzling = 0, custom_option = 0, stages = 0;
  std::uint16_t inner_shape = 0, cluster_shape = 0;
};
static_assert(sizeof(MatmulConfig) <= sizeof(cublasLtMatmulAlgo_t));

MatmulConfig config_of(const cublasLtMatmulAlgo_t& algo);
cublasLtMatmulAlgo_t algo_of(const MatmulConfig& config);
std::int32_t type_key(cudaDataType_t a, cudaDataType_t d);

/// Whether the configuration can compute the problem, and the workspace that it needs.
cublasStatus_t check_config(const MatmulConfig& config, const MatmulProblem& problem,
                            std::size_t* workspace_bytes);

}  // namespace cuda_emulator
