// Ops that move rows: gathers, scatters, the embedding, the cache.
#include "layers/kernels/cuda/elements.cuh"
#include "layers/kernels/cuda/kv_e4m3.cuh"
#include "layers/kernels/cuda/layout.h"
#include "layers/ops/embedding.h"
#include "layers/ops/gather_rows.h"
#include "layers/ops/kv_write.h"
#include "layers/ops/scatter_add.h"
#include "layers/ops/scatter_rows.h"

#include <algorithm>

namespace retinue::ops::detail {

namespace {

using namespace cuda;

/// to[targets[i], :] = from[rows[i], :] in units of any size; without an index list, i is the row.
template <class Unit>
struct Copy {
  const Unit* from;
  const std::int32_t* rows;
  const std::int32_t* targets;
  Unit* to;
  std::int64_t from_stride, to_stride;

  __device__ void operator()(std::int64_t i, std::int64_t unit) const {
    const std::int64_t row = rows == nullptr ? i : rows[i];
    const std::int64_t target = targets == nullptr ? i : targets[i];
    to[target * to_stride + unit] = from[row * from_stride + unit];
  }
};

void copy_rows(Context& ctx, const ConstTensorView& from, const std::int32_t* rows,
               const std::int32_t* targets, const TensorView& to, std::int64_t count) {
  const auto size = static_cast<std::int64_t>(size_bytes(from.dtype()));
  const auto in_units_of = [&](auto unit) {
    using Unit = decltype(unit);
    const auto units = [&](std::int64_t elements) {
      return elements * size / static_cast<std::int64_t>(sizeof(Unit));
    };
    over_rows(ctx, count, units(from.dim(1)),
              Copy<Unit>{pointer<Unit>(from), rows, targets, pointer<Unit>(to),
                         units(from.row_stride()), units(to.row_stride())});
  };
  if (from.dim(1) * size % 16 == 0 && rows_aligned(from, 16) && rows_aligned(to, 16))
    in_units_of(uint4{});
  else if (size == 4)
    in_units_of(std::uint32_t{});
  else if (size == 2)
    in_units_of(std::uint16_t{});
  else if (size == 1)
    in_units_of(std::uint8_t{});
  else
    in_units_of(std::uint64_t{});
}

template <class T, int kCount>
struct ScatterAdd {
  const T* source;
  const std::int32_t *rows, *targets;
  T* x;
  std::int64_t source_stride, x_stride;

  __device__ void operator()(std::int64_t i, std::int64_t vector) const {
    const auto more = load<kCount>(source + rows[i] * source_stride + vector * kCount);
    T* at = x + targets[i] * x_stride + vector * kCount;
    auto sum = load<kCount>(at);
    for (int k = 0; k < kCount; ++k)
      sum.at[k] = from_f32<T>(to_f32(sum.at[k]) + to_f32(more.at[k]));
    store(at, sum);
  }
};

template <class T, class Y, int kCount>
struct Embed {
  const std::int32_t* ids;
  const T* table;
  Y* y;
  std::int64_t table_stride, y_stride, first_id, rows;

  __device__ void operator()(std::int64_t token, std::int64_t vector) const {
    const std::int64_t id = ids[token] - first_id;
    Vector<Y, kCount> out;
    if (id >= 0 && id < rows) {
      const auto in = load<kCount>(table + id * table_stride + vector * kCount);
      for (int k = 0; k < kCount; ++k) out.at[k] = from_f32<Y>(to_f32(in.at[k]));
    } else {
      for (int k = 0; k < kCount; ++k) out.at[k] = from_f32<Y>(-0.0F);
    }
    store(y + token * y_stride + vector * kCount, out);
  }
};

template <class T, int kCount>
struct WriteToken {
  const T *k, *v;
  const std::int32_t* slot_mapping;
  T* kv_blocks;
  std::int64_t k_stride, v_stride, kv_block_stride, block_size, head_dim;

  __device__ void operator()(std::int64_t token, std::int64_t vector) const {
    const std::int64_t channel = vector * kCount;
    const auto [head, inside] = divide(channel, head_dim);
    const auto [block, place] = divide(slot_mapping[token], block_size);
    T* keys = kv_blocks + block * kv_block_stride + head * 2 * block_size * head_dim +
              place * head_dim + inside;
    store(keys, load<kCount>(k + token * k_stride + channel));
    store(keys + block_size * head_dim, load<kCount>(v + token * v_stride + channel));
  }
};

template <class T>
struct QuantizeTokens {
  const T *k, *v;
  const std::int32_t* slot_mapping;
  E4m3Cache cache;
  std::int64_t k_stride, v_stride;
  int kv_heads;
  int lanes;  ///< per head
};

/// A thread block quantises some heads of a token: first those of k, then of v. A lane has a run.
template <class T, bool kVectors>
__global__ void __launch_bounds__(256) kv_write_e4m3_kernel(QuantizeTokens<T> w) {
  const std::int64_t token = blockIdx.x;
  const int head = static_cast<int>(blockIdx.y * blockDim.x + threadIdx.x) / w.lanes;
  const int first = static_cast<int>(threadIdx.x) % w.lanes * kVector;
  const int head_dim = w.cache.head_dim;
  const bool is_value = head >= w.kv_heads;
  const int kv_head = is_value ? head - w.kv_heads : head;
  // Lanes without work stay: shuffles need whole warps.
  const bool works = kv_head < w.kv_heads && first < head_dim;
  Vector<T, kVector> x;
  for (int i = 0; i < kVector; ++i) x.at[i] = from_f32<T>(0.0F);
  const T* const from = is_value ? w.v + token * w.v_stride : w.k + token * w.k_stride;
  if (works) x = load_run<kVectors>(from + kv_head * head_dim, first, head_dim);
  const E4m3Run run = quantized(x, w.lanes);
  if (works) store_e4m3(w.cache, w.slot_mapping[token], kv_head, is_value, first, run);
}

template <class T>
void kv_write_e4m3(Context& ctx, const ConstTensorView& k, const ConstTensorView& v,
                   const ConstTensorView& slot_mapping, const KvView& cache) {
  const int lanes = lanes_of_head(cache.head_dim);
  const std::int64_t all = 2 * cache.kv_heads_per_rank * lanes;
  const auto threads = std::min<std::int64_t>(round_up(all, 32), 256);
  const auto kernel = takes_vectors(cache.head_dim, k, v) ? kv_write_e4m3_kernel<T, true>
                                                          : kv_write_e4m3_kernel<T, false>;
  launch(ctx, kernel, Grid{k.dim(0), ceil_div(all, threads)}, static_cast<int>(threads), 0,
         QuantizeTokens<T>{pointer<T>(k), pointer<T>(v), slot_mapping.data<std::int32_t>(),
                           e4m3_cache(cache), k.row_stride(), v.row_stride(),
                           static_cast<int>(cache.kv_heads_per_rank), lanes});
}

}  // namespace

void gather_rows(Cuda, Context& ctx, ConstTensorView x, ConstTensorView rows, TensorView y) {
  copy_rows(ctx, x, rows.data<std::int32_t>(), nullptr, y, rows.dim(0));
}

void scatter_rows(Cuda, Context& ctx, ConstTensorView source, ConstTensorView rows,
                  ConstTensorView targets, TensorView x) {
  copy_rows(ctx, source, rows.data<std::int32_t>(), targets.data<std::int32_t>(), x, rows.dim(0));
}

void scatter_add(Cuda, Context& ctx, ConstTensorView source, ConstTensorView rows,
                 ConstTensorView targets, TensorView x) {
  const std::int64_t width = x.dim(1);
  on_element(x.dtype(), [&](auto element) {
    using T = decltype(element);
    on_vector(takes_vectors(width, source, x), [&](auto count) {
      over_rows(ctx, rows.dim(0), width / count,
                ScatterAdd<T, count>{pointer<T>(source), rows.data<std::int32_t>(),
                                     targets.data<std::int32_t>(), pointer<T>(x),
                                     source.row_stride(), x.row_stride()});
    });
  });
}

void embedding(Cuda, Context& ctx, ConstTensorView ids, const PackedMatrix& table,
               std::int64_t first_id, TensorView y) {
  const std::int64_t width = y.dim(1), table_stride = leading_dimension(table.inputs);
  const TensorView rows(table.data.bytes(), table.data.dtype(), {table.outputs, table.inputs},
                        table_stride);
  on_element(table.data.dtype(), [&](auto element) {
    on_element(y.dtype(), [&](auto out) {
      using T = decltype(element);
      using Y = decltype(out);
      on_vector(takes_vectors(width, rows, y), [&](auto count) {
        over_rows(ctx, y.dim(0), width / count,
                  Embed<T, Y, count>{ids.data<std::int32_t>(), pointer<T>(rows), pointer<Y>(y),
                                     table_stride, y.row_stride(), first_id, table.outputs});
      });
    });
  });
}

void kv_write(Cuda, Context& ctx, ConstTensorView k, ConstTensorView v,
              ConstTensorView slot_mapping, const KvView& cache) {
  on_element(k.dtype(), [&](auto element) {
    using T = decltype(element);
    if (cache.is_fp8()) return kv_write_e4m3<T>(ctx, k, v, slot_mapping, cache);
    on_vector(takes_vectors(cache.head_dim, k, v, cache.data), [&](auto count) {
      over_rows(
          ctx, k.dim(0), cache.kv_heads_per_rank * cache.head_dim / count,
          WriteToken<T, count>{pointer<T>(k), pointer<T>(v), slot_mapping.data<std::int32_t>(),
                               pointer<T>(cache.data), k.row_stride(), v.row_stride(),
                               cache.data.row_stride(), cache.block_size, cache.head_dim});
    });
  });
}

}  // namespace retinue::ops::detail
