#pragma once
// Tested through tests/runtime/jobs/greedy_test.cpp.

#include "layers/model/numerics.h"
#include "layers/model/qwen3_vl.h"
#include "layers/ops/matmul_tuning.h"
#include "parallel/base/clock.h"
#include "parallel/comm/communicator.h"
#include "parallel/mesh/mesh.h"
#include "runtime/dataset/source.h"
#include "runtime/engine/engine.h"
#include "runtime/engine/engine_plan.h"
#include "runtime/jobs/job.h"
#include "runtime/jobs/model_files.h"
#include "runtime/jobs/options.h"
#include "runtime/status/start_up.h"

#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

namespace retinue::runtime {

/// CPU threads of this rank: --threads, else the host's cores divided by its ranks.
int thread_count(const RunOptions& options, int local_ranks);

/// --tensor-parallel, or its default. Throws: UsageError when the ranks do not divide.
MeshShape choose_mesh(const RunOptions& options, int ranks);

/// The sizes to plan for, from flags and items. The same on every rank.
EngineSizing sizing_for(const RunOptions& options, const ModelFiles& model,
                        const ItemSummary& items, std::int64_t max_new_tokens);

/// The part of its host that one rank may use.
struct RankShare {
  int threads = 1;
  Device device;
  std::int64_t memory_bytes = 0;  ///< of the device, measured before any rank allocates
  double deadline_s = 300;        ///< for collectives
  bool waits_after_ops = false;   ///< as in Context
};
/// Collective over the session's world. A rank on a GPU has gpu_of_rank.
/// Throws: UsageError where ranks would share a GPU without --share-device.
RankShare take_share(const Session& session, const RunOptions& options, const ModelFiles& model);

/// Wraps a communicator of the tensor axis, to observe it or to change it; `inner` outlives the
/// wrapper.
using WrapCommunicator = std::function<std::unique_ptr<Communicator>(Communicator& inner)>;

/// Compares the tensors in the headers of the checkpoint's files with config.json, as a job does at
/// its start; of their values it reads scales of FP8 alone. Random weights always fit.
/// Throws: UsageError naming the tensor that is missing, unknown, or of another shape or type, and
///         the scale that cannot be right.
void check_weights(const RunOptions& options, const layers::ModelConfig& config,
                   const layers::Computation& computation);

/// Returns `together`, over which weights are read once, or null where each rank reads its own
/// (--weights-read). On one host the page cache reads each byte once, and faster.
Communicator* loaders(const Session& session, const RunOptions& options, Communicator& together);

/// The arguments of a Replica. `mesh`, `pixels` and `clock` outlive it.
struct ReplicaParts {
  const RunOptions& options;
  const ModelFiles& model;
  const Mesh& mesh;
  Communicator* loaders = nullptr;  ///< ranks that read weights together; null: each for itself
  RankShare share;
  EngineSizing sizing;
  PixelSource& pixels;
  const Clock& clock;
  EngineOptions engine = {};
  /// Around the communicators of the tensor axis, the first one innermost.
  std::vector<WrapCommunicator> wrappers = {};
};

/// This rank's share of a replica: context, model and engine, sized by the memory plan.
class Replica {
 public:
  /// Collective over the tensor axis of the mesh and over the loaders.
  /// Throws: UsageError when plan or weights do not fit; SystemError when memory is short.
  explicit Replica(const ReplicaParts& parts);

  [[nodiscard]] Engine& engine() { return *engine_; }
  [[nodiscard]] Context& ctx() { return *ctx_; }
  /// The contexts of the model: the decoder's, and the vision tower's where it has one.
  [[nodiscard]] std::vector<Context*> contexts() {
    return vision_ != nullptr ? std::vector{ctx_.get(), vision_.get()} : std::vector{ctx_.get()};
  }
  [[nodiscard]] const EnginePlan& plan() const { return plan_; }
  /// The start-up of all ranks of the tensor axis.
  [[nodiscard]] const StartUp& start_up() const { return start_up_; }
  /// The products that were tuned, for the log; empty: none was.
  [[nodiscard]] const std::string& tuning() const { return tuning_text_; }

 private:
  /// The tensor axis: on GPUs over NCCL, in studies observed.
  layers::TensorAxis connect(const ReplicaParts& parts);
  void make_contexts(const RankShare& share);
  void load(const ReplicaParts& parts, const layers::TensorAxis& axis);
  void tune(ops::TunedBits bits);

  EnginePlan plan_;
  MemoryLedger ledger_;
  ops::MatmulTuning tuning_;
  std::string tuning_text_;
  StartUp start_up_;
  /// On GPUs: the ranks of the tensor axis in device memory, once for the decoder's sums and once
  /// for the exchange of features.
  std::unique_ptr<Communicator> reduce_, exchange_;
  std::vector<std::unique_ptr<Communicator>> wrapped_;  ///< around those two, or the mesh's own
  std::unique_ptr<Context> ctx_, vision_;  ///< vision_: null where images have no stream
  std::unique_ptr<layers::Qwen3Vl> model_;
  std::unique_ptr<Engine> engine_;
};

/// Versions, model, mesh and memory, a line each: for the log at the start of a job.
std::vector<std::string> start_block(const RunOptions& options, const ModelFiles& model,
                                     const Mesh& mesh, Replica& replica);

/// The constants that decide the bits of this model on this build and device.
layers::Numerics numerics_of(const ModelFiles& model);

}  // namespace retinue::runtime
