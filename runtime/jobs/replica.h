#pragma once

#include "layers/model/qwen3_vl.h"
#include "layers/ops/matmul_tuning.h"
#include "layers/spec/numerics.h"
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

/// CPU threads of this rank: --threads, else the cores of the host over its ranks.
int thread_count(const RunOptions& options, int local_ranks);

/// --tensor-parallel, or what it defaults to. Throws: UsageError when the ranks do not divide.
MeshShape choose_mesh(const RunOptions& options, int ranks);

/// The sizes to plan for: flags, and what the items may bring. The same on every rank.
EngineSizing sizing_for(const RunOptions& options, const ModelFiles& model,
                        const ItemSummary& items, std::int64_t max_new_tokens);

/// What one rank may use of its host.
struct RankShare {
  int threads = 1;
  Device device;
  std::int64_t memory_bytes = 0;  ///< of the device; taken before any rank of the host allocates
  double deadline_s = 300;        ///< of collectives
  bool waits_after_ops = false;   ///< as in Context
};
/// Collective over the session's world. On GPUs a rank takes the one of its number on the host.
/// Throws: UsageError where there are fewer GPUs than ranks and they are not told to share.
RankShare take_share(const Session& session, const RunOptions& options, const ModelFiles& model);

/// Wraps a communicator of the tensor axis, to observe it or to change it; `inner` outlives the
/// wrapper.
using WrapCommunicator = std::function<std::unique_ptr<Communicator>(Communicator& inner)>;
/// Who reads weights together, by --weights-read: `together`, the ranks that load at the same time,
/// or null. On one host the page cache already reads each byte once, and quicker.
Communicator* loaders(const Session& session, const RunOptions& options, Communicator& together);

/// This rank's share of a replica: context, model and engine, sized by the memory plan.
class Replica {
 public:
  /// Collective over the tensor axis of `mesh` and over `loaders`: the ranks that read weights
  /// together, or null where each reads for itself. `pixels`, `clock` and the mesh outlive it.
  /// `wrappers` go around what exchanges over the tensor axis, the first one innermost.
  /// Throws: UsageError when plan or weights do not fit; SystemError when memory is short.
  Replica(const RunOptions& options, const ModelFiles& model, const Mesh& mesh,
          Communicator* loaders, const RankShare& share, const EngineSizing& sizing,
          PixelSource& pixels, const Clock& clock, const EngineOptions& engine = {},
          const std::vector<WrapCommunicator>& wrappers = {});

  [[nodiscard]] Engine& engine() { return *engine_; }
  [[nodiscard]] Context& ctx() { return *ctx_; }
  /// Where the model computes: that one, and the tower's where it has its own.
  [[nodiscard]] std::vector<Context*> contexts() {
    return vision_ != nullptr ? std::vector{ctx_.get(), vision_.get()} : std::vector{ctx_.get()};
  }
  [[nodiscard]] const EnginePlan& plan() const { return plan_; }
  /// What making it took, of all ranks of the tensor axis.
  [[nodiscard]] const StartUp& start_up() const { return start_up_; }
  /// What --reduce nccl, whose bits may depend on shapes, chose per shape; empty otherwise.
  [[nodiscard]] const std::string& tuning() const { return tuning_text_; }

 private:
  void tune();

  EnginePlan plan_;
  MemoryLedger ledger_;
  ops::MatmulTuning tuning_;
  std::string tuning_text_;
  StartUp start_up_;
  /// On GPUs: the ranks of the tensor axis in device memory, once for the decoder's sums and once
  /// for the exchange of features.
  std::unique_ptr<Communicator> reduce_, exchange_;
  std::vector<std::unique_ptr<Communicator>> wrapped_;  ///< around those two, or the mesh's own
  std::unique_ptr<Context> ctx_, vision_;  ///< vision_: null where images wait for no stream
  std::unique_ptr<layers::Qwen3Vl> model_;
  std::unique_ptr<Engine> engine_;
};

/// What runs where, a line each: for the log at the start of a job.
std::vector<std::string> start_block(const RunOptions& options, const ModelFiles& model,
                                     const Mesh& mesh, Replica& replica);

/// What decides bits of this model on this build and device.
layers::Numerics numerics_of(const ModelFiles& model);

}  // namespace retinue::runtime
