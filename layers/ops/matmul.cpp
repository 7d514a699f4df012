#include "layers/ops/matmul.h"

#include "layers/ops/dispatch.h"
#include "layers/ops/fp8_matmul.h"
#include "layers/ops/matmul_input.h"
#include "parallel/base/reduce_tree.h"

namespace retinue::ops {

namespace {

bool is_float(DType dtype) { return dtype == DType::kF32 || dtype == DType::kBF16; }

/// Of `a` all but the scratch.
void run(Context& ctx, detail::MatmulArgs a) {
  const auto& [x, w, bias, leaves, y, scratch, quantized] = a;
  check(x.shape().rank() == 2 && y.shape().rank() == 2, "matmul: x and y are matrices");
  const bool fp8 = w.data.dtype() == DType::kF8E4M3;
  check(is_float(x.dtype()) && (fp8 ? x.dtype() == DType::kBF16 : w.data.dtype() == x.dtype()),
        "matmul: x and w are both f32 or both bf16, or x is bf16 and w f8_e4m3");
  check(y.dtype() == x.dtype() || y.dtype() == DType::kF32, "matmul: y has the dtype of x, or f32");
  check(x.dim(1) == w.inputs && w.inputs >= 1, "matmul: columns of x are the inputs of w");
  check(y.dim(0) == x.dim(0) && y.dim(1) == w.outputs, "matmul: y is [tokens, outputs]");
  check(bias.numel() == 0 || (bias.numel() == w.outputs && bias.dtype() == x.dtype()),
        "matmul: bias is [outputs]");
  check(is_tree_size(leaves) && w.inputs % leaves == 0, "matmul: leaves divide the inputs");
  check(leaves == 1 || x.dtype() == DType::kF32 || (w.inputs / leaves) % 2 == 0,
        "matmul: a bf16 leaf has an even number of inputs");
  check(!w.own_kernel || (w.data.dtype() == DType::kBF16 && bias.numel() == 0 &&
                          ctx.device().type == DeviceType::kCuda),
        "matmul: the own kernel multiplies bf16 on CUDA, without a bias");
  check(!fp8 || (w.inputs % (leaves * kFp8Group) == 0 && bias.numel() == 0),
        "matmul: a leaf of f8_e4m3 has whole groups, and no bias");
  a.scratch = ctx.scratch(
      fp8 ? detail::fp8_matmul_scratch_bytes(ctx, x.dim(0), w, leaves, quantized != nullptr)
          : detail::matmul_scratch_bytes(ctx.device(), x.dtype(), x.dim(0), w.inputs, w.outputs,
                                         leaves));
  if (x.dim(0) == 0 || w.outputs == 0) return;
  if (fp8) {
    on_backend(ctx, "fp8_matmul", [&](auto backend) { detail::fp8_matmul(backend, ctx, a); });
    return;
  }
  on_backend(ctx, "matmul", [&](auto backend) { detail::matmul(backend, ctx, a); });
}

void run(Context& ctx, const MatmulInput& x, const PackedMatrix& w, ConstTensorView bias,
         int leaves, TensorView y) {
  check(x.is_for(w, leaves), "matmul: x was made for another product");
  if (!x.is_quantized()) return run(ctx, {x.tensor(), w, bias, leaves, y, nullptr});
  const ConstTensorView shape_alone(nullptr, x.dtype(), Shape{x.rows(), x.inputs()});
  run(ctx, {shape_alone, w, bias, leaves, y, nullptr, &x});
}

}  // namespace

void pack_rows(Context& ctx, ConstTensorView rows, std::int64_t first_output,
               const PackedMatrix& w) {
  check(rows.shape().rank() == 2 && rows.dim(1) == w.inputs && rows.dtype() == w.data.dtype(),
        "pack_rows: rows are [count, inputs] of w's dtype");
  check(first_output >= 0 && first_output + rows.dim(0) <= w.outputs, "pack_rows: rows beyond w");
  on_backend(ctx, "pack_rows",
             [&](auto backend) { detail::pack_rows(backend, ctx, rows, first_output, w); });
}

void matmul(Context& ctx, ConstTensorView x, const PackedMatrix& w, ConstTensorView bias,
            TensorView y) {
  run(ctx, {x, w, bias, 1, y, nullptr});
}
void matmul(Context& ctx, const MatmulInput& x, const PackedMatrix& w, ConstTensorView bias,
            TensorView y) {
  run(ctx, x, w, bias, 1, y);
}

void matmul_tree(Context& ctx, ConstTensorView x, const PackedMatrix& w, int leaves, TensorView y) {
  run(ctx, {x, w, {}, leaves, y, nullptr});
}
void matmul_tree(Context& ctx, const MatmulInput& x, const PackedMatrix& w, int leaves,
                 TensorView y) {
  run(ctx, x, w, {}, leaves, y);
}

}  // namespace retinue::ops
