#include "layers/kernels/cuda/elements.cuh"
#include "layers/ops/patch_normalize.h"

namespace retinue::ops::detail {

namespace {

using namespace cuda;

constexpr int kThreads = 256;
constexpr int kBytes = 256;  // values of a byte
/// Channels whose tables fit into the parameters of a launch.
constexpr std::int64_t kChannelsPerLaunch = 3;
struct Values {
  float of[kChannelsPerLaunch * kBytes];
};

/// A thread block per patch. It copies the table to shared memory, since threads read different
/// entries.
template <class T>
__global__ void __launch_bounds__(kThreads)
    patch_normalize_kernel(const std::uint8_t* patches, std::int64_t patches_stride,
                           const __grid_constant__ Values values, int channels,
                           std::int64_t per_channel, T* y, std::int64_t y_stride) {
  __shared__ T table[kChannelsPerLaunch * kBytes];
  for (int i = static_cast<int>(threadIdx.x); i < channels * kBytes; i += kThreads)
    table[i] = from_f32<T>(values.of[i]);
  __syncthreads();
  const std::int64_t patch = blockIdx.x;
  for (int channel = 0; channel < channels; ++channel) {
    const std::uint8_t* in = patches + patch * patches_stride + channel * per_channel;
    T* out = y + patch * y_stride + channel * per_channel;
    for (std::int64_t i = threadIdx.x; i < per_channel; i += kThreads)
      out[i] = table[channel * kBytes + in[i]];
  }
}

}  // namespace

void patch_normalize(Cuda, Context& ctx, ConstTensorView patches, std::span<const float> values,
                     TensorView y) {
  const auto channels = static_cast<std::int64_t>(values.size()) / kBytes;
  const std::int64_t per_channel = y.dim(1) / channels;
  on_element(y.dtype(), [&](auto element) {
    using T = decltype(element);
    for (std::int64_t first = 0; first < channels; first += kChannelsPerLaunch) {
      const std::int64_t count = std::min(kChannelsPerLaunch, channels - first);
      Values chunk{};
      std::copy_n(values.begin() + first * kBytes, count * kBytes, chunk.of);
      launch(ctx, patch_normalize_kernel<T>, {y.dim(0)}, kThreads, 0,
             patches.data<std::uint8_t>() + first * per_channel, patches.row_stride(), chunk,
             static_cast<int>(count), per_channel, pointer<T>(y) + first * per_channel,
             y.row_stride());
    }
  });
}

}  // namespace retinue::ops::detail
