// Times the CPU kernels as parts of the machine's limits. Every ratio is between best times in one
// process, taken in turns with their ceiling, so that a change of clock or other work affects both.
// Usage: kernels_bench [--threads N] [--rounds N] [--only GROUP] [--json FILE]
#include "layers/ops/add.h"
#include "layers/ops/add_layer_norm.h"
#include "layers/ops/add_rms_norm.h"
#include "layers/ops/attention.h"
#include "layers/ops/gelu.h"
#include "layers/ops/kv_write.h"
#include "layers/ops/layer_norm.h"
#include "layers/ops/matmul.h"
#include "layers/ops/norm_rope_kv_write.h"
#include "layers/ops/paged_attention.h"
#include "layers/ops/rms_norm.h"
#include "layers/ops/rope.h"
#include "layers/ops/sample.h"
#include "layers/ops/silu_mul.h"
#include "parallel/base/build_config.h"
#include "parallel/base/rng.h"
#include "tests/bench/ceilings.h"
#include "tests/bench/onednn_peer.h"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <functional>
#include <string>
#include <thread>
#include <vector>

namespace retinue::bench {
namespace {

struct Options {
  int threads = static_cast<int>(std::thread::hardware_concurrency());
  int rounds = 15;
  std::string only, json;
};

class Bench {
 public:
  explicit Bench(const Options& options)
      : options_(options), big_(ledger_, {}, kBigBytes, MemoryTag::kStaging) {
    fill(TensorView(big_.data(), DType::kBF16, {kBigBytes / 2}), 1);
  }

  void run() {
    fmt::print("{} on {}, oneDNN {}, {} rounds\n", build::kRevision, name(detect_cpu_isa()),
               onednn_version().empty() ? "absent" : onednn_version(), options_.rounds);
    std::vector<int> counts = {1};
    if (options_.threads > 1) counts.push_back(options_.threads);
    for (const int threads : counts) {
      threads_ = threads;
      ctx_.emplace_back(Context({}, threads, Buffer(ledger_, {}, 1 << 20, MemoryTag::kActivations),
                                Buffer(ledger_, {}, std::size_t{64} << 20, MemoryTag::kScratch)));
      if (wanted("ceilings")) ceilings();
      if (wanted("matmul")) matmuls();
      if (wanted("gemv")) gemvs();
      if (wanted("attention")) attentions();
      if (wanted("rows")) rows();
      if (wanted("sample")) samples();
    }
    if (!options_.json.empty()) {
      const nlohmann::json out = {{"schema_version", 1},
                                  {"revision", build::kRevision},
                                  {"isa", std::string(name(detect_cpu_isa()))},
                                  {"onednn", onednn_version()},
                                  {"rounds", options_.rounds},
                                  {"results", results_}};
      std::ofstream(options_.json) << out.dump(1) << "\n";
    }
  }

 private:
  static constexpr std::int64_t kBigBytes = std::int64_t{512} << 20;  // far larger than the caches

  bool wanted(const char* group) {
    if (!options_.only.empty() && options_.only != group) return false;
    fmt::print("\n{:<9} {:<44} {:>3} {:>9} {:>9} {:<7} {:>9} {:>6} {:>9}\n", group, "", "thr",
               "best", "median", "", "ceiling", "ratio", "oneDNN");
    group_ = group;
    return true;
  }
  Context& ctx() { return ctx_.back(); }

  /// Random values, none of them zero: bf16 between 0.25 and 4 with either sign.
  static void fill(TensorView x, std::uint64_t key) {
    const std::int64_t n = x.numel();
    for (std::int64_t i = 0; i < n; ++i) {
      const std::uint64_t bits = random_bits(key, static_cast<std::uint64_t>(i));
      const auto value = static_cast<std::uint16_t>((bits & 0x8000U) | (0x3E80U + (bits & 0x1FFU)));
      if (x.dtype() == DType::kBF16)
        x.data<BFloat16>()[i] = {value};
      else
        x.data<float>()[i] = to_float(BFloat16{value});
    }
  }
  Tensor tensor(const Shape& shape, std::uint64_t key, DType dtype = DType::kBF16) {
    Tensor t(ledger_, {}, dtype, shape, MemoryTag::kActivations);
    fill(t, key);
    return t;
  }
  Tensor table(const Shape& shape, const std::vector<std::int32_t>& values) {
    Tensor t(ledger_, {}, DType::kI32, shape, MemoryTag::kStaging);
    std::copy(values.begin(), values.end(), t.view().data<std::int32_t>());
    return t;
  }

  /// Shows `work` per call over the best time, beside `ceiling()` in the same unit, in turns.
  void measure(const std::string& what, double work, const char* unit,
               const std::function<void()>& body, const std::function<double()>& ceiling,
               const std::function<void()>& peer = {}) {
    // Short bodies are repeated, so that a sample lasts at least a millisecond.
    body();
    const int repeats = std::max(1, static_cast<int>(1e-3 / seconds_of(threads_, body)));
    std::vector<double> rates, peer_rates;
    double best_ceiling = 0;
    const auto sample = [&](const std::function<void()>& f) {
      return work * repeats / seconds_of(threads_, [&] {
               for (int i = 0; i < repeats; ++i) f();
             });
    };
    for (int round = 0; round < options_.rounds; ++round) {
      if (ceiling) best_ceiling = std::max(best_ceiling, ceiling());
      rates.push_back(sample(body));
      if (peer) peer_rates.push_back(sample(peer));
    }
    std::sort(rates.begin(), rates.end());
    const double best = rates.back(), median = rates[rates.size() / 2];
    nlohmann::json row = {{"group", group_},
                          {"name", what},
                          {"threads", threads_},
                          {"unit", unit},
                          {"best", best / 1e9},
                          {"median", median / 1e9},
                          {"worst", rates.front() / 1e9}};
    std::string line = fmt::format("{:<9} {:<44} {:>3} {:>9.1f} {:>9.1f} {:<7}", "", what, threads_,
                                   best / 1e9, median / 1e9, unit);
    if (ceiling) {
      line += fmt::format(" {:>9.1f} {:>6.3f}", best_ceiling / 1e9, best / best_ceiling);
      row["ceiling"] = best_ceiling / 1e9, row["ratio"] = best / best_ceiling;
    }
    if (peer) {
      const double best_peer = *std::max_element(peer_rates.begin(), peer_rates.end());
      line += fmt::format(" {:>9.1f}", best_peer / 1e9);
      row["onednn"] = best_peer / 1e9;
    }
    fmt::print("{}\n", line);
    std::fflush(stdout);
    results_.push_back(row);
  }
  std::function<double()> peak(DType dtype) {
    return
        [this, dtype] { return register_peak(detect_cpu_isa(), dtype == DType::kBF16, threads_); };
  }
  std::function<double()> reading() {
    return [this] { return read_bandwidth(big_.data(), big_.size_bytes(), threads_); };
  }

  void ceilings() {
    const auto show = [&](const char* what, const char* unit, const std::function<double()>& rate) {
      double best = 0;
      for (int round = 0; round < options_.rounds; ++round) best = std::max(best, rate());
      fmt::print("{:<9} {:<44} {:>3} {:>9.1f} {:>9} {:<7}\n", "", what, threads_, best / 1e9, "",
                 unit);
      results_.push_back({{"group", group_},
                          {"name", what},
                          {"threads", threads_},
                          {"unit", unit},
                          {"best", best / 1e9}});
    };
    show("registers, bf16", "GFLOP/s", peak(DType::kBF16));
    show("registers, f32", "GFLOP/s", peak(DType::kF32));
    show("read 512 MiB, 8 streams", "GB/s", reading());
    const std::size_t half = big_.size_bytes() / 2;
    show("copy 256 MiB, read and written", "GB/s",
         [&] { return copy_bandwidth(big_.data(), big_.data() + half, half, threads_); });
  }

  void matmul(const char* what, std::int64_t m, std::int64_t n, std::int64_t k, int leaves = 1,
              DType dtype = DType::kBF16) {
    Tensor x = tensor({m, k}, 2, dtype);
    Tensor y(ledger_, {}, leaves == 1 ? dtype : DType::kF32, {m, n}, MemoryTag::kActivations);
    Tensor w = tensor({ops::packed_numel({}, dtype, n, k)}, 3, dtype);
    const ops::PackedMatrix matrix{w, n, k};
    measure(
        fmt::format("{} {} M={} N={} K={}{}", name(dtype), what, m, n, k,
                    leaves == 1 ? "" : fmt::format(" in {} leaves", leaves)),
        2.0 * static_cast<double>(m * n * k), "GFLOP/s",
        [&] {
          if (leaves == 1)
            ops::matmul(ctx(), x, matrix, {}, y);
          else
            ops::matmul_tree(ctx(), x, matrix, leaves, y);
        },
        peak(dtype),
        dtype == DType::kBF16 ? onednn_matmul(m, n, k, threads_) : std::function<void()>{});
  }
  void matmuls() {
    for (const std::int64_t m : {1, 4, 8, 64, 1024}) matmul("square", m, 5120, 5120);
    for (const std::int64_t m : {8, 1024}) {
      matmul("vision qkv", m, 3456, 1152);
      matmul("vision proj", m, 1152, 1152);
      matmul("vision fc1", m, 4304, 1152);
      matmul("vision fc2", m, 1152, 4304);
      matmul("merger", m, 4608, 4608);
    }
    matmul("o_proj of one in 8", 1024, 5120, 1024);
    matmul("down of one in 8", 1024, 5120, 3200);
    matmul("o_proj", 1024, 5120, 8192, 8);
    matmul("down", 256, 5120, 25600, 8);
    matmul("square", 256, 2048, 2048, 1, DType::kF32);
  }

  /// Few rows with weights far larger than the caches, in GB/s of weights.
  void gemvs() {
    for (const std::int64_t k : {768, 5120}) {
      const std::int64_t n = kBigBytes / 2 / k / 16 * 16;
      const ops::PackedMatrix matrix{TensorView(big_.data(), DType::kBF16, {n * k}), n, k};
      for (const std::int64_t m : {1, 2, 4, 8, 12, 16, 24, 32}) {
        Tensor x = tensor({m, k}, 2);
        Tensor y(ledger_, {}, DType::kBF16, {m, n}, MemoryTag::kActivations);
        measure(
            fmt::format("bf16 M={} N={} K={}", m, n, k), 2.0 * static_cast<double>(n * k), "GB/s",
            [&] { ops::matmul(ctx(), x, matrix, {}, y); }, reading(),
            m == 1 ? onednn_matmul(m, n, k, threads_) : std::function<void()>{});
      }
    }
    const ops::PackedMatrix down{TensorView(big_.data(), DType::kBF16, {5120 * 25600}), 5120,
                                 25600};
    Tensor x = tensor({1, 25600}, 2);
    Tensor y(ledger_, {}, DType::kF32, {1, 5120}, MemoryTag::kActivations);
    measure(
        "bf16 down M=1 N=5120 K=25600 in 8 leaves", 2.0 * 5120 * 25600, "GB/s",
        [&] { ops::matmul_tree(ctx(), x, down, 8, y); }, reading());
  }

  void vision_attention(std::int64_t patches, std::int64_t segments, std::int64_t head_dim) {
    const std::int64_t heads = 16, width = heads * head_dim;
    Tensor qkv = tensor({patches, 3 * width}, 4);
    Tensor y(ledger_, {}, DType::kBF16, {patches, width}, MemoryTag::kActivations);
    const auto part = [&](std::int64_t i) {
      const TensorView columns = qkv.view().columns(i * width, width);
      return TensorView(columns.bytes(), DType::kBF16, {patches, heads, head_dim}, 3 * width);
    };
    std::vector<std::int64_t> cu;
    for (std::int64_t s = 0; s <= segments; ++s) cu.push_back(patches * s / segments);
    measure(
        fmt::format("vision {} patches in {}, 16 heads of {}", patches, segments, head_dim),
        4.0 * static_cast<double>(patches * patches / segments * width), "GFLOP/s",
        [&] {
          ops::attention(ctx(), part(0), part(1), part(2), cu,
                         static_cast<float>(1 / std::sqrt(static_cast<double>(head_dim))), y);
        },
        peak(DType::kBF16));
  }
  /// The last `tokens` tokens of each of `seqs` sequences of `length`.
  void causal_attention(const char* what, std::int64_t seqs, std::int64_t length,
                        std::int64_t tokens, bool against_read) {
    const std::int64_t heads = 64, kv_heads = 8, head_dim = 128, block = 64;
    const std::int64_t blocks = (length + block - 1) / block;
    Tensor data = tensor({seqs * blocks, kv_heads, 2 * block * head_dim}, 5);
    const ops::KvView cache{data, block, kv_heads, head_dim};
    Tensor q = tensor({seqs * tokens, heads, head_dim}, 6);
    Tensor y(ledger_, {}, DType::kBF16, {seqs * tokens, heads * head_dim}, MemoryTag::kActivations);
    std::vector<std::int32_t> ids, cu = {0};
    for (std::int64_t i = 0; i < seqs * blocks; ++i)
      ids.push_back(static_cast<std::int32_t>(i * 7919 % (seqs * blocks)));
    for (std::int64_t s = 1; s <= seqs; ++s) cu.push_back(static_cast<std::int32_t>(s * tokens));
    Tensor block_table = table({seqs, blocks}, ids), cu_seqlens = table({seqs + 1}, cu);
    Tensor seq_lens = table({seqs}, std::vector<std::int32_t>(static_cast<std::size_t>(seqs),
                                                              static_cast<std::int32_t>(length)));
    const double keys = static_cast<double>(tokens) *
                        (static_cast<double>(length) - static_cast<double>(tokens - 1) / 2);
    const double flops = 4.0 * static_cast<double>(seqs * heads * head_dim) * keys;
    const double bytes = 4.0 * static_cast<double>(seqs * length * kv_heads * head_dim);
    measure(
        fmt::format("{} {} x {} of {}, heads 64/8 of 128", what, seqs, tokens, length),
        against_read ? bytes : flops, against_read ? "GB/s" : "GFLOP/s",
        [&] {
          ops::paged_attention(ctx(), q, cache, block_table, cu_seqlens, seq_lens, 0.0884F, y);
        },
        against_read ? reading() : peak(DType::kBF16));
  }
  void attentions() {
    vision_attention(4096, 1, 72);
    vision_attention(4096, 1, 64);
    vision_attention(4096, 16, 72);
    causal_attention("prefill", 1, 1088, 1088, false);
    causal_attention("chunk", 1, 4096, 256, false);
    causal_attention("decode", 1, 512, 1, true);
    causal_attention("decode", 32, 1152, 1, true);
    causal_attention("decode", 1, 32768, 1, true);
    Tensor data = tensor({64, 8, 2 * 64 * 128}, 5);
    const ops::KvView cache{data, 64, 8, 128};
    Tensor kv = tensor({1088, 8, 128}, 6);
    std::vector<std::int32_t> slots;
    for (std::int32_t i = 0; i < 1088; ++i) slots.push_back(i);
    Tensor slot_mapping = table({1088}, slots);
    measure(
        "kv_write 1088 tokens, 8 heads of 128", 8.0 * 1088 * 8 * 128, "GB/s",
        [&] { ops::kv_write(ctx(), kv, kv, slot_mapping, cache); },
        copying(2 * 1088 * 8 * 128 * 2));
    qkv_step(1088, slot_mapping, cache);
  }

  /// The fused op and the five ops that it replaces, on the projections of a 32B model's layer.
  void qkv_step(std::int64_t tokens, TensorView slot_mapping, const ops::KvView& cache) {
    constexpr std::int64_t kHeads = 64, kKvHeads = 8, kHeadDim = 128;
    Tensor qkv = tensor({tokens, (kHeads + 2 * kKvHeads) * kHeadDim}, 7);
    Tensor q_weight = tensor({kHeadDim}, 8), k_weight = tensor({kHeadDim}, 9);
    Tensor cos = tensor({tokens, kHeadDim / 2}, 10, DType::kF32),
           sin = tensor({tokens, kHeadDim / 2}, 11, DType::kF32);
    const auto part = [&](std::int64_t first, std::int64_t heads) {
      const TensorView columns = qkv.view().columns(first * kHeadDim, heads * kHeadDim);
      return TensorView(columns.bytes(), DType::kBF16, {tokens, heads, kHeadDim},
                        columns.row_stride());
    };
    const TensorView q = part(0, kHeads), k = part(kHeads, kKvHeads),
                     v = part(kHeads + kKvHeads, kKvHeads);
    const double bytes = 4.0 * static_cast<double>(qkv.view().numel());
    const auto moved = static_cast<std::size_t>(bytes);
    measure(
        fmt::format("norm_rope_kv_write {} tokens, 64/8 of 128", tokens), bytes, "GB/s",
        [&] {
          ops::norm_rope_kv_write(
              ctx(), {q, k, v, q_weight, k_weight, 1e-6F, cos, sin, slot_mapping}, cache);
        },
        copying(moved));
    measure(
        fmt::format("the five ops {} tokens, 64/8 of 128", tokens), bytes, "GB/s",
        [&] {
          ops::rms_norm(ctx(), q, q_weight, 1e-6F, q);
          ops::rms_norm(ctx(), k, k_weight, 1e-6F, k);
          ops::rope(ctx(), q, cos, sin, ops::RopeRounding::kEachStep);
          ops::rope(ctx(), k, cos, sin, ops::RopeRounding::kEachStep);
          ops::kv_write(ctx(), k, v, slot_mapping, cache);
        },
        copying(moved));
  }

  /// Copies as many bytes as the kernel reads and writes, so that both meet the same caches.
  std::function<double()> copying(std::size_t moved_bytes) {
    return [this, moved_bytes] {
      const std::size_t half = moved_bytes / 2;
      double best = 0;
      for (int i = 0; i < 3; ++i)
        best = std::max(
            best, copy_bandwidth(big_.data(), big_.data() + big_.size_bytes() / 2, half, threads_));
      return best;
    };
  }
  void row_op(const std::string& what, double elements_moved, const std::function<void()>& body) {
    const double bytes = 2 * elements_moved;
    measure(what, bytes, "GB/s", body, copying(static_cast<std::size_t>(bytes)));
  }
  void rows() {
    for (const std::int64_t tokens : {64, 4096}) {  // fits a core's caches; larger than all caches
      const std::int64_t hidden = 5120, n = tokens * hidden;
      const auto size = static_cast<double>(n);
      Tensor x = tensor({tokens, hidden}, 1), z = tensor({tokens, hidden}, 2),
             y = tensor({tokens, hidden}, 3);
      Tensor weight = tensor({hidden}, 4), bias = tensor({hidden}, 5),
             head_weight = tensor({128}, 6);
      const auto label = [&](const char* op) {
        return fmt::format("{} {} x {}", op, tokens, hidden);
      };
      row_op(label("rms_norm"), 2 * size, [&] { ops::rms_norm(ctx(), x, weight, 1e-6F, y); });
      row_op(label("rms_norm of heads"), 2 * size, [&] {
        const Shape heads{tokens, hidden / 128, 128};
        ops::rms_norm(ctx(), x.view().reshape(heads), head_weight, 1e-6F, y.view().reshape(heads));
      });
      row_op(label("layer_norm"), 2 * size,
             [&] { ops::layer_norm(ctx(), x, weight, bias, 1e-6F, y); });
      row_op(label("add"), 3 * size, [&] { ops::add(ctx(), x, z, y); });
      // Repeated addition makes x infinite, which does not change the time.
      row_op(label("add_rms_norm"), 4 * size,
             [&] { ops::add_rms_norm(ctx(), x, z, weight, 1e-6F, y); });
      row_op(label("add, then rms_norm"), 4 * size, [&] {
        ops::add(ctx(), x, z, x);
        ops::rms_norm(ctx(), x, weight, 1e-6F, y);
      });
      row_op(label("add_layer_norm"), 4 * size,
             [&] { ops::add_layer_norm(ctx(), x, z, weight, bias, 1e-6F, y); });
      row_op(label("gelu tanh"), 2 * size, [&] { ops::gelu(ctx(), x, ops::Gelu::kTanh, y); });
      row_op(label("gelu erf"), 2 * size, [&] { ops::gelu(ctx(), x, ops::Gelu::kErf, y); });
      Tensor half = tensor({tokens, hidden / 2}, 7);
      row_op(label("silu_mul"), 1.5 * size, [&] { ops::silu_mul(ctx(), x, half); });
      Tensor cos = tensor({tokens, 64}, 8, DType::kF32), sin = tensor({tokens, 64}, 9, DType::kF32);
      for (const auto rounding : {ops::RopeRounding::kOnce, ops::RopeRounding::kEachStep})
        row_op(
            label(rounding == ops::RopeRounding::kOnce ? "rope once" : "rope each step"), 2 * size,
            [&] {
              ops::rope(ctx(), x.view().reshape({tokens, hidden / 128, 128}), cos, sin, rounding);
            });
    }
  }

  /// Rows of a whole vocabulary, of which the likeliest are as far apart as a model's are.
  void samples() {
    constexpr std::int64_t kRows = 8, kVocab = 151936;
    Tensor logits = tensor({kRows, kVocab}, 1), ids = table({kRows}, std::vector<std::int32_t>(8)),
           logprobs = tensor({kRows}, 2, DType::kF32);
    for (std::int64_t i = 0; i < kRows * kVocab; ++i) {
      const double u = to_unit_double(random_bits(3, static_cast<std::uint64_t>(i)));
      logits.view().data<BFloat16>()[i] = to_bfloat16(static_cast<float>(-3 * std::log(u + 1e-9)));
    }
    struct Way {
      const char* name;
      ops::SampleRow row;
    };
    for (const Way& way : {Way{"temperature 0.7, top-k 20, top-p 0.8", {0.5, 0.8, 0, 0.7F, 20}},
                           Way{"temperature 0.7, top-p 0.9", {0.5, 0.9, 0, 0.7F, 0}},
                           Way{"temperature 1", {0.5, 1, 0, 1, 0}}}) {
      Tensor params(ledger_, {}, DType::kI64, {kRows, ops::kSampleRowWords}, MemoryTag::kStaging);
      for (std::int64_t r = 0; r < kRows; ++r)
        std::memcpy(params.view().data<std::int64_t>() + r * ops::kSampleRowWords, &way.row,
                    sizeof way.row);
      measure(way.name, kRows * 1e9, "rows/s",
              [&] { ops::sample(ctx(), logits, params, ids, logprobs); }, {});
    }
  }

  Options options_;
  MemoryLedger ledger_;
  Buffer big_;
  std::vector<Context> ctx_;
  int threads_ = 1;
  std::string group_;
  nlohmann::json results_ = nlohmann::json::array();
};

}  // namespace
}  // namespace retinue::bench

int main(int argc, char** argv) {
  retinue::bench::Options options;
  for (int i = 1; i + 1 < argc; i += 2) {
    const std::string flag = argv[i], value = argv[i + 1];
    if (flag == "--threads") options.threads = std::stoi(value);
    if (flag == "--rounds") options.rounds = std::stoi(value);
    if (flag == "--only") options.only = value;
    if (flag == "--json") options.json = value;
  }
  retinue::bench::Bench(options).run();
}
