#include "runtime/jobs/replica.h"

#include "layers/weights/shared_checkpoint.h"
#include "layers/weights/weight_source.h"
#include "parallel/base/build_config.h"
#include "parallel/comm/gather_values.h"
#include "parallel/comm/nccl/nccl_communicator.h"
#include "parallel/device/cuda/runtime.h"
#include "runtime/jobs/host_memory.h"

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

/// What tells one GPU of the world from another.
struct DeviceId {
  std::array<char, 64> host{};
  std::array<char, 32> pci_bus_id{};
  friend bool operator==(const DeviceId&, const DeviceId&) = default;
};

/// This rank's GPU and what it may use of its memory. Where the launcher shows each rank one GPU,
/// that is the one; the ranks compare what they took, so that none is shared unknowingly.
void take_device(const Session& session, const RunOptions& options, RankShare& share) {
  const int devices = cuda::availability().devices;
  const bool own = session.node_rank < devices;
  share.device.index = own ? session.node_rank : session.node_rank % devices;
  const cuda::DeviceFacts facts = cuda::device_facts(share.device.index);

  DeviceId mine;
  gethostname(mine.host.data(), mine.host.size() - 1);
  std::copy_n(facts.pci_bus_id.begin(), std::min(facts.pci_bus_id.size(), mine.pci_bus_id.size()),
              mine.pci_bus_id.begin());
  const std::vector<DeviceId> all = gather_values(session.world, mine);
  const auto ranks_on = [&](const DeviceId& id) { return std::ranges::count(all, id); };
  // Every rank looks at every GPU, so that all of them end alike.
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
  // The plan counts what driver and libraries take, part of which this process has taken by now.
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
  sizing.reduce = options.reduce;
  sizing.max_items = items.max_media;
  sizing.max_text_tokens = std::max(sizing.max_text_tokens, items.max_text_bytes);
  if (items.images > 0) sizing.max_image_pixels = model.processor.image.max_pixels;
  if (items.videos > 0) sizing.max_video_pixels = model.processor.video.max_pixels;
  return sizing;
}

Communicator* loaders(const Session& session, const RunOptions& options, Communicator& together) {
  const bool several_hosts = session.node_size < session.world.size();
  const bool once = options.weights_read == WeightsRead::kAuto
                        ? several_hosts
                        : options.weights_read == WeightsRead::kOnce;
  return once ? &together : nullptr;
}

Replica::Replica(const RunOptions& options, const ModelFiles& model, const Mesh& mesh,
                 Communicator* loaders, const RankShare& share, const EngineSizing& sizing,
                 PixelSource& pixels, const Clock& clock, const EngineOptions& engine,
                 const std::vector<WrapCommunicator>& wrappers) {
  const Device device = share.device;
  const std::int64_t memory = common_budget(mesh.tensor(), share.memory_bytes);
  plan_ = plan_engine(model.config, model.dtype, device, mesh.shape().tensor, share.threads, memory,
                      sizing);
  layers::TensorAxis axis;
  axis.rank = mesh.tensor_index(), axis.size = mesh.shape().tensor;
  axis.comm = axis.size > 1 ? &mesh.tensor() : nullptr;
  const double connecting_s = clock.now_s();
  if constexpr (build::kCuda)
    if (device.type == DeviceType::kCuda && axis.size > 1) {
      const Reduce reduce = model.ordered ? Reduce::kOrdered : Reduce::kLibrary;
      reduce_ = make_nccl(mesh.tensor(), device, reduce, "tensor", share.deadline_s);
      // It reduces nothing, so it takes no scratch.
      exchange_ = make_nccl(mesh.tensor(), device, Reduce::kLibrary, "exchange", share.deadline_s);
      axis.comm = reduce_.get(), axis.exchange = exchange_.get();
    }
  for (Communicator** comm : {&axis.comm, &axis.exchange}) {
    if (*comm == nullptr) continue;
    for (const WrapCommunicator& wrap : wrappers) *comm = wrapped_.emplace_back(wrap(**comm)).get();
  }
  start_up_.communicators_s = clock.now_s() - connecting_s;
  ctx_ = std::make_unique<Context>(
      device, share.threads,
      Buffer(ledger_, device, static_cast<std::size_t>(plan_.activation_bytes),
             MemoryTag::kActivations),
      Buffer(ledger_, device, static_cast<std::size_t>(plan_.scratch_bytes), MemoryTag::kScratch));
  if (plan_.vision_activation_bytes > 0)
    vision_ = std::make_unique<Context>(
        device, share.threads,
        Buffer(ledger_, device, static_cast<std::size_t>(plan_.vision_activation_bytes),
               MemoryTag::kActivations),
        Buffer(ledger_, device, static_cast<std::size_t>(plan_.vision_scratch_bytes),
               MemoryTag::kScratch),
        Urgency::kBackground);
  for (Context* ctx : contexts()) ctx->set_waits_after_ops(share.waits_after_ops);
  layers::ModelOptions parts;
  parts.dtype = model.dtype;
  parts.kv_blocks = plan_.limits.kv_blocks;
  parts.kv_block_size = plan_.limits.kv_block_tokens;
  parts.feature_rows = plan_.limits.feature_rows;
  parts.ordered = model.ordered;
  parts.pixel_values = pixel_values(model.config.vision);
  const double loading_s = clock.now_s();
  const auto source = open_weights(options, model.config, loaders);
  model_ =
      std::make_unique<layers::Qwen3Vl>(*ctx_, ledger_, model.config, axis, source.get(), parts);
  start_up_.weights_s = clock.now_s() - loading_s;
  start_up_.weights_read_bytes = source->traffic().read_bytes;
  start_up_.weights_exchanged_bytes = source->traffic().exchanged_bytes;
  const std::vector<StartUp> ranks = gather_values(mesh.tensor(), start_up_);
  start_up_ = {};
  for (const StartUp& rank : ranks) start_up_ += rank;
  if (device.type == DeviceType::kCuda && !model.ordered) tune();
  engine_ = std::make_unique<Engine>(*ctx_, ledger_, *model_, plan_.limits, mesh.tensor(), pixels,
                                     clock, engine, vision_.get());
}

void Replica::tune() {
  const std::string machine = ops::matmul_machine(ctx_->device());
  const std::string path = ops::MatmulTuning::default_path(machine);
  std::string why_not = "neither XDG_CACHE_HOME nor HOME is set";
  if (!path.empty()) tuning_ = ops::MatmulTuning::load(path, machine, why_not);
  const ops::MatmulTuning known = tuning_;
  for (const layers::WeightStore::Product& product : model_->products()) {
    // Inputs and outputs of a trial lie where a step's activations will. Only the tower's products
    // have a bias.
    Context& ctx = product.bias && vision_ != nullptr ? *vision_ : *ctx_;
    const std::int64_t row_bytes = 4 * (product.weight.inputs + product.weight.outputs + 16);
    const std::int64_t fit =
        static_cast<std::int64_t>(ctx.arena().capacity_bytes() / 2) / row_bytes;
    const std::int64_t most =
        product.bias ? plan_.limits.encode_patches : plan_.limits.max_batch_tokens;
    ops::tune_matmul(ctx, product.weight, 1, product.bias, product.y,
                     std::clamp<std::int64_t>(fit, 1, std::max<std::int64_t>(most, 1)),
                     ops::event_timer(ctx), tuning_);
  }
  ops::set_matmul_tuning(*ctx_, &tuning_);
  if (vision_ != nullptr) ops::set_matmul_tuning(*vision_, &tuning_);
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
      fmt::format("model {} ({:.12}), {}; {} rank(s) = data {} x tensor {}; numerics {:.12}",
                  options.model, model.identity, name(model.dtype), shape.size(), shape.data,
                  shape.tensor, numerics_of(model).fingerprint),
      fmt::format("memory per rank, GiB: {}; {} sequences of at most {} tokens, {} tokens per step",
                  memory, plan.limits.max_sequences, plan.limits.max_sequence_tokens,
                  plan.limits.max_batch_tokens)};
  if (!replica.tuning().empty()) lines.push_back("products: " + replica.tuning());
  return lines;
}

layers::Numerics numerics_of(const ModelFiles& model) {
  return layers::numerics(model.config, model.dtype, Context::plan(model.device, 1), model.ordered);
}

}  // namespace retinue::runtime
