#include "runtime/engine/scheduler.h"
#include "runtime/jobs/caption/caption_job.h"
#include "runtime/jobs/host_memory.h"
#include "runtime/jobs/job.h"
#include "runtime/jobs/replica.h"
#include "runtime/output/job_folder.h"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <fstream>
#include <iostream>
#include <optional>

namespace retinue::runtime {
namespace {

constexpr double kGib = 1073741824.0;
/// Items that are prepared for the estimate.
constexpr std::size_t kSample = 256;

void say(std::FILE* out, std::string_view key, const std::string& value) {
  std::fputs(fmt::format("{:<22} {}\n", key, value).c_str(), out);
}

std::string gib(std::int64_t bytes) {
  return fmt::format("{:.3f} GiB", static_cast<double>(bytes) / kGib);
}

struct Chosen {
  MeshShape mesh;
  EnginePlan plan;
};

/// The mesh that the flags name; without one, on a GPU, the smallest power of two that fits.
Chosen choose(const CaptionJob& job, int ranks, std::int64_t memory, const EngineSizing& sizing) {
  const RunOptions& run = job.options.run;
  const int threads = thread_count(run, ranks);
  const auto plan_for = [&](int tensor) {
    const MeshShape mesh = mesh_shape(ranks, tensor);
    return Chosen{mesh, plan_engine(job.model.config, job.model.computation, job.model.device,
                                    tensor, threads, memory, sizing)};
  };
  if (run.tensor_parallel > 0 || job.model.device.type == DeviceType::kCpu)
    return plan_for(choose_mesh(run, ranks).tensor);
  for (int tensor = 1; 2 * tensor <= ranks && ranks % (2 * tensor) == 0; tensor *= 2) {
    try {
      return plan_for(tensor);
    } catch (const UsageError&) {
      // Too little memory, or no such split. More ranks may fit; the largest mesh reports why not.
      continue;
    }
  }
  int largest = 1;
  while (ranks % (2 * largest) == 0) largest *= 2;
  return plan_for(largest);
}

void print_input(const CaptionJob& job, const EngineLimits& limits, std::FILE* out) {
  const std::size_t count = job.items.size();
  const std::size_t stride = std::max<std::size_t>(1, count / kSample);
  std::int64_t tokens = 0, read = 0;
  std::string first_failure;
  std::int64_t failed = 0;
  for (std::size_t i = 0; i < count; i += stride) {
    const Item item = job.items.item(i);
    const auto prepared = prepare_request(item, i, job.model, job.prompt, job.sampling,
                                          job.tables.get(), job.isolated.get());
    const auto refused = prepared.ok()
                             ? reason_to_refuse(job.model.config, limits, prepared->request)
                             : std::optional(prepared.error());
    if (!refused) {
      tokens += static_cast<std::int64_t>(prepared.value().request.ids.size());
      ++read;
    } else if (++failed == 1) {
      first_failure = fmt::format("{}: [{}] {}", item.id, refused->stage, refused->message);
    }
  }
  say(out, "items",
      fmt::format("{} ({} images, {} videos)", count, job.items.summary().images,
                  job.items.summary().videos));
  if (!job.items.passed_over().empty()) say(out, "noted", describe(job.items.passed_over()));
  if (read > 0) {
    const double each = static_cast<double>(tokens) / static_cast<double>(read);
    say(out, "prompt tokens",
        fmt::format("{:.0f} per item, {:.0f} in all, from the headers of {} items", each,
                    each * static_cast<double>(count), read));
    say(out, "output tokens",
        fmt::format("at most {} per item, {} in all", job.sampling.max_new_tokens,
                    job.sampling.max_new_tokens * static_cast<std::int64_t>(count)));
  }
  if (failed > 0)
    say(out, "will fail",
        fmt::format("{} of {} that were looked at; the first: {}", failed, read + failed,
                    first_failure));
}

/// Predicts the duration from the rate of an earlier run in the folder.
void print_time(const CaptionJob& job, std::FILE* out) {
  if (job.options.output.empty()) return;
  std::ifstream file(job.options.output + "/report.json");
  const auto report = nlohmann::ordered_json::parse(file, nullptr, false);
  double seconds = 0, ended = 0;
  try {
    const auto& run = report.at("this_run");
    ended = run.at("done").get<double>() + run.at("failed").get<double>();
    seconds = run.at("seconds").get<double>();
  } catch (const nlohmann::json::exception&) {  // no report, or not ours: the time is unknown
  }
  if (!(seconds > 0) || !(ended > 0))
    return say(out, "time", "unknown before a run: none has reported in the output folder");
  say(out, "time",
      fmt::format("about {:.0f} s for all items, at {:.2f} items/s of the last run there",
                  static_cast<double>(job.items.size()) * seconds / ended, ended / seconds));
}

void print_plan(const CaptionJob& job, const Chosen& chosen, std::int64_t memory, std::FILE* out) {
  const layers::TextConfig& text = job.model.config.text;
  const int tensor = chosen.mesh.tensor;
  const EnginePlan& plan = chosen.plan;
  const EngineLimits& limits = plan.limits;
  say(out, "mesh",
      fmt::format("{} ranks = data {} x tensor {}", chosen.mesh.size(), chosen.mesh.data, tensor));
  say(out, "shards per rank",
      fmt::format("heads {} of {}, KV heads {} of {}, intermediate {} of {}, vocabulary {} of {}",
                  text.num_attention_heads / tensor, text.num_attention_heads,
                  std::max<std::int64_t>(1, text.num_key_value_heads / tensor),
                  text.num_key_value_heads, text.intermediate_size / tensor, text.intermediate_size,
                  layers::vocab_slice(text.vocab_size, 0, tensor).count, text.vocab_size));
  say(out, "memory per rank", fmt::format("{} may be used", gib(memory)));
  for (const EnginePlan::Part& part : plan.parts()) {
    if (part.bytes == 0) continue;
    std::string value = gib(part.bytes);
    if (part.kind == EnginePlan::Kind::kKvCache)
      value += fmt::format(": {} blocks of {} tokens, {} in all", limits.kv_blocks,
                           limits.kv_block_tokens, plan.kv_tokens());
    if (part.kind == EnginePlan::Kind::kFeatures)
      value += fmt::format(": {} visual tokens", limits.feature_rows);
    say(out, fmt::format("  {}", part.name), value);
  }
  say(out, "  all", gib(plan.total_bytes()));
  if (plan.device != DeviceType::kCpu) say(out, "  pinned, of the host", gib(plan.staging_bytes));
  say(out, "engine",
      fmt::format("{} sequences, {} tokens per step, {} tokens per sequence", limits.max_sequences,
                  limits.max_batch_tokens, limits.max_sequence_tokens));
  const std::int64_t tap_bytes = job.model.config.vision.feature_width() *
                                 static_cast<std::int64_t>(size_bytes(job.model.computation.dtype));
  const std::int64_t reduces = 2 * text.num_hidden_layers + 1;
  say(out, "communication",
      tensor == 1 ? "none between ranks"
                  : fmt::format("{} KiB per token in {} all-reduces (f32), {} KiB per visual token",
                                reduces * text.hidden_size * 4 / 1024, reduces, tap_bytes / 1024));
}

}  // namespace

int run_check(const CaptionOptions& options, int ranks, int ranks_per_node, double gpu_memory_gib,
              std::FILE* out) {
  check_options(options.run);
  // A plan for GPUs needs no GPU.
  const bool cuda = options.run.device == DeviceType::kCuda;
  CaptionOptions on_host = options;
  if (cuda) {
    on_host.run.device = DeviceType::kCpu;
    on_host.run.reduce = Reduce::kOrdered;
    on_host.run.wgmma = false;
  }
  CaptionJob job = prepare_caption(on_host);
  check_weights(options.run, job.model.config, job.model.computation);
  if (cuda) {
    if (!(gpu_memory_gib > 0))
      throw UsageError("[--gpu-memory-gib] a plan for --device cuda wants the memory of one GPU");
    if (options.run.dtype == DType::kF32)
      throw UsageError("[--dtype] float32 is for CPUs. Use bfloat16 with --device cuda.");
    job.model.device = Device{DeviceType::kCuda, 0};
    job.model.computation.ordered = options.run.reduce == Reduce::kOrdered;
    job.model.computation.wgmma = options.run.wgmma;
    check_wgmma(job.model.config, job.model.computation);
  }
  // All that may be refused comes before the first line, which would look like an answer.
  job.items = list_table(source_options(options), std::cin, "");
  if (!options.output.empty()) refuse_other_job(options.output, signature_of(job));
  const std::int64_t memory =
      cuda ? gpu_budget_bytes(static_cast<std::int64_t>(gpu_memory_gib * kGib))
           : memory_per_rank(ranks_per_node);
  const EngineSizing sizing =
      sizing_for(options.run, job.model, job.items.summary(), job.sampling.max_new_tokens);
  const Chosen chosen = choose(job, ranks, memory, sizing);

  say(out, "model", fmt::format("{} ({})", options.run.model, job.model.identity.substr(0, 16)));
  say(out, "device", cuda ? "cuda" : "cpu");
  say(out, "dtype",
      fmt::format("{}{}{}", name(job.model.computation.dtype),
                  job.model.config.fp8 ? ", projections of the decoder in FP8" : "",
                  job.model.computation.kv_dtype ? ", KV cache in FP8" : ""));
  say(out, "weights",
      options.run.weights.random
          ? options.run.weights.text()
          : fmt::format("names, shapes{} fit config.json; values were not read: a run refuses NaN "
                        "and infinity",
                        job.model.config.fp8 ? ", types and scales" : " and types"));
  say(out, "pixels",
      fmt::format("{} to {} per image, at most {} per video", job.model.processor.image.min_pixels,
                  job.model.processor.image.max_pixels, job.model.processor.video.max_pixels));
  say(out, "prompt",
      nlohmann::ordered_json(job.prompt.prompt)
          .dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace));
  say(out, "sampling", to_json(job.sampling).dump());
  print_input(job, chosen.plan.limits, out);
  print_time(job, out);
  print_plan(job, chosen, memory, out);
  if (!tensor_stays_on_node(chosen.mesh, ranks_per_node))
    say(out, "warning",
        fmt::format("replicas of {} ranks span hosts of {}: every layer's all-reduces cross the "
                    "network. Use a --tensor-parallel that divides {}.",
                    chosen.mesh.tensor, ranks_per_node, ranks_per_node));
  std::fflush(out);
  return 0;
}

}  // namespace retinue::runtime
