// Ops that treat rows one by one: norms, activations, residuals, gathers and scatters.
#include "layers/kernels/cpu/parallel_for.h"
#include "layers/kernels/cpu/simd/kernels.h"
#include "layers/ops/add.h"
#include "layers/ops/add_layer_norm.h"
#include "layers/ops/add_rms_norm.h"
#include "layers/ops/cast.h"
#include "layers/ops/embedding.h"
#include "layers/ops/gelu.h"
#include "layers/ops/layer_norm.h"
#include "layers/ops/patch_normalize.h"
#include "layers/ops/rms_norm.h"
#include "layers/ops/scatter_add.h"
#include "layers/ops/scatter_rows.h"
#include "layers/ops/silu_mul.h"

#include <cstring>
#include <vector>

namespace retinue::ops::detail {

namespace {

/// Rows per piece of work, so that a piece is about 32 Ki elements.
std::int64_t row_grain(std::int64_t width) { return 1 + 32768 / std::max<std::int64_t>(width, 1); }

}  // namespace

void rms_norm(Cpu, Context& ctx, ConstTensorView x, ConstTensorView weight, float eps,
              TensorView y) {
  on_float_dtype(x.dtype(), [&](auto element) {
    using T = decltype(element);
    const auto& kernels = simd::kernels<T>(ctx.cpu_isa());
    const std::int64_t width = x.dim(-1);
    const std::int64_t heads = x.shape().rank() == 3 ? x.dim(1) : 1;
    parallel_for(
        ctx, x.dim(0), row_grain(heads * width), [&](std::int64_t begin, std::int64_t end) {
          for (std::int64_t t = begin; t < end; ++t)
            for (std::int64_t h = 0; h < heads; ++h)
              kernels.rms_norm(x.data<T>() + t * x.row_stride() + h * width, weight.data<T>(), eps,
                               y.data<T>() + t * y.row_stride() + h * width, width);
        });
  });
}

void layer_norm(Cpu, Context& ctx, ConstTensorView x, ConstTensorView weight, ConstTensorView bias,
                float eps, TensorView y) {
  on_float_dtype(x.dtype(), [&](auto element) {
    using T = decltype(element);
    const auto& kernels = simd::kernels<T>(ctx.cpu_isa());
    parallel_for(ctx, x.dim(0), row_grain(x.dim(1)), [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t t = begin; t < end; ++t)
        kernels.layer_norm(x.data<T>() + t * x.row_stride(), weight.data<T>(), bias.data<T>(), eps,
                           y.data<T>() + t * y.row_stride(), x.dim(1));
    });
  });
}

void silu_mul(Cpu, Context& ctx, ConstTensorView gate_up, TensorView y) {
  on_float_dtype(y.dtype(), [&](auto element) {
    using T = decltype(element);
    const auto& kernels = simd::kernels<T>(ctx.cpu_isa());
    const std::int64_t width = y.dim(1);
    parallel_for(ctx, y.dim(0), row_grain(width), [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t t = begin; t < end; ++t) {
        const T* gate = gate_up.data<T>() + t * gate_up.row_stride();
        kernels.silu_mul(gate, gate + width, y.data<T>() + t * y.row_stride(), width);
      }
    });
  });
}

void gelu(Cpu, Context& ctx, ConstTensorView x, Gelu form, TensorView y) {
  on_float_dtype(y.dtype(), [&](auto element) {
    using T = decltype(element);
    const auto& kernels = simd::kernels<T>(ctx.cpu_isa());
    const auto function = form == Gelu::kTanh ? kernels.gelu_tanh : kernels.gelu_erf;
    parallel_for(ctx, y.dim(0), row_grain(y.dim(1)), [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t t = begin; t < end; ++t)
        function(x.data<T>() + t * x.row_stride(), y.data<T>() + t * y.row_stride(), y.dim(1));
    });
  });
}

void add(Cpu, Context& ctx, ConstTensorView a, ConstTensorView b, TensorView y) {
  on_float_dtype(y.dtype(), [&](auto element) {
    using T = decltype(element);
    const auto& kernels = simd::kernels<T>(ctx.cpu_isa());
    const auto with = [&](auto* function, const auto* more) {
      parallel_for(ctx, y.dim(0), row_grain(y.dim(1)), [&](std::int64_t begin, std::int64_t end) {
        for (std::int64_t t = begin; t < end; ++t)
          function(a.data<T>() + t * a.row_stride(), more + t * b.row_stride(),
                   y.data<T>() + t * y.row_stride(), y.dim(1));
      });
    };
    b.dtype() == y.dtype() ? with(kernels.add, b.data<T>())
                           : with(kernels.add_f32, b.data<float>());
  });
}

void add_rms_norm(Cpu, Context& ctx, TensorView x, ConstTensorView branch, ConstTensorView weight,
                  float eps, TensorView y) {
  on_float_dtype(x.dtype(), [&](auto element) {
    using T = decltype(element);
    const auto& kernels = simd::kernels<T>(ctx.cpu_isa());
    const auto with = [&](auto* function, const auto* more) {
      parallel_for(ctx, x.dim(0), row_grain(x.dim(1)), [&](std::int64_t begin, std::int64_t end) {
        for (std::int64_t t = begin; t < end; ++t)
          function(x.data<T>() + t * x.row_stride(), more + t * branch.row_stride(),
                   weight.data<T>(), eps, y.data<T>() + t * y.row_stride(), x.dim(1));
      });
    };
    branch.dtype() == x.dtype() ? with(kernels.add_rms_norm, branch.data<T>())
                                : with(kernels.add_f32_rms_norm, branch.data<float>());
  });
}

void add_layer_norm(Cpu, Context& ctx, TensorView x, ConstTensorView branch, ConstTensorView weight,
                    ConstTensorView bias, float eps, TensorView y) {
  on_float_dtype(x.dtype(), [&](auto element) {
    using T = decltype(element);
    const auto& kernels = simd::kernels<T>(ctx.cpu_isa());
    parallel_for(ctx, x.dim(0), row_grain(x.dim(1)), [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t t = begin; t < end; ++t)
        kernels.add_layer_norm(x.data<T>() + t * x.row_stride(),
                               branch.data<T>() + t * branch.row_stride(), weight.data<T>(),
                               bias.data<T>(), eps, y.data<T>() + t * y.row_stride(), x.dim(1));
    });
  });
}

void cast(Cpu, Context& ctx, ConstTensorView x, TensorView y) {
  on_float_dtype(x.dtype(), [&](auto from) {
    on_float_dtype(y.dtype(), [&](auto to) {
      using From = decltype(from);
      using To = decltype(to);
      parallel_for(ctx, y.dim(0), row_grain(y.dim(1)), [&](std::int64_t begin, std::int64_t end) {
        for (std::int64_t t = begin; t < end; ++t) {
          const From* in = x.data<From>() + t * x.row_stride();
          To* out = y.data<To>() + t * y.row_stride();
          if constexpr (std::is_same_v<From, To>)
            std::memmove(out, in, static_cast<std::size_t>(y.dim(1)) * sizeof(To));
          else if constexpr (std::is_same_v<From, float>)
            simd::kernels<To>(ctx.cpu_isa()).cast_from_f32(in, out, y.dim(1));
          else
            for (std::int64_t i = 0; i < y.dim(1); ++i) out[i] = to_float(in[i]);
        }
      });
    });
  });
}

void embedding(Cpu, Context& ctx, ConstTensorView ids, const PackedMatrix& table,
               std::int64_t first_id, TensorView y) {
  on_float_dtype(table.data.dtype(), [&](auto element) {
    using T = decltype(element);
    constexpr std::int64_t kStep = simd::kPair<T>;
    const std::int64_t padded = (table.inputs + kStep - 1) / kStep * kStep;
    const auto row_of = [&](auto* out, std::int64_t id) {
      using Y = std::remove_pointer_t<decltype(out)>;
      const auto put = [&](std::int64_t k, T value) {
        if constexpr (std::is_same_v<Y, T>)
          out[k] = value;
        else
          out[k] = to_float(value);
      };
      const T* in = table.data.data<T>() + id / simd::kPanel * simd::kPanel * padded +
                    id % simd::kPanel * kStep;
      for (std::int64_t k = 0; k < table.inputs; ++k)
        put(k, in[k / kStep * simd::kPanel * kStep + k % kStep]);
    };
    on_float_dtype(y.dtype(), [&](auto out_element) {
      using Y = decltype(out_element);
      if constexpr (std::is_same_v<Y, T> || std::is_same_v<Y, float>) {
        Y nothing;
        if constexpr (std::is_same_v<Y, float>)
          nothing = -0.0F;
        else
          nothing = to_bfloat16(-0.0F);
        parallel_for(ctx, y.dim(0), row_grain(y.dim(1)), [&](std::int64_t begin, std::int64_t end) {
          for (std::int64_t t = begin; t < end; ++t) {
            Y* out = y.data<Y>() + t * y.row_stride();
            const std::int64_t id = ids.data<std::int32_t>()[t] - first_id;
            if (id >= 0 && id < table.outputs)
              row_of(out, id);
            else
              std::fill_n(out, y.dim(1), nothing);
          }
        });
      }
    });
  });
}

void scatter_rows(Cpu, Context& ctx, ConstTensorView source, ConstTensorView rows,
                  ConstTensorView targets, TensorView x) {
  const auto size = static_cast<std::int64_t>(size_bytes(x.dtype()));
  parallel_for(ctx, rows.dim(0), row_grain(x.dim(1)), [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i)
      std::memcpy(x.bytes() + targets.data<std::int32_t>()[i] * x.row_stride() * size,
                  source.bytes() + rows.data<std::int32_t>()[i] * source.row_stride() * size,
                  static_cast<std::size_t>(x.dim(1) * size));
  });
}

void scatter_add(Cpu, Context& ctx, ConstTensorView source, ConstTensorView rows,
                 ConstTensorView targets, TensorView x) {
  on_float_dtype(x.dtype(), [&](auto element) {
    using T = decltype(element);
    const auto& kernels = simd::kernels<T>(ctx.cpu_isa());
    parallel_for(ctx, rows.dim(0), row_grain(x.dim(1)), [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t i = begin; i < end; ++i) {
        T* y = x.data<T>() + targets.data<std::int32_t>()[i] * x.row_stride();
        kernels.add(y, source.data<T>() + rows.data<std::int32_t>()[i] * source.row_stride(), y,
                    x.dim(1));
      }
    });
  });
}

void patch_normalize(Cpu, Context& ctx, ConstTensorView patches, std::span<const float> values,
                     TensorView y) {
  on_float_dtype(y.dtype(), [&](auto element) {
    using T = decltype(element);
    std::vector<T> table(values.size());
    for (std::size_t i = 0; i < values.size(); ++i) {
      if constexpr (std::is_same_v<T, float>)
        table[i] = values[i];
      else
        table[i] = to_bfloat16(values[i]);
    }
    const std::int64_t per_channel = y.dim(1) * 256 / static_cast<std::int64_t>(values.size());
    parallel_for(ctx, y.dim(0), row_grain(y.dim(1)), [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t t = begin; t < end; ++t) {
        const std::uint8_t* in = patches.data<std::uint8_t>() + t * patches.row_stride();
        T* out = y.data<T>() + t * y.row_stride();
        for (std::int64_t base = 0; base < y.dim(1); base += per_channel) {
          const T* of_channel = table.data() + base / per_channel * 256;
          for (std::int64_t i = 0; i < per_channel; ++i) out[base + i] = of_channel[in[base + i]];
        }
      }
    });
  });
}

}  // namespace retinue::ops::detail
