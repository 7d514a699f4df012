// Runs synthetic requests through the engine on two ranks (threads): the gain of batching, mixed
// steps and shared prefixes, beside the decoder's own time for the same steps, in one process.
//   engine_bench [--rounds N] [--only MODEL] [--json FILE]
// Models: the small captioner, and a random one of 247 M parameters.
#include "layers/weights/weight_source.h"
#include "parallel/base/statistics.h"
#include "tests/bench/scaled_model.h"
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

/// Four of the 28 decoder layers of Qwen3-VL-2B, a smaller vocabulary, and a tower of negligible
/// cost.
constexpr bench::ModelScale kScale = {.layers = 4,
                                      .vision_depth = 4,
                                      .vocab = 16384,
                                      .positions = 4096,
                                      .vision_hidden = 128,
                                      .vision_heads = 4,
                                      .vision_positions = 256};

struct Subject {
  std::string name;
  test::EngineModel model;
};

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
  std::int64_t logit_rows = 0;
  std::int64_t keys = 0;  ///< attended, summed over rows
  double seconds = 0;     ///< from its plan to the next one's
};

struct Measured {
  double seconds = 0;
  std::vector<Step> steps;
  EngineStats leader;
  std::vector<runtime::Completion> completions;
};

class NoPixels final : public runtime::PixelSource {
 public:
  void prefetch(std::uint64_t) override {}
  std::optional<Result<layers::Patches>> take(std::uint64_t) override { return std::nullopt; }
};

/// Submits all tasks at once; measures from the first submit to the last completion.
Measured measure(EngineRanks& ranks, const std::vector<EngineTask>& tasks,
                 const EngineLimits& limits, const EngineOptions& options) {
  Measured m;
  const SteadyClock clock;
  EngineStats before;
  double begin = 0, step_begin = 0;
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
          const double time = clock.now_s();
          m.steps.push_back({now.tokens - before.tokens, now.logit_rows - before.logit_rows,
                             now.attended_keys - before.attended_keys, time - step_begin});
          before = now;
          m.seconds = time - begin;
        }
        step_begin = clock.now_s();
      });
  m.leader = all[0];
  return m;
}

/// Seconds of a step: a table by rows and one by rows of logits, linear between entries, and a term
/// per key. Fitted to steps of one kind each, so that a sum of predictions is the mean time of
/// those steps, other work on the machine included.
class StepModel {
 public:
  /// Runs steps of every kind once. Called several times, between the runs that are compared with
  /// the model, so that both meet the same machine.
  void sample(EngineRanks& ranks) {
    const auto take = [&](const Measured& m, std::int64_t rows) {
      // The first steps of a run meet cold caches.
      for (std::size_t i = 2; i < m.steps.size(); ++i)
        if (m.steps[i].rows == rows) steps_.push_back(m.steps[i]);
    };
    for (const std::int64_t rows : {1, 2, 4, 8, 12, 16, 24, 32, 64}) {
      EngineLimits limits = ranks.limits();
      limits.max_sequences = limits.max_logit_rows = rows;
      // Over few keys and over many.
      take(measure(ranks, text_tasks(rows, 16, 16), limits, {}), rows);
      if (rows <= 16) take(measure(ranks, text_tasks(rows, 128, 12), limits, {}), rows);
    }
    for (const std::int64_t rows : kRows) {
      EngineLimits limits = ranks.limits();
      limits.max_batch_tokens = rows;
      limits.max_sequences = limits.max_logit_rows = std::min<std::int64_t>(rows, 2);
      take(measure(ranks, text_tasks(rows < 24 ? 1 : 4, rows < 8 ? 48 : 240, 1), limits, {}), rows);
    }
  }
  void fit() {
    // Errors are relative to predictions: relative to measurements, quick steps would count more.
    std::vector<double> scale;
    for (const Step& step : steps_) scale.push_back(step.seconds);
    for (int round = 0; round < 4; ++round) {
      solve(scale);
      for (std::size_t i = 0; i < steps_.size(); ++i) scale[i] = seconds(steps_[i]);
    }
  }

  [[nodiscard]] double seconds(const Step& step) const {
    const Features x = features(step);
    return std::inner_product(x.begin(), x.end(), weights_.begin(), 0.0);
  }
  [[nodiscard]] double seconds(const Measured& m) const {
    double sum = 0;
    for (const Step& step : m.steps)
      if (step.rows > 0) sum += seconds(step);
    return sum;
  }
  /// Seconds of a step with so many rows that decode, over `keys` keys each.
  [[nodiscard]] double decode_s(std::int64_t rows, std::int64_t keys) const {
    return seconds(Step{rows, rows, rows * keys, 0});
  }
  static constexpr std::array<std::int64_t, 13> kRows = {1,  2,  4,  8,  12,  16, 24,
                                                         32, 48, 64, 96, 128, 256};

 private:
  /// Points of the two tables. The head's weights are read only if a step computes logits.
  static constexpr std::array<std::int64_t, 5> kLogitRows = {0, 1, 8, 16, 64};
  static constexpr std::size_t kWeights = kRows.size() + kLogitRows.size();
  using Features = std::array<double, kWeights>;

  /// Weights of the two points around `value`; beyond the last point, in proportion to it.
  template <std::size_t size>
  static void place(std::int64_t value, const std::array<std::int64_t, size>& points, double* x) {
    const auto above =
        static_cast<std::size_t>(std::ranges::lower_bound(points, value) - points.begin());
    if (above == 0) {
      x[0] = 1;
    } else if (above == size) {
      x[size - 1] = static_cast<double>(value) / static_cast<double>(points.back());
    } else {
      const double part = static_cast<double>(value - points[above - 1]) /
                          static_cast<double>(points[above] - points[above - 1]);
      x[above - 1] = 1 - part, x[above] = part;
    }
  }
  static Features features(const Step& step) {
    Features x{};
    place(step.rows, kRows, x.data());
    place(step.logit_rows, kLogitRows, x.data() + kRows.size());
    // A step without logits has no head to compute, so this entry serves the keys.
    x[kRows.size()] = static_cast<double>(step.keys) / 1e3;
    return x;
  }
  /// Least squares of errors, each divided by its scale.
  void solve(const std::vector<double>& scale) {
    std::array<std::array<double, kWeights + 1>, kWeights> a{};
    for (std::size_t k = 0; k < steps_.size(); ++k) {
      Features x = features(steps_[k]);
      for (double& value : x) value /= scale[k];
      for (std::size_t i = 0; i < kWeights; ++i) {
        for (std::size_t j = 0; j < kWeights; ++j) a[i][j] += x[i] * x[j];
        a[i][kWeights] += x[i] * steps_[k].seconds / scale[k];
      }
    }
    for (std::size_t i = 0; i < kWeights; ++i) a[i][i] *= 1 + 1e-9;
    // Gauss-Jordan; the matrix is symmetric positive definite.
    for (std::size_t i = 0; i < kWeights; ++i)
      for (std::size_t row = 0; row < kWeights; ++row) {
        if (row == i || a[i][i] == 0) continue;
        const double factor = a[row][i] / a[i][i];
        for (std::size_t j = i; j <= kWeights; ++j) a[row][j] -= factor * a[i][j];
      }
    for (std::size_t i = 0; i < kWeights; ++i) weights_[i] = a[i][kWeights] / a[i][i];
  }

  std::vector<Step> steps_;
  Features weights_{};
};

/// Requests under limits. Cases run in turns, so that a slow minute affects all alike; sums over
/// the turns are compared.
struct Case {
  std::string what;
  std::vector<EngineTask> tasks;
  EngineLimits limits;
  EngineOptions options;
  std::vector<Measured> runs = {};

  [[nodiscard]] double seconds() const {
    double sum = 0;
    for (const Measured& run : runs) sum += run.seconds;
    return sum / static_cast<double>(runs.size());
  }
};

/// Prints the mean seconds of a run, rows per second with those of prompts, and the ratio of all
/// runs to the model. Shares and rows per step are the last run's.
nlohmann::json report(const Case& of, const StepModel& model) {
  double predicted = 0;
  for (const Measured& run : of.runs) predicted += model.seconds(run);
  predicted /= static_cast<double>(of.runs.size());
  const double seconds = of.seconds();
  const Measured& m = of.runs.back();
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
  const double idle = static_cast<double>(m.leader.idle_steps) /
                      static_cast<double>(std::max<std::int64_t>(1, m.leader.steps));
  fmt::print(
      "  {:<40} {:6.2f} s {:6.0f} rows/s  of the step model {:.2f}  decoder {:4.1f} %  planner "
      "{:3.1f} %  waits {:3.1f} %  sampling {:3.1f} %  idle {:.1f} %  rows per step{}\n",
      of.what, seconds, static_cast<double>(m.leader.tokens) / seconds, predicted / seconds,
      100 * m.leader.forward_s / m.seconds, 100 * m.leader.plan_s / m.seconds,
      100 * m.leader.wait_s / m.seconds, 100 * m.leader.sample_s / m.seconds, 100 * idle,
      composition);
  return {{"what", of.what},
          {"seconds", seconds},
          {"rows", m.leader.tokens},
          {"steps", m.leader.steps},
          {"of_step_model", predicted / seconds},
          {"decoder_share", m.leader.forward_s / m.seconds},
          {"planner_share", m.leader.plan_s / m.seconds},
          {"wait_share", m.leader.wait_s / m.seconds},
          {"sampling_share", m.leader.sample_s / m.seconds},
          {"idle_share", idle},
          {"rows_per_step", composition}};
}

/// Mixed steps and separate phases for the same requests.
struct Comparison {
  std::string what;
  std::vector<std::pair<Case, Case>> by_budget;  ///< mixed, separate
};

Comparison compare(const EngineLimits& most, std::int64_t sequences,
                   const std::vector<EngineTask>& requests,
                   const std::vector<std::int64_t>& budgets, const std::string& lengths) {
  Comparison comparison{fmt::format("{} sequences of {}", sequences, lengths), {}};
  for (const std::int64_t budget : budgets) {
    EngineLimits limits = most;
    limits.max_sequences = limits.max_logit_rows = sequences;
    limits.max_batch_tokens = budget;
    limits.kv_blocks = std::min(limits.kv_blocks, sequences * 8);
    const auto one = [&](bool separate) {
      return Case{
          fmt::format("{}, {} rows, {}", comparison.what, budget, separate ? "separate" : "mixed"),
          requests,
          limits,
          {.separate_phases = separate}};
    };
    comparison.by_budget.emplace_back(one(false), one(true));
  }
  return comparison;
}

nlohmann::json report(const Comparison& comparison, const StepModel& model) {
  nlohmann::json results;
  double mixed = 1e9, separate = 1e9;
  for (const auto& [one, other] : comparison.by_budget) {
    results.push_back(report(one, model));
    results.push_back(report(other, model));
    mixed = std::min(mixed, one.seconds());
    separate = std::min(separate, other.seconds());
    fmt::print("    mixed {:.2f} x separate\n", other.seconds() / one.seconds());
  }
  fmt::print("  {}: mixed {:.2f} x separate, each at its best step size\n", comparison.what,
             separate / mixed);
  results.push_back({{"what", comparison.what}, {"mixed_over_separate", separate / mixed}});
  return results;
}

/// Runs all cases in turns, `rounds` times.
void scheduling(EngineRanks& ranks, int rounds, nlohmann::json& out) {
  StepModel model;
  // Of three sequences two decode, and the third one's prompt fills the rest of a step that still
  // takes only as long as reading the weights; sixteen sequences are bound by arithmetic.
  const EngineLimits most = ranks.limits();
  std::vector<Comparison> comparisons = {
      compare(most, 3, text_tasks(48, 160, 32), {14, 256}, "160 + 32"),
      compare(most, 16, text_tasks(64, 96, 32), {32, 256}, "96 + 32")};
  const auto requests = text_tasks(64, 8, 16);
  EngineLimits one = most;
  one.max_sequences = one.max_logit_rows = 1;
  Case batched{"64 requests, up to 64 at once", requests, most, {}};
  Case single{"64 requests, one by one", requests, one, {}};
  const auto run = [&](Case& of) {
    of.runs.push_back(measure(ranks, of.tasks, of.limits, of.options));
  };
  for (int round = 0; round < rounds; ++round) {
    for (Comparison& comparison : comparisons) {
      model.sample(ranks);
      for (auto& [mixed, separate] : comparison.by_budget) run(mixed), run(separate);
    }
    run(batched), run(single);
  }
  model.fit();
  fmt::print("  step that decodes over 100 keys, ms by rows:");
  for (const std::int64_t rows : StepModel::kRows) {
    const double seconds = model.decode_s(rows, 100);
    fmt::print(" {}: {:.2f}", rows, seconds * 1e3);
    out["step_ms"][std::to_string(rows)] = seconds * 1e3;
  }
  fmt::print("\n");
  for (const Comparison& comparison : comparisons)
    out["mixed"].push_back(report(comparison, model));
  out["batching"] = {report(batched, model), report(single, model)};
  const double gain = single.seconds() / batched.seconds();
  fmt::print("  continuous batching: {:.1f} x one by one\n", gain);
  out["batching"].push_back({{"batched_over_single", gain}});
}

nlohmann::json prefix_reuse(const test::EngineModel& model, int rounds) {
  const test::TaskShape shape{.prefix_tokens = 0,
                              .text_tokens = 16,
                              .images = 1,
                              .distinct_images = 500,
                              .image_side = 8,
                              .new_tokens = 16};
  runtime::EngineSizing most = test::sizing_for(shape);
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

int run(int rounds, const std::string& only, const std::string& json) {
  nlohmann::json results = {{"schema_version", 1}, {"ranks", 2}, {"rounds", rounds}};
  const std::vector<Subject> subjects = {
      {"captioner", test::captioner_engine_model()},
      {"scaled",
       {.config = bench::scaled_model(kScale),
        .computation = {},
        .weights = [] { return std::make_unique<layers::RandomSource>(1); },
        .pixel_values = {}}}};
  for (const Subject& subject : subjects) {
    if (!only.empty() && subject.name != only) continue;
    runtime::EngineSizing most;
    most.max_batch_tokens = 256, most.max_sequences = 64, most.max_new_tokens = 64;
    most.max_text_tokens = 320, most.max_image_patches = 16;
    EngineRanks ranks(subject.model, 2, most);
    fmt::print(
        "{}: {:.0f} M parameters, bf16, 2 ranks (threads)\n", subject.name,
        static_cast<double>(ranks.model(0).weight_bytes() + ranks.model(1).weight_bytes()) / 2e6);
    nlohmann::json& out = results[subject.name];
    scheduling(ranks, rounds, out);
    if (subject.name == "captioner") out["prefix_reuse"] = prefix_reuse(subject.model, rounds);
  }
  if (!json.empty()) std::ofstream(json) << results.dump(2) << "\n";
  return 0;
}

}  // namespace
}  // namespace retinue

int main(int argc, char** argv) {
  int rounds = 3;
  std::string only, json;
  for (int i = 1; i + 1 < argc; i += 2) {
    const std::string key = argv[i];
    if (key == "--rounds") {
      rounds = std::stoi(argv[i + 1]);
    } else if (key == "--only") {
      only = argv[i + 1];
    } else if (key == "--json") {
      json = argv[i + 1];
    } else {
      fmt::print(stderr, "[bench] unknown option {}. Known: --rounds --only --json\n", key);
      return 2;
    }
  }
  return retinue::run(rounds, only, json);
}
