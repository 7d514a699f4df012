#include "tests/support/cuda_emulator/src/cublaslt_problem.h"

#include "tests/support/cuda_emulator/src/device.h"

#include <algorithm>
#include <utility>

namespace cuda_emulator {
namespace {

using Layout = cublasLtMatrixLayoutOpaque_t;

bool is_sound(const Layout& layout) {
  const std::uint64_t shortest = layout.row_major() ? layout.cols : layout.rows;
  return layout.rows > 0 && layout.cols > 0 && layout.ld >= static_cast<std::int64_t>(shortest) &&
         layout.batch_count >= 1 &&
         (layout.order == CUBLASLT_ORDER_COL || layout.order == CUBLASLT_ORDER_ROW);
}

MatrixView view_of(const Layout& layout, bool transposed) {
  MatrixView view;
  view.type = layout.element_type();
  view.row_stride = layout.row_major() ? layout.ld : 1;
  view.column_stride = layout.row_major() ? 1 : layout.ld;
  view.batch_stride = layout.batch_stride;
  if (transposed) std::swap(view.row_stride, view.column_stride);
  return view;
}

bool epilogue_is_supported(std::uint32_t epilogue) {
  switch (epilogue) {
    case CUBLASLT_EPILOGUE_DEFAULT:
    case CUBLASLT_EPILOGUE_BIAS:
    case CUBLASLT_EPILOGUE_GELU:
    case CUBLASLT_EPILOGUE_GELU_BIAS:
    case CUBLASLT_EPILOGUE_RELU:
    case CUBLASLT_EPILOGUE_RELU_BIAS:
      return true;
    default:
      return false;
  }
}

/// The layout of a matrix's scales.
///   outer  its rows (A) or columns (B)
MatmulScales scales_of(std::int32_t mode, std::int64_t outer, std::int64_t k) {
  MatmulScales scales;
  scales.mode = mode;
  const std::int64_t groups = (k + kScaleGroup - 1) / kScaleGroup;
  if (mode == CUBLASLT_MATMUL_MATRIX_SCALE_VEC128_32F) {
    scales.outer_stride = 1, scales.group_stride = outer;
    scales.numel = groups * outer;
  } else {
    scales.outer_block = kScaleGroup;
    scales.outer_stride = (groups + 3) / 4 * 4, scales.group_stride = 1;
    scales.numel = scales.outer_stride * ((outer + kScaleGroup - 1) / kScaleGroup);
  }
  return scales;
}

bool scale_modes_are_supported(std::int32_t a, std::int32_t b) {
  constexpr std::int32_t kVector = CUBLASLT_MATMUL_MATRIX_SCALE_VEC128_32F,
                         kBlock = CUBLASLT_MATMUL_MATRIX_SCALE_BLK128x128_32F;
  return (a == kVector && (b == kVector || b == kBlock)) || (a == kBlock && b == kVector);
}

/// Whether a product of e4m3 keeps to what cuBLASLt demands where blocks have scales: a Hopper GPU,
/// pairs of modes (128-element 1D and 128x128 2D block scaling), dimensions of 16 bytes, m and n
/// multiples of four.
bool fp8_is_supported(const cublasLtMatmulDescOpaque_t& desc, const Layout& a, const Layout& b,
                      const Layout& d) {
  const auto d_bytes = static_cast<std::int64_t>(element_bytes(d.element_type()));
  const bool columns = !a.row_major() && !b.row_major() && !d.row_major();
  const bool dimensions = a.rows % 16 == 0 && d.rows % 4 == 0 && d.cols % 4 == 0 &&
                          static_cast<std::int64_t>(d.rows) * d_bytes % 16 == 0;
  const bool strides = a.ld % 16 == 0 && b.ld % 16 == 0 && d.ld * d_bytes % 16 == 0;
  const Capability gpu = capability();
  return gpu.major == 9 && gpu.minor == 0 && desc.transpose_a == CUBLAS_OP_T &&
         desc.transpose_b == CUBLAS_OP_N && columns && dimensions && strides &&
         a.batch_count == 1 && scale_modes_are_supported(desc.a_scale_mode, desc.b_scale_mode) &&
         desc.epilogue == CUBLASLT_EPILOGUE_DEFAULT;
}

}  // namespace

std::size_t element_bytes(cudaDataType_t type) {
  return type == CUDA_R_8F_E4M3 ? 1 : type == CUDA_R_16BF ? 2 : 4;
}

bool types_are_supported(cublasComputeType_t compute_type, cudaDataType_t scale_type,
                         cudaDataType_t a, cudaDataType_t b, cudaDataType_t c, cudaDataType_t d) {
  if (scale_type != CUDA_R_32F || a != b || c != d) return false;
  const bool is_f32 =
      compute_type == CUBLAS_COMPUTE_32F || compute_type == CUBLAS_COMPUTE_32F_PEDANTIC;
  if (a == CUDA_R_16BF) return is_f32 && (d == CUDA_R_16BF || d == CUDA_R_32F);
  if (a == CUDA_R_8F_E4M3)
    return compute_type == CUBLAS_COMPUTE_32F && (d == CUDA_R_16BF || d == CUDA_R_32F);
  // TF32 and similar types would round the inputs: not emulated.
  return a == CUDA_R_32F && d == CUDA_R_32F && is_f32;
}

cublasStatus_t make_problem(const cublasLtMatmulDescOpaque_t& desc, const Layout& a,
                            const Layout& b, const Layout& c, const Layout& d,
                            MatmulProblem* problem) {
  for (const Layout* layout : {&a, &b, &c, &d}) {
    if (!is_sound(*layout)) return CUBLAS_STATUS_INVALID_VALUE;
  }
  const bool turn_a = desc.transpose_a != CUBLAS_OP_N, turn_b = desc.transpose_b != CUBLAS_OP_N;
  const std::uint64_t m = turn_a ? a.cols : a.rows, k = turn_a ? a.rows : a.cols;
  const std::uint64_t n = turn_b ? b.rows : b.cols, k_of_b = turn_b ? b.cols : b.rows;
  if (k != k_of_b || d.rows != m || d.cols != n || c.rows != m || c.cols != n) {
    return CUBLAS_STATUS_INVALID_VALUE;
  }
  for (const Layout* layout : {&b, &c, &d}) {
    if (layout->batch_count != a.batch_count) return CUBLAS_STATUS_INVALID_VALUE;
  }
  const cudaDataType_t d_type = d.element_type();
  if (!types_are_supported(static_cast<cublasComputeType_t>(desc.compute_type),
                           static_cast<cudaDataType_t>(desc.scale_type), a.element_type(),
                           b.element_type(), c.element_type(), d_type)) {
    return CUBLAS_STATUS_NOT_SUPPORTED;
  }
  if (desc.pointer_mode != CUBLASLT_POINTER_MODE_HOST || desc.transpose_c != CUBLAS_OP_N ||
      c.order != d.order || !epilogue_is_supported(desc.epilogue)) {
    return CUBLAS_STATUS_NOT_SUPPORTED;
  }
  const bool scalar = desc.a_scale_mode == CUBLASLT_MATMUL_MATRIX_SCALE_SCALAR_32F &&
                      desc.b_scale_mode == CUBLASLT_MATMUL_MATRIX_SCALE_SCALAR_32F;
  const bool fp8 = a.element_type() == CUDA_R_8F_E4M3;
  if (fp8 ? !fp8_is_supported(desc, a, b, d) : !scalar) return CUBLAS_STATUS_NOT_SUPPORTED;
  const bool has_epilogue = desc.epilogue != CUBLASLT_EPILOGUE_DEFAULT;
  const cudaDataType_t bias_type =
      desc.bias_type < 0 ? d_type : static_cast<cudaDataType_t>(desc.bias_type);
  if (has_epilogue && (d.row_major() || bias_type != d_type)) return CUBLAS_STATUS_NOT_SUPPORTED;

  problem->m = static_cast<std::int64_t>(m);
  problem->n = static_cast<std::int64_t>(n);
  problem->k = static_cast<std::int64_t>(k);
  problem->batch = a.batch_count;
  problem->a = view_of(a, turn_a);
  problem->b = view_of(b, turn_b);
  problem->c = view_of(c, false);
  problem->d = view_of(d, false);
  problem->epilogue = desc.epilogue;
  problem->bias_type = bias_type;
  problem->bias_batch_stride = desc.bias_batch_stride;
  if (fp8) {
    problem->a_scales = scales_of(desc.a_scale_mode, problem->m, problem->k);
    problem->b_scales = scales_of(desc.b_scale_mode, problem->n, problem->k);
  }
  return CUBLAS_STATUS_SUCCESS;
}

std::size_t extent_bytes(const Layout& layout) {
  const auto lines = static_cast<std::int64_t>(layout.row_major() ? layout.rows : layout.cols);
  const auto width = static_cast<std::int64_t>(layout.row_major() ? layout.cols : layout.rows);
  const std::int64_t elements =
      (layout.batch_count - 1) * layout.batch_stride + (lines - 1) * layout.ld + width;
  return static_cast<std::size_t>(elements) * element_bytes(layout.element_type());
}

std::size_t stride_alignment(const Layout& layout) {
  const std::size_t bytes = element_bytes(layout.element_type());
  std::size_t strides = static_cast<std::size_t>(layout.ld) * bytes | 256;
  if (layout.batch_count > 1) strides |= static_cast<std::size_t>(layout.batch_stride) * bytes;
  return strides & (~strides + 1);
}

}  // namespace cuda_emulator
