// Times each op on CUDA, by events on the stream, as a part of the device's limit.
//   cuda_kernels_bench [--rounds N] [--only GROUP] [--json FILE] [--small yes]
// The limit of an op is the larger of two times: its bytes at the bandwidth of a copy, and its
// operations at the rate of a large cuBLASLt matmul, both measured in this run. A ratio is limit
// over median. Before each sample the L2 cache is overwritten, which also lets the host run ahead,
// so that no launch delays the stream. --small: shapes that an emulator can finish, to try the
// program.
#include "layers/ops/add.h"
#include "layers/ops/add_rms_norm.h"
#include "layers/ops/attention.h"
#include "layers/ops/cast.h"
#include "layers/ops/embedding.h"
#include "layers/ops/fp8_matmul.h"
#include "layers/ops/gather_rows.h"
#include "layers/ops/gelu.h"
#include "layers/ops/interpolate.h"
#include "layers/ops/kv_write.h"
#include "layers/ops/layer_norm.h"
#include "layers/ops/matmul.h"
#include "layers/ops/matmul_input.h"
#include "layers/ops/matmul_tuning.h"
#include "layers/ops/norm_rope_kv_write.h"
#include "layers/ops/paged_attention.h"
#include "layers/ops/patch_normalize.h"
#include "layers/ops/random_fill.h"
#include "layers/ops/rms_norm.h"
#include "layers/ops/rope.h"
#include "layers/ops/sample.h"
#include "layers/ops/scatter_add.h"
#include "layers/ops/silu_mul.h"
#include "layers/ops/top_k.h"
#include "parallel/base/build_config.h"
#include "parallel/base/rng.h"
#include "parallel/device/cuda/runtime.h"
#include "tests/bench/cuda_ceilings.h"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <fstream>
#include <functional>
#include <string>
#include <vector>

namespace retinue::bench {
namespace {

struct Options {
  int rounds = 20;
  std::string only, json;
  bool small = false;
};

struct Sample {
  double median_s = 0, least_s = 0, most_s = 0;
};

class Bench {
 public:
  explicit Bench(const Options& options)
      : options_(options),
        facts_(cuda::device_facts(0)),
        ctx_(kDevice, 1, Buffer(ledger_, kDevice, 1 << 20, MemoryTag::kActivations),
             Buffer(ledger_, kDevice, std::size_t{options.small ? 64U : 1024U} << 20,
                    MemoryTag::kScratch)),
        flush_(ledger_, kDevice, std::size_t{options.small ? 1U : 256U} << 20, MemoryTag::kScratch),
        noise_(Buffer::staging(ledger_, kDevice, kNoiseBytes)) {
    // bf16 between 0.25 and 4 with either sign: random, never zero.
    auto* values = reinterpret_cast<std::uint16_t*>(noise_.data());
    for (std::size_t i = 0; i < kNoiseBytes / 2; ++i) {
      const std::uint64_t bits = random_bits(1, i);
      values[i] = static_cast<std::uint16_t>((bits & 0x8000U) | (0x3E80U + (bits & 0x1FFU)));
    }
  }

  int run() {
    fmt::print("{} on {}, sm_{}{}, {} multiprocessors, {} rounds\n", build::kRevision, facts_.name,
               facts_.major, facts_.minor, facts_.multiprocessors, options_.rounds);
    ceilings();
    begin_json();
    if (wanted("matmul")) matmuls();
    if (wanted("attention")) attentions();
    if (wanted("rows")) rows();
    if (wanted("moves")) moves();
    if (json_.is_open()) json_ << "\n]}\n";
    return failed_ ? 1 : 0;
  }

 private:
  static constexpr Device kDevice{DeviceType::kCuda, 0};
  static constexpr std::size_t kNoiseBytes = std::size_t{8} << 20;

  bool wanted(const char* group) {
    if (!options_.only.empty() && options_.only != group) return false;
    fmt::print("\n{:<10} {:<50} {:>10} {:>10} {:>9} {:>9} {:>10} {:>6}\n", group, "", "us", "least",
               "GB/s", "TFLOP/s", "limit us", "ratio");
    group_ = group;
    return true;
  }
  /// A length, divided with --small.
  [[nodiscard]] std::int64_t many(std::int64_t n) const {
    return options_.small ? std::max<std::int64_t>(1, n / 64) : n;
  }

  Tensor tensor(const Shape& shape, DType dtype = DType::kBF16) {
    Tensor t(ledger_, kDevice, dtype, shape, MemoryTag::kActivations);
    for (std::size_t at = 0; at < t.view().size_bytes(); at += kNoiseBytes)
      ctx_.stream().copy(t.view().bytes() + at, noise_.data(),
                         std::min(kNoiseBytes, t.view().size_bytes() - at));
    ctx_.stream().synchronize();
    return t;
  }
  Tensor table(const Shape& shape, const std::vector<std::int32_t>& values) {
    Tensor t(ledger_, kDevice, DType::kI32, shape, MemoryTag::kStaging);
    ctx_.stream().copy(t.view().bytes(), values.data(), t.view().size_bytes());
    ctx_.stream().synchronize();
    return t;
  }
  Tensor counted(std::int64_t n, std::int64_t step, std::int64_t below) {
    std::vector<std::int32_t> values;
    for (std::int64_t i = 0; i < n; ++i)
      values.push_back(static_cast<std::int32_t>(i * step % below));
    return table({n}, values);
  }

  Sample time(const std::function<void()>& body) {
    const auto rounds = static_cast<std::size_t>(options_.rounds);
    std::vector<Event> begin, end;
    for (int i = 0; i < 3; ++i) body();  // kernels load, algorithms are chosen
    for (std::size_t i = 0; i < rounds; ++i) {
      begin.emplace_back(kDevice), end.emplace_back(kDevice);
      ctx_.stream().zero(flush_.data(), flush_.size_bytes());
      begin.back().record(ctx_.stream());
      body();
      end.back().record(ctx_.stream());
    }
    ctx_.stream().synchronize();
    std::vector<double> seconds;
    for (std::size_t i = 0; i < rounds; ++i) seconds.push_back(end[i].seconds_since(begin[i]));
    std::ranges::sort(seconds);
    return {seconds[rounds / 2], seconds.front(), seconds.back()};
  }

  void ceilings() {
    const std::int64_t side = options_.small ? 128 : 8192;
    const std::size_t size_bytes = std::size_t{options_.small ? 1U : 1024U} << 20;
    {
      const Buffer from(ledger_, kDevice, size_bytes, MemoryTag::kScratch);
      const Buffer to(ledger_, kDevice, size_bytes, MemoryTag::kScratch);
      ctx_.stream().zero(from.data(), size_bytes);
      const Sample copy = time([&] { ctx_.stream().copy(to.data(), from.data(), size_bytes); });
      bytes_per_s_ = 2 * static_cast<double>(size_bytes) / copy.least_s;
    }
    Tensor x = tensor({side, side}), w = tensor({side, side}), y = tensor({side, side});
    const Buffer workspace(ledger_, kDevice, std::size_t{32} << 20, MemoryTag::kScratch);
    const Sample product =
        time(best_cublaslt_matmul(ctx_, x.view().bytes(), w.view().bytes(), y.view().bytes(), side,
                                  side, side, workspace.data(), workspace.size_bytes()));
    flops_per_s_ = 2 * std::pow(static_cast<double>(side), 3) / product.median_s;
    fmt::print(
        "copy of {} MiB: {:.0f} GB/s read and written; cuBLASLt matmul of {}: {:.1f} TFLOP/s\n",
        size_bytes >> 20, bytes_per_s_ / 1e9, side, flops_per_s_ / 1e12);
  }

  void measure(const std::string& name, double bytes, double flops,
               const std::function<void()>& body) {
    nlohmann::ordered_json row = {{"group", group_}, {"name", name}};
    try {
      const Sample s = time(body);
      const double limit_s = std::max(bytes / bytes_per_s_, flops / flops_per_s_);
      const double ratio = limit_s / s.median_s;
      fmt::print("{:<10} {:<50} {:>10.1f} {:>10.1f} {:>9.1f} {:>9.2f} {:>10.1f} {:>6.3f}\n", "",
                 name, s.median_s * 1e6, s.least_s * 1e6, bytes / s.median_s / 1e9,
                 flops / s.median_s / 1e12, limit_s * 1e6, ratio);
      row.update({{"us", s.median_s * 1e6},
                  {"least_us", s.least_s * 1e6},
                  {"most_us", s.most_s * 1e6},
                  {"bytes", bytes},
                  {"flops", flops},
                  {"gb_per_s", bytes / s.median_s / 1e9},
                  {"tflop_per_s", flops / s.median_s / 1e12},
                  {"bound", bytes / bytes_per_s_ > flops / flops_per_s_ ? "bytes" : "flops"},
                  {"limit_us", limit_s * 1e6},
                  {"ratio", ratio}});
    } catch (const std::exception& error) {
      // An op that fails must not hide the results of the others.
      fmt::print("{:<10} {:<50} FAILED: {}\n", "", name, error.what());
      row["error"] = error.what();
      failed_ = true;
    }
    std::fflush(stdout);
    if (json_.is_open()) json_ << (rows_written_++ == 0 ? "\n" : ",\n") << row.dump() << std::flush;
  }

  /// One result per line, so that line tools can read it; each is written at once, so that a crash
  /// loses only later ones.
  void begin_json() {
    if (options_.json.empty()) return;
    json_.open(options_.json);
    const nlohmann::ordered_json machine = {
        {"device", facts_.name},
        {"compute_capability", fmt::format("{}.{}", facts_.major, facts_.minor)},
        {"multiprocessors", facts_.multiprocessors},
        {"memory_bytes", facts_.memory_bytes},
        {"l2_bytes", facts_.l2_bytes},
        {"driver", cuda::driver_version()},
        {"runtime", cuda::runtime_version()},
        {"copy_gb_per_s", bytes_per_s_ / 1e9},
        {"matmul_tflop_per_s", flops_per_s_ / 1e12},
        {"rounds", options_.rounds},
        {"small", options_.small}};
    json_ << "{\"schema_version\": 1, \"bench\": \"cuda_kernels\", \"revision\": \""
          << build::kRevision << "\", \"machine\": " << machine.dump() << ",\n\"results\": ["
          << std::flush;
    if (!json_.good()) throw UsageError("[bench] cannot write " + options_.json);
  }

  void matmul(const char* what, std::int64_t m, std::int64_t n, std::int64_t k, int leaves = 1) {
    if (options_.small) m = std::min<std::int64_t>(m, 64), n = many(n) * 8, k = many(k) * 8;
    Tensor w = tensor({ops::packed_numel(kDevice, DType::kBF16, n, k)});
    multiply(what, m, {w, n, k}, leaves);
  }
  /// As a job multiplies: by the fastest algorithm of equal bits for each bucket of rows.
  void tuned_matmuls(const char* what, std::int64_t n, std::int64_t k, int leaves) {
    if (options_.small) n = many(n) * 8, k = many(k) * 8;
    const std::int64_t most = many(2048);
    Tensor w = tensor({ops::packed_numel(kDevice, DType::kBF16, n, k)});
    const ops::TunedProduct product{.w = {w, n, k},
                                    .leaves = leaves,
                                    .y = leaves == 1 ? DType::kBF16 : DType::kF32,
                                    .max_rows = most,
                                    .bits = ops::TunedBits::kEqual};
    ops::MatmulTuning tuning;
    {
      const auto bytes = static_cast<std::size_t>(most * (n + k + 64) * 4);
      Context ctx(kDevice, 1, Buffer(ledger_, kDevice, bytes, MemoryTag::kActivations),
                  Buffer(ledger_, kDevice, std::size_t{512} << 20, MemoryTag::kScratch));
      ops::tune_matmul(ctx, product, ops::event_timer(ctx), tuning);
    }
    ops::set_matmul_tuning(ctx_, &tuning);
    const std::string name = fmt::format("tuned {}", what);
    for (const std::int64_t m : {1, 8, 43, 384, 411, 512, 1131, 2048})
      if (m <= most) multiply(name.c_str(), m, product.w, leaves);
    ops::set_matmul_tuning(ctx_, nullptr);
  }
  /// By the kernel of our own that keeps leaves in registers, where this GPU has one.
  void own_matmul(const char* what, std::int64_t m, std::int64_t n, std::int64_t k, int leaves) {
    if (options_.small) m = std::min<std::int64_t>(m, 96), n = many(n) * 8, k = 64 * leaves;
    if (!ops::own_kernel_serves(facts_.major, facts_.minor, k / leaves)) return;
    Tensor w = tensor({ops::packed_numel(kDevice, DType::kBF16, n, k)});
    ops::PackedMatrix matrix{w, n, k};
    matrix.own_kernel = true;
    multiply(what, m, matrix, leaves);
  }
  void fp8_matmul(const char* what, std::int64_t m, std::int64_t n, std::int64_t k,
                  int leaves = 1) {
    if (options_.small) m = std::min<std::int64_t>(m, 64), n = many(n) * 8, k = 128 * leaves;
    Tensor w(ledger_, kDevice, DType::kF8E4M3,
             {ops::packed_numel(kDevice, DType::kF8E4M3, n, k) / k, k}, MemoryTag::kActivations);
    Tensor scales(ledger_, kDevice, DType::kF32,
                  {1, ops::packed_scales_numel(kDevice, n, k, leaves)}, MemoryTag::kActivations);
    ops::random_fill(ctx_, {1, 0, 4}, 0, k, w);
    ops::random_fill(ctx_, {2, 1, 0.5}, 0, scales.view().numel(), scales);
    multiply(what, m, {w, n, k, scales, leaves}, leaves);
  }
  void multiply(const char* what, std::int64_t m, const ops::PackedMatrix& w, int leaves) {
    Tensor x = tensor({m, w.inputs});
    Tensor y(ledger_, kDevice, leaves == 1 ? DType::kBF16 : DType::kF32, {m, w.outputs},
             MemoryTag::kActivations);
    const std::size_t bytes =
        x.view().size_bytes() + w.data.size_bytes() + w.scales.size_bytes() + y.view().size_bytes();
    measure(fmt::format("{} M={} N={} K={}{}", what, m, w.outputs, w.inputs,
                        leaves == 1 ? "" : fmt::format(" in {} leaves", leaves)),
            static_cast<double>(bytes), 2 * static_cast<double>(m * w.outputs * w.inputs), [&] {
              if (leaves == 1)
                ops::matmul(ctx_, x, w, {}, y);
              else
                ops::matmul_tree(ctx_, x, w, leaves, y);
            });
  }
  void matmuls() {
    // The 32B's decoder on one GPU; rows of decode steps, of even steps and of a prefill.
    for (const std::int64_t m : {1, 8, 64, 411, 2048}) {
      matmul("qkv", m, 10240, 5120);
      matmul("gate_up", m, 51200, 5120);
      matmul("o_proj", m, 5120, 8192, 8);
      matmul("down", m, 5120, 25600, 8);
    }
    for (const std::int64_t m : {1, 8, 43, 64, 384, 411, 512, 1131, 2048}) {
      own_matmul("wgmma o_proj", m, 5120, 8192, 8);
      own_matmul("wgmma down", m, 5120, 25600, 8);
    }
    tuned_matmuls("qkv", 10240, 5120, 1);
    tuned_matmuls("gate_up", 51200, 5120, 1);
    tuned_matmuls("o_proj", 5120, 8192, 8);
    tuned_matmuls("o_proj", 5120, 8192, 1);
    tuned_matmuls("down", 5120, 25600, 8);
    tuned_matmuls("down", 5120, 25600, 1);
    // Their limit is that of bf16: a ratio may pass 1.
    for (const std::int64_t m : {1, 8, 64, 2048}) {
      if (ops::fp8_kernel(facts_.major, facts_.minor) == ops::Fp8Kernel::kNone) break;
      fp8_matmul("fp8 qkv", m, 10240, 5120);
      fp8_matmul("fp8 gate_up", m, 51200, 5120);
      fp8_matmul("fp8 o_proj", m, 5120, 8192, 8);
      fp8_matmul("fp8 down", m, 5120, 25600, 8);
    }
    matmul("o_proj of one in 8", 2048, 5120, 1024);
    matmul("down of one in 8", 2048, 5120, 3200);
    for (const std::int64_t m : {1, 64}) matmul("head", m, 151936, 5120);
    for (const std::int64_t m : {4096}) {
      matmul("vision qkv", m, 3456, 1152);
      matmul("vision proj", m, 1152, 1152);
      matmul("vision fc1", m, 4304, 1152);
      matmul("vision fc2", m, 1152, 4304);
      matmul("merger", m / 4, 4608, 4608);
    }
  }

  void vision_attention(std::int64_t patches, std::int64_t segments) {
    const std::int64_t heads = 16, head_dim = 72, width = heads * head_dim;
    Tensor qkv = tensor({patches, 3 * width}), y = tensor({patches, width});
    const auto part = [&](std::int64_t i) {
      const TensorView columns = qkv.view().columns(i * width, width);
      return TensorView(columns.bytes(), DType::kBF16, {patches, heads, head_dim}, 3 * width);
    };
    std::vector<std::int64_t> cu;
    for (std::int64_t s = 0; s <= segments; ++s) cu.push_back(patches * s / segments);
    measure(fmt::format("vision {} patches in {}, 16 heads of 72", patches, segments),
            8.0 * static_cast<double>(patches * width),
            4.0 * static_cast<double>(patches * patches / segments * width), [&] {
              ops::attention(ctx_, part(0), part(1), part(2), cu,
                             static_cast<float>(1 / std::sqrt(static_cast<double>(head_dim))), y);
            });
  }
  /// The last `tokens` tokens of each of `seqs` sequences of `length`, with blocks in mixed order.
  void causal_attention(const char* what, std::int64_t seqs, std::int64_t length,
                        std::int64_t tokens, DType kept = DType::kBF16) {
    const std::int64_t heads = 64, kv_heads = 8, head_dim = 128, block = 64;
    const std::int64_t blocks = (length + block - 1) / block;
    const std::int64_t head_numel = ops::KvView::block_numel(kept, block, 1, head_dim);
    Tensor data = tensor({seqs * blocks, kv_heads, head_numel}, kept);
    const ops::KvView cache{data, block, kv_heads, head_dim};
    Tensor q = tensor({seqs * tokens, heads, head_dim});
    Tensor y = tensor({seqs * tokens, heads * head_dim});
    std::vector<std::int32_t> ids, cu = {0};
    for (std::int64_t i = 0; i < seqs * blocks; ++i)
      ids.push_back(static_cast<std::int32_t>(i * 7919 % (seqs * blocks)));
    for (std::int64_t s = 1; s <= seqs; ++s) cu.push_back(static_cast<std::int32_t>(s * tokens));
    Tensor block_table = table({seqs, blocks}, ids), cu_seqlens = table({seqs + 1}, cu);
    Tensor lengths = table({seqs}, std::vector<std::int32_t>(static_cast<std::size_t>(seqs),
                                                             static_cast<std::int32_t>(length)));
    const double keys = static_cast<double>(tokens) *
                        (static_cast<double>(length) - static_cast<double>(tokens - 1) / 2);
    const double bytes_per_key = static_cast<double>(head_numel) / static_cast<double>(block) *
                                 static_cast<double>(size_bytes(kept));
    measure(fmt::format("{} {} x {} of {}, heads 64/8 of 128", what, seqs, tokens, length),
            bytes_per_key * static_cast<double>(seqs * length * kv_heads) +
                4.0 * static_cast<double>(seqs * tokens * heads * head_dim),
            4.0 * static_cast<double>(seqs * heads * head_dim) * keys, [&] {
              ops::paged_attention(ctx_, q, cache, block_table, cu_seqlens, lengths, 0.0884F, y);
            });
  }
  void attentions() {
    vision_attention(many(4096), 1);
    vision_attention(many(4096 * 8), 8);
    vision_attention(many(4096 * 16), 64);
    vision_attention(many(16384), 1);
    causal_attention("prefill", 1, many(1088), many(1088));
    causal_attention("prefill", 4, many(1088), many(1088));
    causal_attention("chunk", 1, many(8192), many(2048));
    causal_attention("decode", 1, many(1152), 1);
    for (const std::int64_t seqs : {32, 43, 64, 256})
      causal_attention("decode", many(seqs), many(1152), 1);
    causal_attention("decode", 1, many(32768), 1);
    causal_attention("fp8 cache, prefill", 4, many(1088), many(1088), DType::kF8E4M3);
    causal_attention("fp8 cache, decode", many(64), many(1152), 1, DType::kF8E4M3);
    causal_attention("fp8 cache, decode", many(256), many(1152), 1, DType::kF8E4M3);
    causal_attention("fp8 cache, decode", 1, many(32768), 1, DType::kF8E4M3);
  }

  void rows() {
    for (const std::int64_t tokens : {std::int64_t{64}, many(8192)}) {
      const std::int64_t hidden = options_.small ? 256 : 5120;
      const auto size = static_cast<double>(tokens * hidden);
      Tensor x = tensor({tokens, hidden}), z = tensor({tokens, hidden}),
             y = tensor({tokens, hidden});
      Tensor weight = tensor({hidden}), bias = tensor({hidden}), head_weight = tensor({128});
      const auto label = [&](const char* op) {
        return fmt::format("{} {} x {}", op, tokens, hidden);
      };
      const Shape heads{tokens, hidden / 128, 128};
      measure(label("rms_norm"), 4 * size, 0, [&] { ops::rms_norm(ctx_, x, weight, 1e-6F, y); });
      measure(label("rms_norm of heads"), 4 * size, 0, [&] {
        ops::rms_norm(ctx_, x.view().reshape(heads), head_weight, 1e-6F, y.view().reshape(heads));
      });
      measure(label("layer_norm"), 4 * size, 0,
              [&] { ops::layer_norm(ctx_, x, weight, bias, 1e-6F, y); });
      measure(label("add"), 6 * size, 0, [&] { ops::add(ctx_, x, z, y); });
      measure(label("add_rms_norm"), 8 * size, 0,
              [&] { ops::add_rms_norm(ctx_, x, z, weight, 1e-6F, y); });
      measure(label("gelu tanh"), 4 * size, 0, [&] { ops::gelu(ctx_, x, ops::Gelu::kTanh, y); });
      Tensor half = tensor({tokens, hidden / 2});
      measure(label("silu_mul"), 3 * size, 0, [&] { ops::silu_mul(ctx_, x, half); });
      Tensor cos = tensor({tokens, 64}, DType::kF32), sin = tensor({tokens, 64}, DType::kF32);
      measure(label("rope"), 4 * size + 512.0 * static_cast<double>(tokens), 0, [&] {
        ops::rope(ctx_, y.view().reshape(heads), cos, sin, ops::RopeRounding::kEachStep);
      });
      Tensor sums(ledger_, kDevice, DType::kF32, {tokens, hidden}, MemoryTag::kActivations);
      measure(label("cast to f32"), 6 * size, 0, [&] { ops::cast(ctx_, x, sums); });
      if (ops::fp8_kernel(facts_.major, facts_.minor) != ops::Fp8Kernel::kNone)
        rows_in_e4m3(tokens, hidden);
    }
  }
  /// What the inputs of FP8 products take, and a pass that quantises rows of bf16.
  void rows_in_e4m3(std::int64_t tokens, std::int64_t hidden) {
    const auto memory = [&](const ops::PackedMatrix& w) {
      const std::size_t bytes = ops::MatmulInput::size_bytes(kDevice, tokens, w);
      return Tensor(ledger_, kDevice, DType::kU8, {static_cast<std::int64_t>(bytes)},
                    MemoryTag::kActivations);
    };
    const auto label = [&](const char* op) {
      return fmt::format("{} in e4m3 {} x {}", op, tokens, hidden);
    };
    const auto size = static_cast<double>(tokens * hidden);
    const TensorView shape_alone(nullptr, DType::kF8E4M3, {0});
    const ops::PackedMatrix w{shape_alone, 1024, hidden}, half{shape_alone, 1024, hidden / 2};
    Tensor x = tensor({tokens, hidden}), z = tensor({tokens, hidden}), weight = tensor({hidden});
    Tensor of_w = memory(w), of_half = memory(half);
    const ops::MatmulInput y(kDevice, of_w.view().bytes(), tokens, w);
    const ops::MatmulInput act(kDevice, of_half.view().bytes(), tokens, half);
    measure(label("quantize"), 3 * size, 0, [&] { ops::quantize(ctx_, x, y); });
    measure(label("add_rms_norm"), 7 * size, 0,
            [&] { ops::add_rms_norm(ctx_, x, z, weight, 1e-6F, y); });
    measure(label("silu_mul"), 2.5 * size, 0, [&] { ops::silu_mul(ctx_, x, act); });
  }

  /// All steps between the projection and attention, of a layer of the 32B.
  void qkv_step(std::int64_t tokens) {
    constexpr std::int64_t kHeads = 64, kKvHeads = 8, kHeadDim = 128;
    Tensor qkv = tensor({tokens, (kHeads + 2 * kKvHeads) * kHeadDim});
    Tensor weight = tensor({kHeadDim}), cos = tensor({tokens, kHeadDim / 2}, DType::kF32),
           sin = tensor({tokens, kHeadDim / 2}, DType::kF32);
    Tensor slots = counted(tokens, 1, tokens);
    Tensor data = tensor({(tokens + 63) / 64, kKvHeads, 2 * 64 * kHeadDim});
    const auto part = [&](std::int64_t first, std::int64_t heads) {
      const TensorView columns = qkv.view().columns(first * kHeadDim, heads * kHeadDim);
      return TensorView(columns.bytes(), DType::kBF16, {tokens, heads, kHeadDim},
                        columns.row_stride());
    };
    measure(fmt::format("norm_rope_kv_write {} tokens, 64/8 of 128", tokens),
            4.0 * static_cast<double>(qkv.view().numel()), 0, [&] {
              ops::norm_rope_kv_write(ctx_,
                                      {.q = part(0, kHeads),
                                       .k = part(kHeads, kKvHeads),
                                       .v = part(kHeads + kKvHeads, kKvHeads),
                                       .q_weight = weight,
                                       .k_weight = weight,
                                       .eps = 1e-6F,
                                       .cos = cos,
                                       .sin = sin,
                                       .slot_mapping = slots},
                                      ops::KvView{data, 64, kKvHeads, kHeadDim});
            });
  }
  /// Ids drawn from rows of logits that are as far apart as a model's.
  void draws(std::int64_t rows, std::int64_t vocab) {
    std::vector<ops::SampleRow> how(static_cast<std::size_t>(rows), {0.5, 0.8, 0, 0.7F, 20});
    Tensor logits = tensor({rows, vocab});
    Tensor params(ledger_, kDevice, DType::kI64, {rows, ops::kSampleRowWords},
                  MemoryTag::kActivations);
    ctx_.stream().copy(params.view().bytes(), how.data(), how.size() * sizeof(ops::SampleRow));
    ctx_.stream().synchronize();
    Tensor ids(ledger_, kDevice, DType::kI32, {rows}, MemoryTag::kActivations);
    Tensor logprobs(ledger_, kDevice, DType::kF32, {rows}, MemoryTag::kActivations);
    measure(fmt::format("sample {} x {}, top-k 20, top-p 0.8", rows, vocab),
            2.0 * static_cast<double>(rows * vocab), 0,
            [&] { ops::sample(ctx_, logits, params, ids, logprobs); });
  }

  void moves() {
    const std::int64_t tokens = many(8192), hidden = options_.small ? 256 : 5120;
    const std::int64_t vocab = options_.small ? 1024 : 151936;
    const auto size = static_cast<double>(tokens * hidden);
    Tensor x = tensor({tokens, hidden}), y = tensor({tokens, hidden});
    Tensor ids = counted(tokens, 7919, vocab), places = counted(tokens, 1, tokens);
    Tensor embeddings = tensor({ops::packed_numel(kDevice, DType::kBF16, vocab, hidden)});
    measure(fmt::format("embedding {} x {}", tokens, hidden), 4 * size, 0, [&] {
      ops::embedding(ctx_, ids, ops::PackedMatrix{embeddings, vocab, hidden}, 0, y);
    });
    measure(fmt::format("gather_rows {} x {}", tokens, hidden), 4 * size, 0,
            [&] { ops::gather_rows(ctx_, x, places, y); });
    measure(fmt::format("scatter_add {} x {}", tokens, hidden), 6 * size, 0,
            [&] { ops::scatter_add(ctx_, x, places, places, y); });
    Tensor kv = tensor({tokens, 8, 128}), data = tensor({(tokens + 63) / 64, 8, 2 * 64 * 128});
    measure(fmt::format("kv_write {} tokens, 8 heads of 128", tokens),
            8.0 * static_cast<double>(tokens * 8 * 128), 0, [&] {
              ops::kv_write(ctx_, kv, kv, places, ops::KvView{data, 64, 8, 128});
            });
    qkv_step(tokens);
    const std::int64_t patches = many(16384), width = 3 * 512;
    Tensor pixels = tensor({patches, width}, DType::kU8), normal = tensor({patches, width});
    const std::vector<float> values(std::size_t{3} * 256, 0.5F);
    measure(fmt::format("patch_normalize {} patches", patches),
            3.0 * static_cast<double>(patches * width), 0,
            [&] { ops::patch_normalize(ctx_, pixels, values, normal); });
    const std::int64_t side = options_.small ? 8 : 64;
    Tensor grid = tensor({48 * 48, 1152}), patch = tensor({side * side, 1152});
    measure(fmt::format("add_interpolated {} patches of 1152", side * side),
            6.0 * static_cast<double>(side * side * 1152), 0,
            [&] { ops::add_interpolated(ctx_, grid, 1, side, side, 2, patch); });
    for (const std::int64_t rows : {std::int64_t{1}, many(256)}) {
      Tensor logits = tensor({rows, vocab});
      Tensor best(ledger_, kDevice, DType::kF32, {rows, 1}, MemoryTag::kActivations);
      Tensor at(ledger_, kDevice, DType::kI32, {rows, 1}, MemoryTag::kActivations);
      measure(fmt::format("top_k 1 of {} x {}", rows, vocab),
              2.0 * static_cast<double>(rows * vocab), 0,
              [&] { ops::top_k(ctx_, logits, 0, best, at); });
    }
    for (const std::int64_t rows : {std::int64_t{1}, many(64)}) draws(rows, vocab);
  }

  Options options_;
  cuda::DeviceFacts facts_;
  MemoryLedger ledger_;
  Context ctx_;
  Buffer flush_;
  Buffer noise_;
  double bytes_per_s_ = 0, flops_per_s_ = 0;
  bool failed_ = false;
  std::string group_;
  std::ofstream json_;
  int rows_written_ = 0;
};

int start(int argc, char** argv) {
  Options options;
  for (int i = 1; i < argc; i += 2) {
    const std::string flag = argv[i], value = i + 1 < argc ? argv[i + 1] : "";
    if (flag == "--rounds") {
      options.rounds = std::max(1, std::stoi(value));
    } else if (flag == "--only") {
      options.only = value;
    } else if (flag == "--json") {
      options.json = value;
    } else if (flag == "--small") {
      options.small = value == "yes";
    } else {
      fmt::print(stderr, "[bench] unknown option {}. Known: --rounds --only --json --small\n",
                 flag);
      return 2;
    }
  }
  const cuda::Availability found = cuda::availability();
  if (found.devices == 0) {
    fmt::print(stderr, "[bench] no CUDA device: {}\n", found.reason);
    return 2;
  }
  return Bench(options).run();
}

}  // namespace
}  // namespace retinue::bench

int main(int argc, char** argv) {
  try {
    return retinue::bench::start(argc, argv);
  } catch (const std::exception& error) {
    fmt::print(stderr, "{}\n", error.what());
    return 1;
  }
}
