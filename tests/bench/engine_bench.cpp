// The engine under synthetic requests on two ranks (threads): what batching, mixed steps and shared
// prefixes are worth, beside what the decoder alone takes for the same steps, in one process.
//   engine_bench [--rounds N] [--json FILE]
// Models: the small captioner, and a random one of 110 M parameters.
#include "layers/weights/weight_source.h"
#include "tests/support/engine_runs.h"
#include "tests/support/engine_tasks.h"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <array>
#include <fstream>
#include <map>
#include <numeric>
#include <string>

namespace retinue {
namespace {

using runtime::EngineLimits;
using runtime::EngineOptions;
using runtime::EngineStats;
using test::EngineRanks;
using test::EngineTask;

layers::ModelConfig scaled_config() {
  layers::ModelConfig c;
  c.text = {.hidden_size = 768,
            .intermediate_size = 2304,
            .num_hidden_layers = 14,
            .num_attention_heads = 12,
            .num_key_value_heads = 4,
            .head_dim = 64,
            .vocab_size = 16384,
            .max_position_embeddings = 4096,
            .tie_word_embeddings = true,
            .rope_theta = 5e6,
            .mrope_section = {12, 10, 10}};
  c.vision = {.depth = 4,
              .hidden_size = 128,
              .intermediate_size = 512,
              .num_heads = 4,
              .patch_size = 16,
              .temporal_patch_size = 2,
              .spatial_merge_size = 2,
              .out_hidden_size = 768,
              .num_position_embeddings = 256,
              .deepstack_visual_indexes = {1, 2, 3}};
  c.image_token_id = 1, c.video_token_id = 2, c.vision_start_token_id = 3,
  c.vision_end_token_id = 4;
  return c;
}

struct Subject {
  std::string name;
  test::EngineModel model;
};

double median(std::vector<double> values) {
  std::ranges::sort(values);
  return values.empty() ? 0 : values[values.size() / 2];
}

/// Requests of text that differ in every token; lengths are the same or near it.
std::vector<EngineTask> text_tasks(std::int64_t count, std::int64_t prompt, std::int64_t output) {
  test::Random random(static_cast<std::uint64_t>(prompt * 1000 + output));
  std::vector<EngineTask> tasks;
  for (std::int64_t i = 0; i < count; ++i) {
    EngineTask task{.request = {}, .pixels = {}};
    for (std::int64_t k = random.in(prompt * 3 / 4, prompt * 5 / 4); k > 0; --k)
      task.request.ids.push_back(static_cast<std::int32_t>(random.in(10, 700)));
    task.request.max_new_tokens = random.in((output * 3 + 3) / 4, output * 5 / 4);
    tasks.push_back(std::move(task));
  }
  return tasks;
}

struct Step {
  std::int64_t rows = 0;
  double forward_s = 0;
};

struct Measured {
  double seconds = 0;
  std::vector<Step> steps;
  EngineStats lead;
  std::vector<runtime::Completion> completions;
};

class NoPixels final : public runtime::PixelSource {
 public:
  void prefetch(std::uint64_t) override {}
  std::optional<Result<layers::Patches>> take(std::uint64_t) override { return std::nullopt; }
};

/// All at once, from the first submit to the last completion.
Measured measure(EngineRanks& ranks, const std::vector<EngineTask>& tasks,
                 const EngineLimits& limits, const EngineOptions& options) {
  Measured m;
  const SteadyClock clock;
  EngineStats before;
  double begin = 0;
  bool submitted = false;
  const auto all = ranks.drive(
      limits, options, [](int) { return std::make_unique<NoPixels>(); },
      [&](runtime::Engine& engine) {
        if (!submitted) {
          begin = clock.now_s();
          for (std::size_t i = 0; i < tasks.size(); ++i) {
            runtime::Request request = tasks[i].request;
            request.id = i;
            if (const auto refused = engine.submit(std::move(request)))
              throw UsageError(refused->message);
          }
          engine.drain();
          submitted = true;
        } else {
          const EngineStats& now = engine.stats();
          m.steps.push_back({now.tokens - before.tokens, now.forward_s - before.forward_s});
          before = now;
          m.seconds = clock.now_s() - begin;
        }
      });
  m.lead = all[0];
  return m;
}

/// Seconds of a decoder step by rows: medians of steps of one kind, straight lines between.
class StepModel {
 public:
  StepModel(EngineRanks& ranks, int rounds) {
    std::map<std::int64_t, std::vector<double>> seen;
    for (int round = 0; round < rounds; ++round) {
      for (const std::int64_t rows : {1, 2, 4, 8, 16, 32}) {
        EngineLimits limits = ranks.limits();
        limits.max_sequences = limits.max_logit_rows = rows;
        for (const Step& step : measure(ranks, text_tasks(rows, 16, 24), limits, {}).steps)
          if (step.rows == rows) seen[rows].push_back(step.forward_s);
      }
      for (const std::int64_t rows : {48, 64, 96, 128, 256}) {
        EngineLimits limits = ranks.limits();
        limits.max_batch_tokens = rows;
        for (const Step& step : measure(ranks, text_tasks(4, 200, 1), limits, {}).steps)
          if (step.rows == rows) seen[rows].push_back(step.forward_s);
      }
    }
    for (auto& [rows, seconds] : seen) table_[rows] = median(std::move(seconds));
  }
  [[nodiscard]] double seconds(std::int64_t rows) const {
    const auto above = table_.lower_bound(rows);
    if (above == table_.begin()) return above->second;
    const auto below = std::prev(above);
    if (above == table_.end())
      return below->second * static_cast<double>(rows) / static_cast<double>(below->first);
    const double part =
        static_cast<double>(rows - below->first) / static_cast<double>(above->first - below->first);
    return below->second + part * (above->second - below->second);
  }
  [[nodiscard]] double seconds(const Measured& m) const {
    double sum = 0;
    for (const Step& step : m.steps)
      if (step.rows > 0) sum += seconds(step.rows);
    return sum;
  }
  [[nodiscard]] const std::map<std::int64_t, double>& table() const { return table_; }

 private:
  std::map<std::int64_t, double> table_;
};

/// Tokens per second of a run, prompts included, and how it compares to the decoder alone.
nlohmann::json report(const std::string& what, const Measured& m, const StepModel& model) {
  const double predicted = model.seconds(m);
  std::string composition;
  const std::size_t parts = 8;
  for (std::size_t part = 0; part < parts; ++part) {
    const std::size_t first = m.steps.size() * part / parts,
                      last = m.steps.size() * (part + 1) / parts;
    double rows = 0;
    for (std::size_t i = first; i < last; ++i) rows += static_cast<double>(m.steps[i].rows);
    composition +=
        fmt::format(" {:.0f}", last > first ? rows / static_cast<double>(last - first) : 0);
  }
  const double idle = static_cast<double>(m.lead.idle_steps) /
                      static_cast<double>(std::max<std::int64_t>(1, m.lead.steps));
  fmt::print(
      "  {:<44} {:8.2f} s {:8.0f} rows/s  model/achieved {:.2f}  decoder {:4.1f} %  planner "
      "{:4.1f} %  "
      "waits {:4.1f} %  sampling {:4.1f} %  idle {:.1f} %  rows per step{}\n",
      what, m.seconds, static_cast<double>(m.lead.tokens) / m.seconds, predicted / m.seconds,
      100 * m.lead.forward_s / m.seconds, 100 * m.lead.plan_s / m.seconds,
      100 * m.lead.wait_s / m.seconds, 100 * m.lead.sample_s / m.seconds, 100 * idle, composition);
  return {{"what", what},
          {"seconds", m.seconds},
          {"rows", m.lead.tokens},
          {"steps", m.lead.steps},
          {"step_model_over_achieved", predicted / m.seconds},
          {"decoder_share", m.lead.forward_s / m.seconds},
          {"planner_share", m.lead.plan_s / m.seconds},
          {"wait_share", m.lead.wait_s / m.seconds},
          {"sampling_share", m.lead.sample_s / m.seconds},
          {"idle_share", idle},
          {"rows_per_step", composition}};
}

/// The run of median time.
Measured typical(int rounds, const std::function<Measured()>& run) {
  std::vector<Measured> runs;
  for (int i = 0; i < rounds; ++i) runs.push_back(run());
  std::ranges::sort(runs, {}, &Measured::seconds);
  return runs[runs.size() / 2];
}

nlohmann::json mixed_against_separate(EngineRanks& ranks, const StepModel& model, int rounds) {
  nlohmann::json results;
  for (const std::int64_t sequences : {4, 16}) {
    const auto tasks = text_tasks(sequences < 8 ? 12 : 24, 96, 32);
    std::array<double, 2> best = {1e9, 1e9};
    for (const std::int64_t budget : {16, 32, 256}) {
      EngineLimits limits = ranks.limits();
      limits.max_sequences = limits.max_logit_rows = sequences;
      limits.max_batch_tokens = std::max(sequences, budget);
      limits.kv_blocks = std::min(limits.kv_blocks, sequences * 6);
      // In turns, so that a slow minute of the machine hits both.
      std::array<std::vector<Measured>, 2> runs;
      for (int round = 0; round < rounds; ++round)
        for (const bool separate : {false, true})
          runs[separate ? 1 : 0].push_back(
              measure(ranks, tasks, limits, {.separate_phases = separate}));
      for (const bool separate : {false, true}) {
        auto& of = runs[separate ? 1 : 0];
        std::ranges::sort(of, {}, &Measured::seconds);
        const Measured& m = of[of.size() / 2];
        best[separate ? 1 : 0] = std::min(best[separate ? 1 : 0], m.seconds);
        results.push_back(
            report(fmt::format("{} sequences, {} per step, {}", sequences, limits.max_batch_tokens,
                               separate ? "separate" : "mixed"),
                   m, model));
      }
    }
    fmt::print("  {} sequences: mixed {:.2f} x separate, each at its best step size\n", sequences,
               best[1] / best[0]);
    results.push_back({{"sequences", sequences}, {"mixed_over_separate", best[1] / best[0]}});
  }
  return results;
}

nlohmann::json batching(EngineRanks& ranks, const StepModel& model, int rounds) {
  const auto tasks = text_tasks(64, 8, 16);
  EngineLimits many = ranks.limits(), one = many;
  one.max_sequences = one.max_logit_rows = 1;
  const Measured batched = typical(rounds, [&] { return measure(ranks, tasks, many, {}); });
  const Measured single = typical(1, [&] { return measure(ranks, tasks, one, {}); });
  nlohmann::json results = {report("64 requests, up to 64 at once", batched, model),
                            report("64 requests, one by one", single, model)};
  fmt::print("  continuous batching: {:.1f} x one by one\n", single.seconds / batched.seconds);
  results.push_back({{"batched_over_single", single.seconds / batched.seconds}});
  return results;
}

nlohmann::json prefix_reuse(const test::EngineModel& model, int rounds) {
  const test::TaskShape shape{.prefix_tokens = 0,
                              .text_tokens = 16,
                              .images = 1,
                              .pictures = 500,
                              .picture_side = 8,
                              .new_tokens = 16};
  runtime::EngineWishes most = test::wishes_for(model.config, shape);
  most.max_text_tokens += 200, most.max_sequences = 16, most.max_batch_tokens = 256;
  most.kv_block_tokens = 16;
  EngineRanks ranks(model, 2, most);
  std::vector<EngineTask> tasks;
  for (std::int64_t i = 0; i < 500; ++i) {
    EngineTask task = test::random_task(model.config, 21, i, shape);
    std::vector<std::int32_t> instruction(200);
    std::iota(instruction.begin(), instruction.end(), 100);
    task.request.ids.insert(task.request.ids.begin(), instruction.begin(), instruction.end());
    tasks.push_back(std::move(task));
  }
  const SteadyClock clock;
  std::array<std::vector<double>, 2> seconds;
  std::array<test::EngineOutcome, 2> outcome;
  for (int round = 0; round < rounds; ++round)
    for (const std::size_t share : {0U, 1U}) {
      const double begin = clock.now_s();
      outcome[share] =
          ranks.run(tasks, {.limits = ranks.limits(), .options = {.share = share == 1}});
      seconds[share].push_back(clock.now_s() - begin);
    }
  std::size_t equal = 0;
  for (std::size_t i = 0; i < tasks.size(); ++i)
    equal +=
        outcome[0].completions[i].logits_sha256 == outcome[1].completions[i].logits_sha256 ? 1 : 0;
  const double alone = median(seconds[0]), shared = median(seconds[1]);
  fmt::print(
      "  500 requests, 200 tokens of instruction: {:.2f} s, shared {:.2f} s: {:.0f} % of the "
      "time saved, {} of {} prompt tokens reused; logits equal for {} of 500\n",
      alone, shared, 100 * (1 - shared / alone), outcome[1].stats.scheduler.reused_tokens,
      std::accumulate(tasks.begin(), tasks.end(), std::size_t{0},
                      [](std::size_t n, const EngineTask& t) { return n + t.request.ids.size(); }),
      equal);
  return {{"seconds", alone}, {"seconds_shared", shared}, {"equal_logits", equal}};
}

int run(int rounds, const std::string& json) {
  nlohmann::json results = {{"schema_version", 1}, {"ranks", 2}, {"rounds", rounds}};
  const std::vector<Subject> subjects = {
      {"captioner", test::captioner_engine_model()},
      {"scaled",
       {.config = scaled_config(),
        .dtype = DType::kBF16,
        .weights = [] { return std::make_unique<layers::RandomSource>(1); },
        .pixel_values = {}}}};
  for (const Subject& subject : subjects) {
    runtime::EngineWishes most;
    most.max_batch_tokens = 256, most.max_sequences = 64, most.max_new_tokens = 64;
    most.max_text_tokens = 320, most.max_image_pixels = 4096;
    EngineRanks ranks(subject.model, 2, most);
    fmt::print(
        "{}: {:.0f} M parameters, bf16, 2 ranks (threads)\n", subject.name,
        static_cast<double>(ranks.model(0).weight_bytes() + ranks.model(1).weight_bytes()) / 2e6);
    const StepModel model(ranks, rounds);
    nlohmann::json& out = results[subject.name];
    fmt::print("  decoder step, ms by rows:");
    for (const auto& [rows, seconds] : model.table()) {
      fmt::print(" {}: {:.2f}", rows, seconds * 1e3);
      out["step_ms"][std::to_string(rows)] = seconds * 1e3;
    }
    fmt::print("\n");
    out["mixed"] = mixed_against_separate(ranks, model, rounds);
    out["batching"] = batching(ranks, model, rounds);
    if (subject.name == "captioner") out["prefix_reuse"] = prefix_reuse(subject.model, rounds);
  }
  if (!json.empty()) std::ofstream(json) << results.dump(2) << "\n";
  return 0;
}

}  // namespace
}  // namespace retinue

int main(int argc, char** argv) {
  int rounds = 3;
  std::string json;
  for (int i = 1; i + 1 < argc; i += 2) {
    const std::string key = argv[i];
    if (key == "--rounds") {
      rounds = std::stoi(argv[i + 1]);
    } else if (key == "--json") {
      json = argv[i + 1];
    } else {
      fmt::print(stderr, "[bench] unknown option {}. Known: --rounds --json\n", key);
      return 2;
    }
  }
  return retinue::run(rounds, json);
}
