#include "layers/ops/matmul_tuning.h"

#include "layers/ops/dispatch.h"
#include "parallel/base/rng.h"
#include "parallel/base/statistics.h"
#include "parallel/device/cuda/runtime.h"

#include <fmt/format.h>

#include <algorithm>
#include <any>
#include <bit>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <unistd.h>

namespace retinue::ops {

namespace {
constexpr const char* kFormat = "retinue matmul tuning 1";

/// The checksum in the last line shows damage anywhere before it.
std::string checksum_line(const std::string& text) {
  return fmt::format("end {:016x}\n", fnv1a64(text));
}
}  // namespace

std::int64_t MatmulTuning::bucket_of(std::int64_t rows) {
  return static_cast<std::int64_t>(std::bit_ceil(static_cast<std::uint64_t>(rows)));
}

const MatmulTuning::Algorithm* MatmulTuning::find(const MatmulKind& kind, std::int64_t rows) const {
  const auto found = algorithms_.find({kind, bucket_of(rows)});
  return found == algorithms_.end() ? nullptr : &found->second;
}

void MatmulTuning::put(const MatmulKind& kind, std::int64_t bucket, const Algorithm& algorithm) {
  algorithms_[{kind, bucket_of(bucket)}] = algorithm;
}

MatmulTuning MatmulTuning::load(const std::string& path, const std::string& machine,
                                std::string& why_not) {
  std::ifstream file(path, std::ios::binary);
  if (!file) {
    why_not = fmt::format("[matmul tuning] {} does not exist", path);
    return {};
  }
  std::stringstream all;
  all << file.rdbuf();
  const std::string text = all.str();
  const auto damaged = [&] {
    why_not = fmt::format("[matmul tuning] {} is damaged; products are timed again", path);
    return MatmulTuning{};
  };
  const std::size_t checksum_at = text.rfind("end ");
  if (checksum_at == std::string::npos ||
      text.substr(checksum_at) != checksum_line(text.substr(0, checksum_at)))
    return damaged();
  std::istringstream lines(text.substr(0, checksum_at));
  std::string format, of;
  std::getline(lines, format), std::getline(lines, of);
  if (format != kFormat || of != machine) {
    why_not =
        fmt::format("[matmul tuning] {} is of \"{}\", not of \"{}\"; products are timed again",
                    path, of, machine);
    return {};
  }
  MatmulTuning tuning;
  MatmulKind kind;
  int bias = 0, y = 0;
  std::int64_t bucket = 0;
  while (lines >> kind.inputs >> kind.outputs >> kind.leaves >> bias >> y >> bucket) {
    kind.bias = bias != 0, kind.y = y != 0 ? DType::kF32 : DType::kBF16;
    Algorithm algorithm{};
    for (std::uint64_t& word : algorithm) lines >> std::hex >> word;
    lines >> std::dec;
    if (!lines || bucket < 1) return damaged();
    tuning.put(kind, bucket, algorithm);
  }
  if (!lines.eof()) return damaged();
  why_not.clear();
  return tuning;
}

void MatmulTuning::save(const std::string& path, const std::string& machine) const {
  std::string text = fmt::format("{}\n{}\n", kFormat, machine);
  for (const auto& [key, algorithm] : algorithms_) {
    const auto& [kind, bucket] = key;
    text += fmt::format("{} {} {} {} {} {}", kind.inputs, kind.outputs, kind.leaves,
                        kind.bias ? 1 : 0, kind.y == DType::kF32 ? 1 : 0, bucket);
    for (const std::uint64_t word : algorithm) text += fmt::format(" {:x}", word);
    text += "\n";
  }
  text += checksum_line(text);
  // Ranks of one host may write at once: each writes a file of its own, and the last rename wins.
  const std::string part = fmt::format("{}.{}.part", path, ::getpid());
  const auto fail = [&](const char* what) {
    const std::string reason = std::strerror(errno);
    std::remove(part.c_str());
    throw SystemError(fmt::format("[matmul tuning] {}: {}: {}", path, what, reason));
  };
  std::error_code ignored;  // opening the file says what is wrong
  std::filesystem::create_directories(std::filesystem::path(path).parent_path(), ignored);
  std::FILE* file = std::fopen(part.c_str(), "wb");
  if (file == nullptr) fail("cannot be made");
  bool ok = std::fwrite(text.data(), 1, text.size(), file) == text.size();
  ok = std::fclose(file) == 0 && ok;
  if (!ok) fail("cannot be written");
  if (std::rename(part.c_str(), path.c_str()) != 0) fail("cannot be renamed");
}

std::string MatmulTuning::default_path(const std::string& machine) {
  const char* cache = std::getenv("XDG_CACHE_HOME");
  const char* home = std::getenv("HOME");
  const std::string name = fmt::format("retinue/matmul-{:016x}.txt", fnv1a64(machine));
  // The specification of XDG_CACHE_HOME wants a relative path ignored.
  if (cache != nullptr && *cache == '/') return fmt::format("{}/{}", cache, name);
  if (home != nullptr && *home != '\0') return fmt::format("{}/.cache/{}", home, name);
  return {};
}

const MatmulTuning* matmul_tuning(const Context& ctx) {
  const auto* attached = std::any_cast<const MatmulTuning*>(&ctx.attachment());
  return attached == nullptr ? nullptr : *attached;
}

void set_matmul_tuning(Context& ctx, const MatmulTuning* tuning) { ctx.attach(tuning); }

MatmulTimer event_timer(Context& ctx) {
  return [&ctx](const std::function<void()>& work) {
    std::vector<double> seconds(5);
    work();  // the library loads its kernels lazily
    for (double& s : seconds) {
      Event begin(ctx.device()), end(ctx.device());
      begin.record(ctx.stream());
      work();
      end.record(ctx.stream());
      end.synchronize();
      s = end.seconds_since(begin);
    }
    return median(seconds);
  };
}

void tune_matmul(Context& ctx, const TunedProduct& product, const MatmulTimer& timer,
                 MatmulTuning& tuning) {
  check(product.max_rows >= 1 && product.leaves >= 1 && product.w.inputs % product.leaves == 0,
        "tune_matmul: rows and leaves of a product");
  check(product.y == DType::kBF16 || product.y == DType::kF32, "tune_matmul: y is bf16 or f32");
  if (product.w.data.dtype() == DType::kF8E4M3 || product.w.own_kernel) return;
  on_backend(ctx, "tune_matmul",
             [&](auto backend) { detail::tune_matmul(backend, ctx, product, timer, tuning); });
}

std::string matmul_library(Device device) {
  if constexpr (build::kCuda)
    if (device.type == DeviceType::kCuda) return detail::matmul_library_on_cuda(device);
  return "cpu";
}

std::string matmul_machine(Device device) {
  if constexpr (build::kCuda)
    if (device.type == DeviceType::kCuda)
      return fmt::format("{}, driver {}", matmul_library(device), cuda::driver_version());
  return matmul_library(device);
}

namespace detail {
void tune_matmul(Cpu, Context&, const TunedProduct&, const MatmulTimer&, MatmulTuning&) {}
}  // namespace detail

}  // namespace retinue::ops
