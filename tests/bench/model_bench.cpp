// Times prefill and decode of a scaled Qwen3-VL beside the machine's own ceilings, in one process.
//   model_bench [--threads N] [--rounds N] [--layers N] [--depth N] [--image SIDE] [--json FILE]
// Widths are those of Qwen3-VL-2B, weights are random; only depth and vocabulary are smaller. The
// same with FP8 projections takes turns with it.
#include "layers/decoder/mrope.h"
#include "layers/model/qwen3_vl.h"
#include "parallel/base/rng.h"
#include "tests/bench/ceilings.h"
#include "tests/bench/scaled_model.h"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <chrono>
#include <cstring>
#include <fstream>
#include <map>
#include <numeric>
#include <string>
#include <thread>

namespace retinue {
namespace {

struct Arguments {
  std::map<std::string, std::int64_t> number = {{"threads", 2}, {"rounds", 5},   {"layers", 6},
                                                {"depth", 6},   {"image", 1024}, {"decode", 32}};
  std::string json;
};

Arguments parse(int argc, char** argv) {
  Arguments arguments;
  for (int i = 1; i + 1 < argc; i += 2) {
    const std::string key = std::string(argv[i]).substr(2);
    if (key == "json")
      arguments.json = argv[i + 1];
    else
      arguments.number.at(key) = std::stoll(argv[i + 1]);
  }
  return arguments;
}

/// A ceiling, measured a few times after the kernels' threads have stopped spinning for work.
double ceiling(const std::function<double()>& measure) {
  std::this_thread::sleep_for(std::chrono::milliseconds(300));
  double best = 0;
  for (int i = 0; i < 3; ++i) best = std::max(best, measure());
  return best;
}

/// A multiply-add counts as two operations.
struct Flops {
  double vision, decoder;
};
Flops flops(const layers::ModelConfig& c, double patches, double tokens) {
  const auto d = static_cast<double>(c.vision.hidden_size),
             f = static_cast<double>(c.vision.intermediate_size);
  const auto depth = static_cast<double>(c.vision.depth),
             out = static_cast<double>(c.vision.out_hidden_size);
  const double linear =
      2 * (depth * (4 * d * d + 2 * d * f) + static_cast<double>(c.vision.patch_width()) * d);
  const double mergers =
      2 * static_cast<double>(1 + c.vision.taps()) * (16 * d * d + 4 * d * out) / 4;
  const auto h = static_cast<double>(c.text.hidden_size),
             q = static_cast<double>(c.text.num_attention_heads * c.text.head_dim);
  const auto kv = static_cast<double>(c.text.num_key_value_heads * c.text.head_dim),
             i = static_cast<double>(c.text.intermediate_size);
  const auto layers = static_cast<double>(c.text.num_hidden_layers);
  return {patches * (linear + mergers + 4 * depth * d * patches),
          tokens * layers * (2 * (h * (2 * q + 2 * kv) + 3 * h * i) + 4 * q * (tokens + 1) / 2) +
              2 * h * static_cast<double>(c.text.vocab_size)};
}

template <class T>
ConstTensorView view(const std::vector<T>& values, Shape shape) {
  return {reinterpret_cast<const std::byte*>(values.data()), dtype_of<T>(), shape};
}

class Model {
 public:
  Model(const layers::ModelConfig& config, int threads, std::int64_t prompt)
      : config_(config),
        ctx_(Device{}, threads,
             Buffer(ledger_, Device{}, std::size_t{1} << 30, MemoryTag::kActivations),
             Buffer(ledger_, Device{}, std::size_t{1} << 28, MemoryTag::kScratch)),
        source_(1) {
    options_.computation.dtype = DType::kBF16;
    options_.kv_blocks = (prompt + 1024) / 32;
    options_.feature_rows = prompt;
    for (int i = 0; i < 768; ++i)
      options_.pixel_values.push_back((static_cast<float>(i % 256) - 127.5F) / 127.5F);
    model_ = std::make_unique<layers::Qwen3Vl>(ctx_, ledger_, config, layers::TensorAxis{},
                                               &source_, options_);
  }

  void encode(const std::vector<std::uint8_t>& patches, layers::GridThw grid) {
    const std::vector<layers::GridThw> grids = {grid};
    const std::vector<layers::ExchangedImage> images = {{0, grid.patches() / 4, 0}};
    model_->encode(ctx_, view(patches, Shape{grid.patches(), config_.vision.patch_width()}), grids,
                   images);
  }

  /// Tokens at the end of the one sequence; `visual` of them are placeholders, from the fifth on.
  void step(const std::vector<std::int32_t>& ids, const std::vector<std::int32_t>& positions,
            std::int64_t cached, std::int64_t visual) {
    const auto tokens = static_cast<std::int64_t>(ids.size());
    std::vector<std::int32_t> slots(ids.size()),
        table(static_cast<std::size_t>(options_.kv_blocks)),
        sources(static_cast<std::size_t>(visual)), rows(sources.size());
    std::iota(slots.begin(), slots.end(), static_cast<std::int32_t>(cached));
    std::iota(table.begin(), table.end(), 0);
    std::iota(sources.begin(), sources.end(), 0);
    std::iota(rows.begin(), rows.end(), 4);
    const std::vector<std::int32_t> cu = {0, static_cast<std::int32_t>(tokens)},
                                    lens = {static_cast<std::int32_t>(cached + tokens)};
    const std::vector<std::int32_t> last = {static_cast<std::int32_t>(tokens - 1)};
    layers::StepInputs inputs;
    inputs.ids = view(ids, Shape{tokens});
    inputs.positions = view(positions, Shape{3, tokens});
    inputs.slot_mapping = view(slots, Shape{tokens});
    inputs.block_table = view(table, Shape{1, options_.kv_blocks});
    inputs.cu_seqlens = view(cu, Shape{2});
    inputs.seq_lens = view(lens, Shape{1});
    inputs.visual_sources = view(sources, Shape{visual});
    inputs.visual_rows = view(rows, Shape{visual});
    inputs.logit_rows = view(last, Shape{1});
    Frame frame(ctx_);
    model_->forward(ctx_, inputs, ctx_.alloc({1, config_.text.vocab_size}, DType::kBF16));
  }

  [[nodiscard]] std::int64_t weight_bytes() const { return model_->weight_bytes(); }

 private:
  layers::ModelConfig config_;
  MemoryLedger ledger_;
  Context ctx_;
  layers::RandomSource source_;
  layers::ModelOptions options_;
  std::unique_ptr<layers::Qwen3Vl> model_;
};

double seconds(const std::function<void()>& body) {
  const auto begin = std::chrono::steady_clock::now();
  body();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
}

int run(const Arguments& a) {
  const int threads = static_cast<int>(a.number.at("threads"));
  const layers::ModelConfig config = bench::scaled_model({.layers = a.number.at("layers"),
                                                          .vision_depth = a.number.at("depth"),
                                                          .vocab = 32768,
                                                          .positions = 8192});
  const std::int64_t side = a.number.at("image") / config.vision.patch_size;
  const layers::GridThw grid{1, side, side};
  const std::int64_t visual = grid.patches() / 4, prompt = visual + 64;

  std::vector<std::int32_t> ids(static_cast<std::size_t>(prompt), 100);
  std::fill_n(ids.begin() + 4, visual, static_cast<std::int32_t>(config.image_token_id));
  const std::vector<layers::GridThw> grids = {grid};
  const layers::PromptPositions positions = layers::prompt_positions(config, ids, grids);
  std::vector<std::uint8_t> patches(
      static_cast<std::size_t>(grid.patches() * config.vision.patch_width()));
  for (std::size_t i = 0; i < patches.size(); ++i)
    patches[i] = static_cast<std::uint8_t>(random_bits(1, i));

  layers::ModelConfig fp8_config = config;
  fp8_config.fp8 = layers::Fp8Weights{{"lm_head", "visual"}};
  Model model(config, threads, prompt), fp8(fp8_config, threads, prompt);
  fp8.encode(patches, grid);
  const Flops work =
      flops(config, static_cast<double>(grid.patches()), static_cast<double>(prompt));
  const double layer_parameters =
      static_cast<double>(config.text.hidden_size) * (2.0 * 2048 + 2 * 1024 + 3.0 * 6144);
  // Bytes that one decode step must read: every layer, the head, the cache so far.
  const double step_bytes =
      2 * (static_cast<double>(config.text.num_hidden_layers) * layer_parameters + 32768.0 * 2048) +
      static_cast<double>(config.text.num_hidden_layers * prompt) * 2 * 1024 * 2;
  std::vector<std::byte> memory(std::size_t{512} << 20, std::byte{1});

  // Ceilings and work take turns, so that a slow minute of the machine affects both; the best of
  // each counts.
  double peak = 0, read = 0, vision_s = 1e9, decoder_s = 1e9, decode_s = 1e9;
  double fp8_decoder_s = 1e9, fp8_decode_s = 1e9;
  for (std::int64_t round = 0; round < a.number.at("rounds"); ++round) {
    peak = std::max(peak,
                    ceiling([&] { return bench::register_peak(detect_cpu_isa(), true, threads); }));
    vision_s = std::min(vision_s, seconds([&] { model.encode(patches, grid); }));
    decoder_s = std::min(decoder_s, seconds([&] { model.step(ids, positions.values, 0, visual); }));
    fp8_decoder_s =
        std::min(fp8_decoder_s, seconds([&] { fp8.step(ids, positions.values, 0, visual); }));
    read = std::max(read, ceiling([&] {
                      return bench::read_bandwidth(memory.data(), memory.size(), threads);
                    }));
    for (std::int64_t i = 0; i < a.number.at("decode"); ++i) {
      const std::vector<std::int32_t> at(3, positions.next + static_cast<std::int32_t>(i));
      decode_s = std::min(decode_s, seconds([&] { model.step({200}, at, prompt + i, 0); }));
    }
    for (std::int64_t i = 0; i < a.number.at("decode"); ++i) {
      const std::vector<std::int32_t> at(3, positions.next + static_cast<std::int32_t>(i));
      fp8_decode_s = std::min(fp8_decode_s, seconds([&] { fp8.step({200}, at, prompt + i, 0); }));
    }
  }
  const double prefill = (work.vision + work.decoder) / (vision_s + decoder_s);
  fmt::print(
      "Qwen3-VL-2B widths, {} layers, vision depth {}, {:.0f} M parameters, bf16, {} thread(s), "
      "{}\n",
      config.text.num_hidden_layers, config.vision.depth,
      static_cast<double>(model.weight_bytes()) / 2e6, threads, name(detect_cpu_isa()));
  fmt::print("register peak (bf16 pair product) {:8.1f} GFLOP/s    pure read {:6.1f} GB/s\n",
             peak / 1e9, read / 1e9);
  fmt::print("vision   {0}x{0} px, {1} patches   {2:8.1f} ms  {3:7.1f} GFLOP/s  {4:.2f} of peak\n",
             a.number.at("image"), grid.patches(), vision_s * 1e3, work.vision / vision_s / 1e9,
             work.vision / vision_s / peak);
  fmt::print("decoder  prefill of {} tokens     {:8.1f} ms  {:7.1f} GFLOP/s  {:.2f} of peak\n",
             prompt, decoder_s * 1e3, work.decoder / decoder_s / 1e9,
             work.decoder / decoder_s / peak);
  fmt::print("prefill  both                      {:8.1f} ms  {:7.1f} GFLOP/s  {:.2f} of peak\n",
             (vision_s + decoder_s) * 1e3, prefill / 1e9, prefill / peak);
  fmt::print("decode   batch 1, context {}      {:8.2f} ms  {:7.1f} GB/s     {:.2f} of pure read\n",
             prompt, decode_s * 1e3, step_bytes / decode_s / 1e9, step_bytes / decode_s / read);
  const double projections =
      static_cast<double>(config.text.num_hidden_layers) * layer_parameters * 2;
  const double fp8_projections =
      projections - static_cast<double>(model.weight_bytes() - fp8.weight_bytes());
  fmt::print(
      "fp8      prefill {:.1f} ms, {:.2f} of bf16's rate; decode {:.2f} ms, {:.2f} of bf16's rate\n"
      "         projections {:.3f} of bf16's bytes, all weights {:.3f}\n",
      fp8_decoder_s * 1e3, decoder_s / fp8_decoder_s, fp8_decode_s * 1e3, decode_s / fp8_decode_s,
      fp8_projections / projections,
      static_cast<double>(fp8.weight_bytes()) / static_cast<double>(model.weight_bytes()));
  if (!a.json.empty()) {
    const nlohmann::json report = {{"schema_version", 1},
                                   {"threads", threads},
                                   {"isa", name(detect_cpu_isa())},
                                   {"parameters", model.weight_bytes() / 2},
                                   {"layers", config.text.num_hidden_layers},
                                   {"depth", config.vision.depth},
                                   {"image", a.number.at("image")},
                                   {"prompt_tokens", prompt},
                                   {"register_peak_flops", peak},
                                   {"read_bytes_per_s", read},
                                   {"vision_s", vision_s},
                                   {"decoder_s", decoder_s},
                                   {"decode_s", decode_s},
                                   {"fp8_decoder_s", fp8_decoder_s},
                                   {"fp8_decode_s", fp8_decode_s},
                                   {"fp8_weight_bytes", fp8.weight_bytes()},
                                   {"vision_of_peak", work.vision / vision_s / peak},
                                   {"decoder_of_peak", work.decoder / decoder_s / peak},
                                   {"prefill_of_peak", prefill / peak},
                                   {"decode_of_read", step_bytes / decode_s / read}};
    std::ofstream(a.json) << report.dump(2) << "\n";
  }
  return 0;
}

}  // namespace
}  // namespace retinue

int main(int argc, char** argv) { return retinue::run(retinue::parse(argc, argv)); }
