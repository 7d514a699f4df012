// The project's key test: what the reference's generate() gives, token by token, through the whole
// path from messages to ids.
#include "runtime/decode/prefetcher.h"
#include "runtime/jobs/prepared_request.h"
#include "runtime/jobs/replica.h"
#include "tests/support/job_ranks.h"
#include "tests/support/tiny_model.h"

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <fstream>

namespace retinue::runtime {
namespace {

using Json = nlohmann::ordered_json;
using Ids = std::vector<std::int32_t>;

/// The reference's greedy cases of a configuration, as items of a job.
class Greedy : public testing::TestWithParam<std::string> {
 protected:
  Greedy() {
    const std::string folder = test::golden_folder() + "/cases/" + GetParam();
    for (const Json& golden : Json::parse(std::ifstream(folder + "/greedy.json"))) {
      const auto conversation = parse_messages(golden["messages"], folder).value();
      Item item;
      item.media = conversation.media;
      item.messages = conversation.messages->dump();
      items_.push_back(std::move(item));
      prompts_.push_back(golden["input_ids"].get<Ids>());
      outputs_.push_back(golden["output_ids"].get<Ids>());
      penalties_.push_back(golden["repetition_penalty"].get<double>());
    }
  }

  /// Outputs of `asked`, all live at once.
  std::vector<Ids> generate(std::span<const std::size_t> asked, int ranks,
                            RunOptions options) const {
    options.tensor_parallel = ranks;
    std::vector<Ids> outputs(items_.size());
    const int code = test::run_job(ranks, [&](const Session& session) {
      const ModelFiles model = load_model_files(options);
      SamplingOptions wanted;
      wanted.max_new_tokens = 64;
      wanted.ignore_eos = true;
      const Sampling sampling = resolve_sampling(wanted, model);
      const Mesh mesh(session.world, choose_mesh(options, ranks));
      const ItemTable table = ItemTable::of(items_);
      Prefetcher prefetcher(table, model.processor, model.image, 2);
      Replica replica({.options = options,
                       .model = model,
                       .mesh = mesh,
                       .share = {.threads = options.threads,
                                 .device = {},
                                 .memory_bytes = std::int64_t{1} << 30},
                       .sizing = sizing_for(options, model, table.summary(), 64),
                       .pixels = prefetcher,
                       .clock = session.clock});
      Engine& engine = replica.engine();
      if (mesh.is_leader()) {
        for (const std::size_t i : asked) {
          PreparedRequest prepared = prepare_request(items_[i], i, model, {}, sampling).value();
          EXPECT_EQ(prepared.request.ids, prompts_[i]) << "prompt " << i;
          prepared.request.sampling.repetition_penalty = penalties_[i];
          const auto refused = engine.submit(std::move(prepared.request));
          EXPECT_FALSE(refused) << refused->message;
        }
        engine.drain();
      }
      while (engine.step()) {
      }
      if (mesh.is_leader())
        for (Completion& completion : engine.poll()) {
          EXPECT_FALSE(completion.error) << completion.error->message;
          outputs[completion.id] = std::move(completion.ids);
        }
      session.world.barrier();
      return 0;
    });
    EXPECT_EQ(code, 0);
    return outputs;
  }

  [[nodiscard]] std::vector<std::size_t> all() const {
    std::vector<std::size_t> indices(items_.size());
    for (std::size_t i = 0; i < indices.size(); ++i) indices[i] = i;
    return indices;
  }

  std::vector<Item> items_;
  std::vector<Ids> prompts_, outputs_;
  std::vector<double> penalties_;
};

TEST_P(Greedy, EveryTokenIsTheReferencesOnEveryTensorAxis) {
  ASSERT_GE(items_.size(), 10U);
  for (const int ranks : {1, 2, 4, 8})
    EXPECT_EQ(generate(all(), ranks, test::golden_run(GetParam())), outputs_) << ranks << " ranks";
}

TEST_P(Greedy, AloneAsAmongOthers) {
  for (std::size_t i = 0; i < items_.size(); ++i)
    EXPECT_EQ(generate(std::span(&i, 1), 1, test::golden_run(GetParam()))[i], outputs_[i])
        << "prompt " << i;
}

TEST_P(Greedy, NoLimitOfTheEngineShows) {
  RunOptions options = test::golden_run(GetParam());
  options.max_batch_tokens = 7;
  options.max_sequences = 3;
  options.kv_block_tokens = 16;
  options.threads = 2;
  EXPECT_EQ(generate(all(), 2, options), outputs_);
}

INSTANTIATE_TEST_SUITE_P(, Greedy, testing::ValuesIn(test::golden_configs()),
                         [](const auto& instance) {
                           std::string name = instance.param;
                           std::replace(name.begin(), name.end(), '-', '_');
                           return name;
                         });

}  // namespace
}  // namespace retinue::runtime
