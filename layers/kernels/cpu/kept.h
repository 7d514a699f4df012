#pragma once

// Tested through tests/layers/ops/paged_attention_test.cpp.

#include "layers/kernels/cpu/simd/kernels.h"
#include "layers/ops/kv_view.h"

#include <type_traits>

/// What a KV cache keeps of keys and values of T: T itself, or e4m3.
namespace retinue::ops::detail {

/// body(Kept()).
template <class T, class Body>
void on_kept(const KvView& cache, const Body& body) {
  if (cache.is_fp8())
    body(Float8E4M3());
  else
    body(T());
}

template <class T, class Kept>
void write_token(const simd::Kernels<T>& kernels, const simd::TokenToBlock<T, Kept>& token) {
  if constexpr (std::is_same_v<T, Kept>)
    kernels.write_token(token);
  else
    kernels.write_token_fp8(token);
}

template <class T, class Kept>
void attention(const simd::Kernels<T>& kernels, const simd::AttentionBlock<T, Kept>& block) {
  if constexpr (std::is_same_v<T, Kept>)
    kernels.attention(block);
  else
    kernels.attention_fp8(block);
}

}  // namespace retinue::ops::detail
