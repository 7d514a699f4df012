#include "runtime/jobs/replica.h"

#include "layers/weights/shared_checkpoint.h"
#include "layers/weights/weight_source.h"
#include "parallel/base/build_config.h"
#include "parallel/comm/gather_values.h"
#include "parallel/comm/nccl/nccl_communicator.h"
#include "parallel/device/choose_device.h"
#include "parallel/device/cuda/runtime.h"
#include "runtime/jobs/host_memory.h"
#include "runtime/media/largest_grid.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <thread>
#include <unistd.h>

namespace retinue::runtime {
namespace {

std::unique_ptr<layers::WeightSource> open_weights(const RunOptions& options,
                                                   const layers::ModelConfig& config,
                                                   Communicator* loaders) {
  if (!options.weights.random) {
    std::unique_ptr<layers::CheckpointSource> source;
    if (loaders != nullptr)
      source = std::make_unique<layers::SharedCheckpointSource>(options.model, *loaders);
    else
      source = std::make_unique<layers::CheckpointSource>(options.model);
    if (config.text.tie_word_embeddings) source->allow_unused("lm_head.weight");
    return source;
  }
  return std::make_unique<layers::RandomSource>(options.weights.seed.value_or(0));
}

/// The smallest of the ranks' budgets: limits must be equal on all ranks of an axis.
std::int64_t common_budget(Communicator& tensor, std::int64_t mine) {
  const std::vector<std::int64_t> all = gather_values(tensor, mine);
  return *std::min_element(all.begin(), all.end());
}

/// Identifies a GPU among those of the world.
struct DeviceId {
  std::array<char, 64> host{};
  std::array<char, 32> pci_bus_id{};
  friend bool operator==(const DeviceId&, const DeviceId&) = default;
};

/// Takes this rank's GPU and its part of that GPU's memory. The ranks compare the GPUs they took,
/// so that none is shared by mistake: a launcher may show each rank one GPU alone.
void take_device(const Session& session, const RunOptions& options, RankShare& share) {
  share.device = gpu_of_rank(session.node_rank);
  const cuda::DeviceFacts facts = cuda::device_facts(share.device.index);

  DeviceId mine;
  gethostname(mine.host.data(), mine.host.size() - 1);
  std::copy_n(facts.pci_bus_id.begin(), std::min(facts.pci_bus_id.size(), mine.pci_bus_id.size()),
              mine.pci_bus_id.begin());
  const std::vector<DeviceId> all = gather_values(session.world, mine);
  const auto ranks_on = [&](const DeviceId& id) { return std::ranges::count(all, id); };
  // Every rank looks at every GPU, so that all ranks end alike.
  const auto shared =
      std::ranges::find_if(all, [&](const DeviceId& id) { return ranks_on(id) > 1; });
  if (shared != all.end()) {
    if (!options.share_device)
      throw UsageError(fmt::format(
          "[--ranks] {} ranks would share the GPU {} of {}. Start one rank per GPU; for a "
          "correctness run give --share-device.",
          ranks_on(*shared), shared->pci_bus_id.data(), shared->host.data()));
    share_device_for_tests(session.world.rank(), session.log);
  }
  // The plan counts memory of driver and libraries; this process has taken a part of it already.
  share.memory_bytes =
      std::min(cuda::free_bytes(share.device.index), gpu_budget_bytes(facts.memory_bytes)) /
      ranks_on(mine);
}

}  // namespace

int thread_count(const RunOptions& options, int local_ranks) {
  if (options.threads < 0)
    throw UsageError(fmt::format("[--threads] is {}, wanted 1 or more", options.threads));
  if (options.threads > 0) return options.threads;
  const auto cores = static_cast<int>(std::max(1U, std::thread::hardware_concurrency()));
  return std::max(1, cores / std::max(1, local_ranks));
}

RankShare take_share(const Session& session, const RunOptions& options, const ModelFiles& model) {
  RankShare share{.threads = thread_count(options, session.node_size),
                  .device = model.device,
                  .memory_bytes = 0,
                  .deadline_s = session.deadline_s,
                  .waits_after_ops = session.waits_after_ops};
  if constexpr (build::kCuda)
    if (model.device.type == DeviceType::kCuda) {
      take_device(session, options, share);
      return share;
    }
  share.memory_bytes = memory_per_rank(session.node_size);
  return share;
}

MeshShape choose_mesh(const RunOptions& options, int ranks) {
  return mesh_shape(ranks, std::max(1, options.tensor_parallel));
}

EngineSizing sizing_for(const RunOptions& options, const ModelFiles& model,
                        const ItemSummary& items, std::int64_t max_new_tokens) {
  EngineSizing sizing;
  sizing.max_batch_tokens = options.max_batch_tokens;
  sizing.max_sequences = options.max_sequences;
  sizing.kv_block_tokens = options.kv_block_tokens;
  sizing.kv_memory_gib = options.kv_memory_gib;
  sizing.max_new_tokens = std::max(
      max_new_tokens, std::min(items.max_new_tokens, model.config.text.max_position_embeddings));
  sizing.max_items = items.max_media;
  sizing.max_text_tokens = std::max(sizing.max_text_tokens, items.max_text_bytes);
  if (items.images > 0) sizing.max_image_patches = most_image_patches(model.processor);
  if (items.videos > 0)
    sizing.max_image_patches = std::max(
        sizing.max_image_patches,
        most_video_patches(model.processor,
                           std::max(items.max_frames, model.processor.frames.num_frames.value_or(
                                                          model.processor.frames.max_frames))));
  return sizing;
}

void check_weights(const RunOptions& options, const layers::ModelConfig& config,
                   const layers::Computation& computation) {
  // On a CPU, since a plan for GPUs judges blocks of FP8 by the parts of a mesh.
  Context ctx = Context::plan(Device{}, 1);
  MemoryLedger ledger;
  layers::ModelOptions planned;
  planned.computation = computation;
  planned.pixel_values = pixel_values(config.vision);
  const auto source = open_weights(options, config, nullptr);
  const layers::Qwen3Vl checked(ctx, ledger, config, {}, source.get(), planned);
}

Communicator* loaders(const Session& session, const RunOptions& options, Communicator& together) {
  const bool several_hosts = session.node_size < session.world.size();
  const bool once = options.weights_read == WeightsRead::kAuto
                        ? several_hosts
                        : options.weights_read == WeightsRead::kOnce;
  return once ? &together : nullptr;
}

Replica::Replica(const ReplicaParts& parts) {
  const Device device = parts.share.device;
  const std::int64_t memory = common_budget(parts.mesh.tensor(), parts.share.memory_bytes);
  plan_ = plan_engine(parts.model.config, parts.model.computation, device,
                      parts.mesh.shape().tensor, parts.share.threads, memory, parts.sizing);
  const layers::TensorAxis axis = connect(parts);
  make_contexts(parts.share);
  load(parts, axis);
  if (device.type == DeviceType::kCuda)
    tune(parts.model.computation.ordered ? ops::TunedBits::kEqual : ops::TunedBits::kAny);
  engine_ = std::make_unique<Engine>(EngineParts{.ctx = *ctx_,
                                                 .vision = vision_.get(),
                                                 .ledger = ledger_,
                                                 .model = *model_,
                                                 .limits = plan_.limits,
                                                 .control = parts.mesh.tensor(),
                                                 .pixels = parts.pixels,
                                                 .clock = parts.clock,
                                                 .options = parts.engine});
}

layers::TensorAxis Replica::connect(const ReplicaParts& parts) {
  const Device device = parts.share.device;
  Communicator& tensor = parts.mesh.tensor();
  layers::TensorAxis axis;
  axis.rank = parts.mesh.tensor_index(), axis.size = parts.mesh.shape().tensor;
  axis.comm = axis.size > 1 ? &tensor : nullptr;
  const double begin_s = parts.clock.now_s();
  if constexpr (build::kCuda)
    if (device.type == DeviceType::kCuda && axis.size > 1) {
      const Reduce reduce = parts.model.computation.ordered ? Reduce::kOrdered : Reduce::kLibrary;
      const double deadline_s = parts.share.deadline_s;
      reduce_ = make_nccl(tensor, device, reduce, "tensor", deadline_s);
      // It reduces nothing, so it needs no scratch.
      exchange_ = make_nccl(tensor, device, Reduce::kLibrary, "exchange", deadline_s);
      axis.comm = reduce_.get(), axis.exchange = exchange_.get();
    }
  for (Communicator** comm : {&axis.comm, &axis.exchange}) {
    if (*comm == nullptr) continue;
    for (const WrapCommunicator& wrap : parts.wrappers)
      *comm = wrapped_.emplace_back(wrap(**comm)).get();
  }
  start_up_.communicators_s = parts.clock.now_s() - begin_s;
  return axis;
}

void Replica::make_contexts(const RankShare& share) {
  const auto buffer = [&](std::int64_t bytes, MemoryTag tag) {
    return Buffer(ledger_, share.device, static_cast<std::size_t>(bytes), tag);
  };
  ctx_ = std::make_unique<Context>(share.device, share.threads,
                                   buffer(plan_.activation_bytes, MemoryTag::kActivations),
                                   buffer(plan_.scratch_bytes, MemoryTag::kScratch));
  if (plan_.vision_activation_bytes > 0)
    vision_ = std::make_unique<Context>(
        share.device, share.threads, buffer(plan_.vision_activation_bytes, MemoryTag::kActivations),
        buffer(plan_.vision_scratch_bytes, MemoryTag::kScratch), Urgency::kBackground);
  for (Context* ctx : contexts()) ctx->set_waits_after_ops(share.waits_after_ops);
}

void Replica::load(const ReplicaParts& parts, const layers::TensorAxis& axis) {
  const ModelFiles& model = parts.model;
  layers::ModelOptions options;
  options.computation = model.computation;
  options.kv_blocks = plan_.limits.kv_blocks;
  options.kv_block_size = plan_.limits.kv_block_tokens;
  options.feature_rows = plan_.limits.feature_rows;
  options.pixel_values = pixel_values(model.config.vision);
  const double begin_s = parts.clock.now_s();
  const auto source = open_weights(parts.options, model.config, parts.loaders);
  model_ =
      std::make_unique<layers::Qwen3Vl>(*ctx_, ledger_, model.config, axis, source.get(), options);
  start_up_.weights_s = parts.clock.now_s() - begin_s;
  start_up_.weights_read_bytes = source->traffic().read_bytes;
  start_up_.weights_exchanged_bytes = source->traffic().exchanged_bytes;
  const std::vector<StartUp> ranks = gather_values(parts.mesh.tensor(), start_up_);
  start_up_ = {};
  for (const StartUp& rank : ranks) start_up_ += rank;
}

void Replica::tune(ops::TunedBits bits) {
  std::string machine = ops::matmul_machine(ctx_->device());
  if (bits == ops::TunedBits::kEqual) machine += ", equal bits";
  const std::string path = ops::MatmulTuning::default_path(machine);
  std::string why_not = "neither XDG_CACHE_HOME nor HOME is set";
  if (!path.empty()) tuning_ = ops::MatmulTuning::load(path, machine, why_not);
  const ops::MatmulTuning known = tuning_;
  for (const layers::WeightStore::Product& product : model_->products()) {
    // Inputs and outputs of a trial are where a step's activations will be. Only the tower's
    // products have a bias.
    Context& ctx = product.bias && vision_ != nullptr ? *vision_ : *ctx_;
    const std::int64_t row_bytes = 4 * (product.weight.inputs + product.weight.outputs + 16);
    const std::int64_t fit =
        static_cast<std::int64_t>(ctx.arena().capacity_bytes() / 2) / row_bytes;
    const std::int64_t most =
        product.bias ? plan_.limits.encode_patches : plan_.limits.max_batch_tokens;
    ops::tune_matmul(ctx,
                     {product.weight, product.leaves, product.bias, product.y,
                      std::clamp<std::int64_t>(fit, 1, std::max<std::int64_t>(most, 1)), bits},
                     ops::event_timer(ctx), tuning_);
  }
  ops::set_matmul_tuning(*ctx_, &tuning_);
  if (vision_ != nullptr) ops::set_matmul_tuning(*vision_, &tuning_);
  if (tuning_.size() == 0) return;  // none is worth it
  tuning_text_ = fmt::format("{} products timed, {} known before ({})", tuning_.size(),
                             known.size(), known.size() > 0 ? path : why_not);
  if (tuning_ == known || path.empty()) return;
  try {
    tuning_.save(path, machine);
  } catch (const SystemError& error) {
    tuning_text_ += fmt::format("; not kept: {}", error.what());
  }
}

std::vector<std::string> start_block(const RunOptions& options, const ModelFiles& model,
                                     const Mesh& mesh, Replica& replica) {
  const EnginePlan& plan = replica.plan();
  std::string memory;
  for (const EnginePlan::Part& part : plan.parts())
    if (part.bytes > 0)
      memory += fmt::format("{}{} {:.2f}", memory.empty() ? "" : ", ", part.name,
                            static_cast<double>(part.bytes) / 1073741824.0);
  const MeshShape shape = mesh.shape();
  std::vector<std::string> lines = {
      fmt::format("retinue {} ({}, {}), {} kernels {}, {} thread(s) per rank", build::kVersion,
                  build::kRevision, build::kBuildType, to_string(replica.ctx().device()),
                  name(replica.ctx().cpu_isa()), replica.ctx().threads()),
      fmt::format("model {} ({:.12}), {}{}{}; {} rank(s) = data {} x tensor {}; numerics {:.12}",
                  options.model, model.identity, name(model.computation.dtype),
                  model.config.fp8 ? ", projections in FP8" : "",
                  model.computation.kv_dtype ? ", KV cache in FP8" : "", shape.size(), shape.data,
                  shape.tensor, numerics_of(model).fingerprint),
      fmt::format("memory per rank, GiB: {}; {} sequences of at most {} tokens, {} tokens per step",
                  memory, plan.limits.max_sequences, plan.limits.max_sequence_tokens,
                  plan.limits.max_batch_tokens)};
  if (!replica.tuning().empty()) lines.push_back("products: " + replica.tuning());
  return lines;
}

layers::Numerics numerics_of(const ModelFiles& model) {
  return layers::numerics(model.config, model.computation, Context::plan(model.device, 1));
}

}  // namespace retinue::runtime
