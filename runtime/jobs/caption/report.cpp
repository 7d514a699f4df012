#include "runtime/jobs/caption/report.h"

#include "parallel/base/build_config.h"
#include "parallel/base/check.h"
#include "parallel/base/exit_code.h"
#include "runtime/jobs/replica.h"
#include "runtime/output/journal.h"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <numeric>
#include <vector>

namespace retinue::runtime {
namespace {

using Json = nlohmann::ordered_json;

Json report_of(const CaptionJob& job, const MeshShape& mesh, const Counts& counts, double seconds,
               const Journal& journal, int code) {
  const layers::Numerics numerics = numerics_of(job.model);
  const auto per_s = [&](std::int64_t n) {
    return seconds > 0 ? static_cast<double>(n) / seconds : 0.0;
  };
  const EngineStats& engine = counts.engine;
  Json json;
  json["schema_version"] = 1;
  json["exit_code"] = code;
  json["items"] = {{"all", job.items.size()},
                   {"done", journal.done_count()},
                   {"failed", journal.failed_count()}};
  for (const PassedOver& kind : job.items.passed_over())
    json["items"]["passed_over"].push_back(
        {{"what", kind.what}, {"why", kind.why}, {"count", kind.count}});
  json["this_run"] = {{"epoch", job.epoch},
                      {"seconds", seconds},
                      {"done", counts.done},
                      {"failed", counts.failed},
                      {"media", counts.media},
                      {"prompt_tokens", counts.prompt_tokens},
                      {"completion_tokens", counts.completion_tokens}};
  json["rates"] = {{"media_per_s", per_s(counts.media)},
                   {"prompt_tokens_per_s", per_s(counts.prompt_tokens)},
                   {"completion_tokens_per_s", per_s(counts.completion_tokens)}};
  const StartUp& start = counts.start_up;
  json["startup"] = {
      {"launch_s", start.launch_s},
      {"communicators_s", start.communicators_s},
      {"weights_s", start.weights_s},
      {"weights_read_bytes", start.weights_read_bytes},
      {"weights_exchanged_bytes", start.weights_exchanged_bytes},
      {"weights_gb_per_s", start.weights_bytes_per_s() * 1e-9},
      {"first_caption_s", start.first_caption_s < 0 ? Json() : Json(start.first_caption_s)}};
  // Summed over the leaders.
  json["stages"] = {{"steps", engine.steps},
                    {"replayed_steps", engine.replayed_steps},
                    {"idle_steps", engine.idle_steps},
                    {"plan_s", engine.plan_s},
                    {"encode_s", engine.encode_s},
                    {"forward_s", engine.forward_s},
                    {"sample_s", engine.sample_s},
                    {"wait_s", engine.wait_s},
                    {"waited_for_pixels_s", engine.starved_s},
                    {"pixels_waited_s", engine.pixels_waited_s}};
  const SchedulerStats& scheduler = engine.scheduler;
  json["schedule"] = {{"admitted", scheduler.admitted},
                      {"preempted", scheduler.preempted},
                      {"reused_tokens", scheduler.reused_tokens},
                      {"encoded_items", scheduler.encoded_images}};
  json["mesh"] = {{"ranks", mesh.size()}, {"data", mesh.data}, {"tensor", mesh.tensor}};
  json["dtype"] = name(job.model.computation.dtype);
  json["projections_dtype"] =
      name(job.model.config.fp8 ? DType::kF8E4M3 : job.model.computation.dtype);
  json["kv_cache_dtype"] = name(job.model.computation.kept_dtype());
  json["versions"] = {{"retinue", build::kVersion},
                      {"revision", build::kRevision},
                      {"build", build::kBuildType},
                      {"compiler", build::kCompiler}};
  json["numerics"] = {{"description", numerics.description}, {"fingerprint", numerics.fingerprint}};
  return json;
}

int exit_code_of(const CaptionJob& job, bool finished, std::int64_t failed, int stop_code) {
  int code = stop_code;
  if (finished) code = failed > 0 ? kExitItemsFailed : kExitDone;
  if (stop_code == kExitOverBudget || (finished && failed > job.failures_allowed()))
    code = kExitOverBudget;
  check(code != kExitDone || finished, "a job that ends with 0 has done all items");
  return code;
}

/// Item indices in the order of the input, which --shuffle changes for the work.
std::vector<std::int64_t> input_order(const CaptionJob& job) {
  std::vector<std::int64_t> order(job.items.size());
  std::iota(order.begin(), order.end(), std::int64_t{0});
  if (!job.options.shuffle) return order;
  std::vector<std::int64_t> ordinals(order.size());
  for (std::size_t i = 0; i < order.size(); ++i) ordinals[i] = job.items.ordinal(i);
  std::ranges::sort(order, {},
                    [&](std::int64_t i) { return ordinals[static_cast<std::size_t>(i)]; });
  return order;
}

}  // namespace

int finalize_job(const JobFolder& folder, const CaptionJob& job, const MeshShape& mesh,
                 const Counts& counts, double seconds, int stop_code) {
  const Journal journal(folder.path(), static_cast<std::int64_t>(job.items.size()));
  const std::int64_t done = journal.done_count(), failed = journal.failed_count();
  const bool finished = done + failed == static_cast<std::int64_t>(job.items.size());
  const int code = exit_code_of(job, finished, failed, stop_code);
  folder.finalize(journal, input_order(job), finished, job.options.output_format);
  // A run that found everything done keeps the report of the run that did it.
  const bool worked =
      std::any_of(job.open.begin(), job.open.end(), [](auto open) { return open != 0; });
  if (worked || !folder.has_report())
    folder.write_report(report_of(job, mesh, counts, seconds, journal, code));
  return code;
}

const char* outcome_of(int exit_code) {
  switch (exit_code) {
    case kExitDone:
      return "all done";
    case kExitItemsFailed:
      return "finished, some failed (failures.jsonl)";
    case kExitOverBudget:
      return "stopped, too many failed (failures.jsonl)";
    default:
      return "interrupted, the same command goes on";
  }
}

}  // namespace retinue::runtime
