// Element-wise ops: activations, the residual, casts.
#include "layers/kernels/cuda/elements.cuh"
#include "layers/kernels/cuda/fp8_quantize.cuh"
#include "layers/ops/add.h"
#include "layers/ops/cast.h"
#include "layers/ops/gelu.h"
#include "layers/ops/silu_mul.h"

namespace retinue::ops::detail {

namespace {

using namespace cuda;

template <class T, class B, int kCount>
struct Add {
  const T* a;
  const B* b;
  T* y;
  std::int64_t a_stride, b_stride, y_stride;

  __device__ void operator()(std::int64_t row, std::int64_t vector) const {
    const auto left = load<kCount>(a + row * a_stride + vector * kCount);
    const auto right = load<kCount>(b + row * b_stride + vector * kCount);
    Vector<T, kCount> sum;
    for (int i = 0; i < kCount; ++i)
      sum.at[i] = from_f32<T>(to_f32(left.at[i]) + rounded<T>(to_f32(right.at[i])));
    store(y + row * y_stride + vector * kCount, sum);
  }
};

template <class From, class To, int kCount>
struct Cast {
  const From* x;
  To* y;
  std::int64_t x_stride, y_stride;

  __device__ void operator()(std::int64_t row, std::int64_t vector) const {
    const auto in = load<kCount>(x + row * x_stride + vector * kCount);
    Vector<To, kCount> out;
    for (int i = 0; i < kCount; ++i) out.at[i] = from_f32<To>(to_f32(in.at[i]));
    store(y + row * y_stride + vector * kCount, out);
  }
};

template <class T, int kCount>
__device__ __forceinline__ Vector<T, kCount> silu_mul(const Vector<T, kCount>& gate,
                                                      const Vector<T, kCount>& up) {
  Vector<T, kCount> out;
  for (int i = 0; i < kCount; ++i) {
    const float x = to_f32(gate.at[i]);
    out.at[i] = from_f32<T>(rounded<T>(x / (expf(-x) + 1.0F)) * to_f32(up.at[i]));
  }
  return out;
}

template <class T, int kCount>
struct SiluMul {
  const T* gate_up;
  T* y;
  std::int64_t x_stride, y_stride, width;

  __device__ void operator()(std::int64_t row, std::int64_t vector) const {
    const T* gate_at = gate_up + row * x_stride + vector * kCount;
    store(y + row * y_stride + vector * kCount,
          silu_mul(load<kCount>(gate_at), load<kCount>(gate_at + width)));
  }
};

/// For a product of e4m3; over all rows of y, of which those past the last one are zeros.
template <bool kVectors>
struct SiluMulQuantized {
  const __nv_bfloat16* gate_up;
  std::int64_t x_stride;
  Fp8Operand y;

  __device__ void operator()(std::int64_t row, std::int64_t vector) const {
    const std::int64_t first = vector * kVector;
    const __nv_bfloat16* const gate = gate_up + row * x_stride;
    Vector<__nv_bfloat16, kVector> out{};
    if (row < y.rows)
      out = silu_mul(load_run<kVectors>(gate, first, y.inputs),
                     load_run<kVectors>(gate + y.inputs, first, y.inputs));
    quantize_run(y, static_cast<int>(row), static_cast<int>(first), out);
  }
};

/// 0.5 x (1 + tanh u) = x · σ(2u), u = √(2/π) (x + 0.044715 x³)
__device__ __forceinline__ float gelu_tanh(float x) {
  return x / (expf(x * __fmaf_rn(x * x, -0.0713548163F, -1.59576912F)) + 1.0F);
}
/// x · Φ(x)
__device__ __forceinline__ float gelu_erf(float x) { return x * (0.5F * erfcf(x * -0.707106781F)); }

template <class T, Gelu kForm, int kCount>
struct GeluOf {
  const T* x;
  T* y;
  std::int64_t x_stride, y_stride;

  __device__ void operator()(std::int64_t row, std::int64_t vector) const {
    const auto in = load<kCount>(x + row * x_stride + vector * kCount);
    Vector<T, kCount> out;
    for (int i = 0; i < kCount; ++i) {
      const float value = to_f32(in.at[i]);
      out.at[i] = from_f32<T>(kForm == Gelu::kTanh ? gelu_tanh(value) : gelu_erf(value));
    }
    store(y + row * y_stride + vector * kCount, out);
  }
};

}  // namespace

void add(Cuda, Context& ctx, ConstTensorView a, ConstTensorView b, TensorView y) {
  const std::int64_t width = y.dim(1);
  on_element(y.dtype(), [&](auto element) {
    using T = decltype(element);
    const auto with = [&](auto more) {
      using B = decltype(more);
      on_vector(takes_vectors(width, a, b, y), [&](auto count) {
        over_rows(ctx, y.dim(0), width / count,
                  Add<T, B, count>{pointer<T>(a), pointer<B>(b), pointer<T>(y), a.row_stride(),
                                   b.row_stride(), y.row_stride()});
      });
    };
    b.dtype() == y.dtype() ? with(T{}) : with(float{});
  });
}

void cast(Cuda, Context& ctx, ConstTensorView x, TensorView y) {
  const std::int64_t width = y.dim(1);
  on_element(x.dtype(), [&](auto from) {
    on_element(y.dtype(), [&](auto to) {
      using From = decltype(from);
      using To = decltype(to);
      on_vector(takes_vectors(width, x, y), [&](auto count) {
        over_rows(ctx, y.dim(0), width / count,
                  Cast<From, To, count>{pointer<From>(x), pointer<To>(y), x.row_stride(),
                                        y.row_stride()});
      });
    });
  });
}

void silu_mul(Cuda, Context& ctx, ConstTensorView gate_up, TensorView y) {
  const std::int64_t width = y.dim(1);
  on_element(y.dtype(), [&](auto element) {
    using T = decltype(element);
    on_vector(takes_vectors(width, gate_up, y), [&](auto count) {
      over_rows(ctx, y.dim(0), width / count,
                SiluMul<T, count>{pointer<T>(gate_up), pointer<T>(y), gate_up.row_stride(),
                                  y.row_stride(), width});
    });
  });
}

void silu_mul(Cuda, Context& ctx, ConstTensorView gate_up, const MatmulInput& y) {
  const Fp8Operand to = fp8_operand(ctx, y);
  const auto with = [&](auto vectors) {
    over_rows(ctx, to.padded, to.inputs / kVector,
              SiluMulQuantized<vectors>{pointer<__nv_bfloat16>(gate_up), gate_up.row_stride(), to});
  };
  takes_vectors(to.inputs, gate_up) ? with(std::true_type{}) : with(std::false_type{});
}

void gelu(Cuda, Context& ctx, ConstTensorView x, Gelu form, TensorView y) {
  const std::int64_t width = y.dim(1);
  on_element(y.dtype(), [&](auto element) {
    using T = decltype(element);
    on_vector(takes_vectors(width, x, y), [&](auto count) {
      if (form == Gelu::kTanh)
        over_rows(ctx, y.dim(0), width / count,
                  GeluOf<T, Gelu::kTanh, count>{pointer<T>(x), pointer<T>(y), x.row_stride(),
                                                y.row_stride()});
      else
        over_rows(ctx, y.dim(0), width / count,
                  GeluOf<T, Gelu::kErf, count>{pointer<T>(x), pointer<T>(y), x.row_stride(),
                                               y.row_stride()});
    });
  });
}

}  // namespace retinue::ops::detail
