#include "tests/support/engine_runs.h"

#include "layers/weights/weight_source.h"
#include "parallel/base/check.h"
#include "parallel/base/rng.h"
#include "parallel/comm/local/local_communicator.h"

#include <algorithm>
#include <exception>
#include <map>
#include <thread>

namespace retinue::test {

namespace {

constexpr std::uint64_t kGoldenSeed = 20251;
constexpr std::uint64_t kKeysPerTask = 100;
const std::string kEmbedding = "model.language_model.embed_tokens.weight";
const std::string kHead = "lm_head.weight";

std::vector<float> symmetric_pixel_values() {
  std::vector<float> values;
  for (int i = 0; i < 768; ++i) values.push_back((static_cast<float>(i % 256) - 127.5F) / 127.5F);
  return values;
}

/// Gives some rows of the embedding another value; a head that was tied reads the rows as they were.
class PoisonedSource final : public layers::WeightSource {
 public:
  PoisonedSource(std::unique_ptr<layers::WeightSource> from, bool tied,
                 const std::vector<std::int32_t>& ids, float value)
      : from_(std::move(from)), tied_(tied), ids_(ids), value_(value) {}

  void require(const std::string& name, const Shape& shape, DType dtype) override {
    from_->require(stored(name), shape, dtype);
  }
  void read(const std::string& name, const Shape& shape, const layers::WeightSlice& slice,
            TensorView to) override {
    from_->read(stored(name), shape, slice, to);
    if (name != kEmbedding) return;
    for (const std::int64_t id : ids_) {
      const std::int64_t row = id - slice.first_row;
      if (row < 0 || row >= slice.rows) continue;
      for (std::int64_t c = 0; c < slice.columns; ++c)
        if (to.dtype() == DType::kF32)
          to.data<float>()[row * to.row_stride() + c] = value_;
        else
          to.data<BFloat16>()[row * to.row_stride() + c] = to_bfloat16(value_);
    }
  }
  void finish() override { from_->finish(); }

 private:
  [[nodiscard]] const std::string& stored(const std::string& name) const {
    return tied_ && name == kHead ? kEmbedding : name;
  }

  std::unique_ptr<layers::WeightSource> from_;
  bool tied_;
  std::vector<std::int32_t> ids_;
  float value_;
};

/// The pixels behind a run's keys; read by all ranks.
struct Pixels {
  std::map<std::uint64_t, const layers::Patches*> patches;
  std::map<std::uint64_t, DataError> broken;
};

class TaskPixels final : public runtime::PixelSource {
 public:
  TaskPixels(const Pixels& pixels, const EngineConditions& how) : pixels_(pixels), how_(how) {}

  void prefetch(std::uint64_t key) override {
    int& left = left_[key] = how_.pixel_delay;
    if (how_.pixel_seed != 0)
      left = static_cast<int>(random_bits(how_.pixel_seed, key) %
                              static_cast<std::uint64_t>(how_.pixel_delay + 1));
  }
  std::optional<Result<layers::Patches>> take(std::uint64_t key) override {
    if (left_.at(key)-- > 0) return std::nullopt;
    left_.erase(key);
    if (const auto bad = pixels_.broken.find(key); bad != pixels_.broken.end())
      return Result<layers::Patches>(bad->second);
    return Result<layers::Patches>(*pixels_.patches.at(key));
  }

 private:
  const Pixels& pixels_;
  const EngineConditions& how_;
  std::map<std::uint64_t, int> left_;
};

}  // namespace

EngineModel golden_engine_model(const std::string& config, DType dtype) {
  return {.config = layers::load_model_config(std::string(RETINUE_SOURCE_DIR) +
                                              "/tests/golden/model/configs/" + config),
          .computation = {.dtype = dtype},
          .weights = [] { return std::make_unique<layers::RandomSource>(kGoldenSeed); },
          .pixel_values = {}};
}

EngineModel captioner_engine_model() {
  const std::string folder = std::string(RETINUE_SOURCE_DIR) + "/configs/models/emoji-captioner";
  return {.config = layers::load_model_config(folder),
          .computation = {},
          .weights = [folder] { return std::make_unique<layers::CheckpointSource>(folder); },
          .pixel_values = {}};
}

EngineModel poisoned(const EngineModel& model, const std::vector<std::int32_t>& ids, float value) {
  EngineModel changed = model;
  const bool tied = model.config.text.tie_word_embeddings;
  changed.config.text.tie_word_embeddings = false;
  changed.weights = [weights = model.weights, tied, ids, value] {
    return std::make_unique<PoisonedSource>(weights(), tied, ids, value);
  };
  return changed;
}

struct EngineRanks::Rank {
  MemoryLedger ledger;
  std::unique_ptr<Context> ctx;
  std::unique_ptr<layers::Qwen3Vl> model;
};

EngineRanks::EngineRanks(const EngineModel& model, int ranks, const runtime::EngineSizing& most)
    : group_(make_local_group(ranks, "tensor", 120)),
      plan_(runtime::plan_engine(model.config, model.computation, Device{}, ranks, 1,
                                 std::int64_t{4} << 30, most)) {
  layers::ModelOptions options;
  options.computation = model.computation;
  options.kv_blocks = plan_.limits.kv_blocks;
  options.kv_block_size = plan_.limits.kv_block_tokens;
  options.feature_rows = plan_.limits.feature_rows;
  options.pixel_values = model.pixel_values.empty() ? symmetric_pixel_values() : model.pixel_values;
  const auto buffer = [](MemoryLedger& ledger, std::int64_t bytes, MemoryTag tag) {
    return Buffer(ledger, Device{}, static_cast<std::size_t>(bytes), tag);
  };
  for (int r = 0; r < ranks; ++r) {
    auto rank = std::make_unique<Rank>();
    rank->ctx = std::make_unique<Context>(
        Device{}, 1, buffer(rank->ledger, plan_.activation_bytes, MemoryTag::kActivations),
        buffer(rank->ledger, plan_.scratch_bytes, MemoryTag::kScratch));
    const auto source = model.weights();
    rank->model = std::make_unique<layers::Qwen3Vl>(
        *rank->ctx, rank->ledger, model.config,
        layers::TensorAxis{r, ranks, group_[static_cast<std::size_t>(r)].get(), 1}, source.get(),
        options);
    ranks_.push_back(std::move(rank));
  }
}

EngineRanks::~EngineRanks() = default;

const runtime::EngineLimits& EngineRanks::limits() const { return plan_.limits; }
const layers::Qwen3Vl& EngineRanks::model(int rank) const {
  return *ranks_[static_cast<std::size_t>(rank)]->model;
}

std::vector<runtime::EngineStats> EngineRanks::drive(
    const runtime::EngineLimits& limits, const runtime::EngineOptions& options,
    const std::function<std::unique_ptr<runtime::PixelSource>(int rank)>& pixels,
    const std::function<void(runtime::Engine&)>& leader) {
  check(limits.kv_block_tokens == plan_.limits.kv_block_tokens &&
            limits.kv_blocks <= plan_.limits.kv_blocks &&
            limits.max_batch_tokens <= plan_.limits.max_batch_tokens &&
            limits.max_sequences <= plan_.limits.max_sequences &&
            limits.feature_rows <= plan_.limits.feature_rows,
        "a run has no more than its ranks were planned for");
  std::vector<runtime::EngineStats> stats(ranks_.size());
  std::vector<std::exception_ptr> failures(ranks_.size());
  const SteadyClock clock;
  {
    std::vector<std::jthread> threads;
    for (std::size_t r = 0; r < ranks_.size(); ++r)
      threads.emplace_back([&, r] {
        try {
          Rank& rank = *ranks_[r];
          const auto source = pixels(static_cast<int>(r));
          runtime::Engine engine({.ctx = *rank.ctx,
                                  .ledger = rank.ledger,
                                  .model = *rank.model,
                                  .limits = limits,
                                  .control = *group_[r],
                                  .pixels = *source,
                                  .clock = clock,
                                  .options = options});
          do {
            if (r == 0) leader(engine);
          } while (engine.step());
          if (r == 0) leader(engine);  // what the last step has ended
          stats[r] = engine.stats();
          group_[r]->barrier();
        } catch (const std::exception& error) {
          failures[r] = std::current_exception();
          group_[r]->abort(error.what());
        }
      });
  }
  // The others fail because one did; the leader's error is the best guess where several have.
  for (const std::exception_ptr& failure : failures)
    if (failure) std::rethrow_exception(failure);
  return stats;
}

EngineOutcome EngineRanks::run(const std::vector<EngineTask>& tasks, const EngineConditions& how) {
  Pixels pixels;
  std::vector<std::size_t> order;
  for (std::size_t i = 0; i < tasks.size(); ++i) {
    order.push_back(i);
    for (std::size_t k = 0; k < tasks[i].pixels.size(); ++k)
      pixels.patches[i * kKeysPerTask + k] = &tasks[i].pixels[k];
    if (tasks[i].broken) pixels.broken[i * kKeysPerTask] = *tasks[i].broken;
  }
  std::ranges::stable_sort(order, {}, [&](std::size_t i) { return tasks[i].submit_at; });

  EngineOutcome outcome;
  outcome.completions.resize(tasks.size());
  std::size_t ended = 0, next = 0;
  std::int64_t steps = 0;
  const auto stats = drive(
      how.limits, how.options, [&](int) { return std::make_unique<TaskPixels>(pixels, how); },
      [&](runtime::Engine& engine) {
        if (steps == how.cancel_at) engine.cancel();
        for (; next < order.size() && tasks[order[next]].submit_at <= steps; ++next) {
          const std::size_t i = order[next];
          runtime::Request request = tasks[i].request;
          request.id = i;
          for (std::size_t k = 0; k < request.images.size(); ++k)
            request.images[k].key = i * kKeysPerTask + k;
          const auto refused = engine.submit(std::move(request));
          check(!refused, refused ? refused->message.c_str() : "");
        }
        for (std::size_t i = 0; i < tasks.size(); ++i)
          if (tasks[i].cancel_at == steps) static_cast<void>(engine.cancel(i));
        if (next == order.size()) engine.drain();
        for (runtime::Completion& done : engine.poll()) {
          check(outcome.completions[done.id].prompt_tokens == 0, "a request ends once");
          ++ended;
          outcome.completions[done.id] = std::move(done);
        }
        ++steps;
      });
  check(ended == tasks.size(), "every request ends");
  outcome.stats = stats[0];
  return outcome;
}

}  // namespace retinue::test
