// Times the pixel path on one core, beside plain libjpeg-turbo on the same bytes in the same run.
//   image_bench [repetitions]
#include "parallel/base/rng.h"
#include "runtime/media/image.h"
#include "runtime/media/patchify.h"
#include "runtime/media/resize.h"

#include <fmt/format.h>
#include <turbojpeg.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <ctime>
#include <functional>
#include <memory>
#include <vector>

namespace retinue::runtime {
namespace {

/// Noise whose amplitude falls with frequency, as in photographs: octaves of random lattices.
std::vector<std::uint8_t> pink_noise(ImageSize size) {
  std::vector<float> sum(static_cast<std::size_t>(size.pixels() * 3), 127.5F);
  for (std::int64_t cell = 512; cell >= 1; cell /= 2) {
    const float amplitude = 6.5F * std::sqrt(static_cast<float>(cell));
    const std::int64_t columns = size.width / cell + 2;
    for (std::int64_t y = 0; y < size.height; ++y) {
      for (std::int64_t x = 0; x < size.width; ++x) {
        const auto fy = static_cast<float>(y % cell) / static_cast<float>(cell);
        const auto fx = static_cast<float>(x % cell) / static_cast<float>(cell);
        for (std::int64_t c = 0; c < 3; ++c) {
          const auto corner = [&](std::int64_t dy, std::int64_t dx) {
            const std::int64_t at = (y / cell + dy) * columns + x / cell + dx;
            const auto key = static_cast<std::uint64_t>(cell * 3 + (cell > 4 ? c : 0));
            return static_cast<float>(
                       to_unit_double(random_bits(key, static_cast<std::uint64_t>(at)))) -
                   0.5F;
          };
          const float top = corner(0, 0) * (1 - fx) + corner(0, 1) * fx;
          const float bottom = corner(1, 0) * (1 - fx) + corner(1, 1) * fx;
          sum[static_cast<std::size_t>((y * size.width + x) * 3 + c)] +=
              amplitude * (top * (1 - fy) + bottom * fy);
        }
      }
    }
  }
  std::vector<std::uint8_t> pixels(sum.size());
  std::ranges::transform(sum, pixels.begin(), [](float v) {
    return static_cast<std::uint8_t>(std::clamp(v, 0.0F, 255.0F));
  });
  return pixels;
}

std::vector<std::byte> jpeg_of(const std::vector<std::uint8_t>& pixels, ImageSize size) {
  unsigned char* data = nullptr;
  unsigned long bytes = 0;
  tjhandle handle = tjInitCompress();
  tjCompress2(handle, pixels.data(), static_cast<int>(size.width), 0, static_cast<int>(size.height),
              TJPF_RGB, &data, &bytes, TJSAMP_420, 85, 0);
  const auto* first = reinterpret_cast<const std::byte*>(data);
  std::vector<std::byte> out(first, first + bytes);
  tjFree(data);
  tjDestroy(handle);
  return out;
}

double thread_cpu_ms() {
  timespec now{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) * 1e3 + static_cast<double>(now.tv_nsec) * 1e-6;
}

/// Milliseconds of one call: median and range.
struct Timing {
  double median_ms;
  double least_ms;
  double most_ms;
};
Timing time_of(int repetitions, const std::function<void()>& work) {
  std::vector<double> ms;
  work();
  work();
  for (int i = 0; i < repetitions; ++i) {
    const double start = thread_cpu_ms();
    work();
    ms.push_back(thread_cpu_ms() - start);
  }
  std::ranges::sort(ms);
  return {ms[ms.size() / 2], ms.front(), ms.back()};
}

void print(const std::string& what, const Timing& t, double reference_ms) {
  fmt::print("{:<46} {:>8.2f} ms  [{:.2f}, {:.2f}] {:>7.1f}/s", what, t.median_ms, t.least_ms,
             t.most_ms, 1000.0 / t.median_ms);
  if (reference_ms > 0) fmt::print("  {:.2f} of decode", reference_ms / t.median_ms);
  fmt::print("\n");
}

void run_size(ImageSize size, int repetitions, const std::vector<std::int64_t>& max_pixels,
              const std::vector<std::int64_t>& min_pixels) {
  const auto pixels = pink_noise(size);
  const auto jpeg = jpeg_of(pixels, size);
  fmt::print("JPEG {} x {}, quality 85, 4:2:0, {:.2f} bits per pixel\n", size.width, size.height,
             static_cast<double>(jpeg.size()) * 8 / static_cast<double>(size.pixels()));
  std::vector<std::uint8_t> out(pixels.size());
  tjhandle handle = tjInitDecompress();
  const Timing plain = time_of(repetitions, [&] {
    tjDecompress2(handle, reinterpret_cast<const unsigned char*>(jpeg.data()), jpeg.size(),
                  out.data(), static_cast<int>(size.width), 0, static_cast<int>(size.height),
                  TJPF_RGB, 0);
  });
  tjDestroy(handle);
  print("  libjpeg-turbo alone", plain, 0);
  // Images use the same memory in turn, as in a decoding thread.
  Frames frames;
  layers::Patches patches;
  print("  open_image, decode",
        time_of(repetitions,
                [&] { frames = open_image(jpeg).value().decode(std::move(frames)).value(); }),
        plain.median_ms);
  for (std::size_t i = 0; i < max_pixels.size(); ++i) {
    VisionProcessorSpec spec;
    spec.image = {.min_pixels = min_pixels[i], .max_pixels = max_pixels[i]};
    const auto to = smart_resize_image(size, spec.factor(), spec.image);
    const auto all = time_of(repetitions, [&] {
      frames = open_image(jpeg).value().decode(std::move(frames)).value();
      patches = to_patches(frames, spec, false, std::move(patches)).value();
    });
    print(fmt::format("  decode, resize to {} x {}, patchify", to->width, to->height), all,
          plain.median_ms);
  }
}

void run_resize(ImageSize from, ImageSize to, int repetitions) {
  const auto pixels = pink_noise(from);
  std::vector<std::uint8_t> out(static_cast<std::size_t>(to.pixels() * 3));
  for (const detail::Isa isa : {detail::Isa::kPortable, detail::best_isa()}) {
    const Timing t =
        time_of(repetitions, [&] { detail::resize_bicubic_u8(pixels, from, out, to, isa); });
    print(fmt::format("resize {}x{} to {}x{}, {}", from.width, from.height, to.width, to.height,
                      isa == detail::Isa::kAvx2 ? "avx2" : "portable"),
          t, 0);
  }
}

}  // namespace
}  // namespace retinue::runtime

int main(int argc, char** argv) {
  using namespace retinue::runtime;
  const int repetitions = argc > 1 ? std::max(1, std::atoi(argv[1])) : 25;
  run_size({.height = 1024, .width = 1024}, repetitions, {16777216, 1000000, 16777216},
           {65536, 65536, 1344 * 1344});
  run_size({.height = 3000, .width = 4000}, std::max(1, repetitions / 3), {1184 * 896}, {65536});
  run_resize({.height = 3000, .width = 4000}, {.height = 896, .width = 1184},
             std::max(1, repetitions / 3));
  run_resize({.height = 1024, .width = 1024}, {.height = 1344, .width = 1344}, repetitions);
}
