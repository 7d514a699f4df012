#include "layers/model/numerics.h"

#include "layers/ops/matmul_tuning.h"
#include "parallel/base/build_config.h"
#include "parallel/base/hash.h"
#include "parallel/device/cuda/runtime.h"

#include <fmt/format.h>

namespace retinue::layers {

namespace {

/// Which kernels run: bits differ between kinds of devices. The compute capability alone decides
/// between kernels of our own (ops::fp8_kernel).
std::string kernels_of(const Context& ctx) {
  if (ctx.device().type == DeviceType::kCpu) return fmt::format("cpu {}", name(ctx.cpu_isa()));
  if constexpr (build::kCuda)
    if (ctx.device().index < cuda::availability().devices) {
      const cuda::DeviceFacts facts = cuda::device_facts(ctx.device().index);
      return fmt::format("cuda sm_{}{}, runtime {}; products by {}", facts.major, facts.minor,
                         cuda::runtime_version(), ops::matmul_library(ctx.device()));
    }
  return "cuda, planned";
}

}  // namespace

std::vector<std::pair<std::string, std::string>> numerics_constants(const Context& ctx) {
  // The revision of the contract: raised when a kernel changes the order of a sum or a rounding.
  constexpr int kContract = 2;
  const bool cpu = ctx.device().type == DeviceType::kCpu;
  return {{"contract", std::to_string(kContract)},
          {"kernels", kernels_of(ctx)},
          {"most_leaves", std::to_string(kMaxLeaves)},
          {"between_ranks", "float32"},
          {"attention_tile", cpu ? "128" : "64"},
          {"attention_split", "512"},
          {"dtypes", cpu ? "bfloat16, float32" : "bfloat16"}};
}

Numerics numerics(const ModelConfig& config, const Computation& computation, const Context& ctx) {
  Numerics n;
  for (const auto& [constant, value] : numerics_constants(ctx))
    n.description += fmt::format("{} {}; ", constant, value);
  n.description += fmt::format("dtype {}; ", name(computation.dtype));
  if (config.fp8)
    n.description += fmt::format("weights {} in blocks of {}, activations in groups of {}; ",
                                 name(DType::kF8E4M3), kFp8Block, kFp8Block);
  if (computation.kept_dtype() != computation.dtype)
    n.description +=
        fmt::format("keys and values {}, a scale for each head; ", name(computation.kept_dtype()));
  n.description += computation.ordered
                       ? fmt::format("leaves {} in a binary tree",
                                     reduction_leaves(config, computation.most_leaves))
                       : std::string("sums between ranks in the order of NCCL");
  if (computation.wgmma) n.description += "; row-parallel products by wgmma, 16 inputs at a time";
  n.fingerprint = sha256_hex(n.description);
  return n;
}

}  // namespace retinue::layers
