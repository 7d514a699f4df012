#include "runtime/monitor/job_metrics.h"

#include "parallel/base/build_config.h"
#include "runtime/monitor/metrics.h"

#include <algorithm>
#include <string>
#include <string_view>
#include <utility>

namespace retinue::runtime {
namespace {

double real(std::int64_t n) { return static_cast<double>(n); }

void add_items(MetricsText& metrics, const JobStatus& status) {
  const Counts& counts = status.counts;
  metrics.gauge("retinue_job_items", "Items of the job, by state.");
  metrics.sample(real(status.done()), {{"state", "done"}});
  metrics.sample(real(status.failed()), {{"state", "failed"}});
  metrics.sample(real(status.items - status.done() - status.failed()), {{"state", "open"}});
  metrics.counter("retinue_items_total", "Items whose records this run has made durable.");
  metrics.sample(real(counts.done), {{"outcome", "done"}});
  metrics.sample(real(counts.failed), {{"outcome", "failed"}});
  metrics.counter("retinue_media_total", "Images and videos of items that are done.");
  metrics.sample(real(counts.media));
  metrics.counter("retinue_tokens_total", "Tokens of items that are done.");
  metrics.sample(real(counts.prompt_tokens), {{"kind", "prompt"}});
  metrics.sample(real(counts.completion_tokens), {{"kind", "completion"}});
  metrics.gauge("retinue_quarantined_items",
                "Failed items that were quarantined because they crash ranks.");
  metrics.sample(real(status.quarantined));
  if (!status.has_eta) return;
  metrics.gauge("retinue_left_seconds", "Time to the end, at the faster and at the slower pace.");
  metrics.sample(status.left_low_s, {{"pace", "fast"}});
  metrics.sample(status.left_high_s, {{"pace", "slow"}});
}

void add_engine(MetricsText& metrics, const RankState& total) {
  const EngineStats& engine = total.engine;
  const SchedulerStats& scheduler = engine.scheduler;
  metrics.gauge("retinue_queue_items", "Items in each queue from file to token.");
  metrics.sample(real(total.requests), {{"queue", "questions"}});
  metrics.sample(real(total.feed.queued), {{"queue", "pixels_queued"}});
  metrics.sample(real(total.feed.ready), {{"queue", "pixels_ready"}});
  metrics.sample(real(scheduler.waiting), {{"queue", "waiting"}});
  metrics.sample(real(scheduler.running), {{"queue", "running"}});
  metrics.gauge("retinue_kv_pages", "Blocks of the KV cache, over all replicas.");
  metrics.sample(real(scheduler.kv_blocks_held), {{"state", "held"}});
  metrics.sample(real(scheduler.kv_blocks - scheduler.kv_blocks_held), {{"state", "free"}});
  metrics.counter("retinue_preempted_sequences_total",
                  "Sequences preempted for lack of KV blocks.");
  metrics.sample(real(scheduler.preempted));
  metrics.counter("retinue_reused_prompt_tokens_total", "Prompt tokens found in the KV cache.");
  metrics.sample(real(scheduler.reused_tokens));
  metrics.counter("retinue_waited_for_pixels_seconds_total",
                  "Time in which replicas had nothing else to do.");
  metrics.sample(engine.starved_s);
  metrics.counter("retinue_pixels_waited_seconds_total",
                  "Time that decoded images waited, summed.");
  metrics.sample(engine.pixels_waited_s);
  metrics.counter("retinue_stage_seconds_total", "Time by stage, over all ranks and threads.");
  for (const auto& [stage, seconds] :
       {std::pair<std::string_view, double>{"read", total.prepare_s + total.feed.read_s},
        {"pixels", total.feed.decode_s},
        {"encode", engine.encode_s},
        {"prefill", engine.prefill_s},
        {"decode", engine.forward_s - engine.prefill_s},
        {"sample", engine.sample_s},
        {"plan", engine.plan_s},
        {"wait", engine.wait_s},
        {"write", total.write_s}})
    metrics.sample(seconds, {{"stage", stage}});
  metrics.histogram("retinue_item_duration_seconds",
                    "Time from the engine's start with an item to its last token.",
                    ItemSeconds::kBounds, total.item_seconds.counts, total.item_seconds.sum_s);
}

void add_ranks(MetricsText& metrics, const JobStatus& status) {
  const auto each = [&](auto value) {
    for (std::size_t r = 0; r < status.ranks.size(); ++r) {
      const std::string rank = std::to_string(r);
      const std::string replica =
          std::to_string(static_cast<int>(r) / std::max(1, status.job.mesh.tensor));
      metrics.sample(value(status.ranks[r]), {{"rank", rank}, {"replica", replica}});
    }
  };
  metrics.counter("retinue_rank_steps_total", "Steps, with idle ones.");
  each([](const JobStatus::Rank& rank) { return real(rank.state.engine.steps); });
  metrics.counter("retinue_rank_wait_seconds_total",
                  "Time waiting for other ranks and for pixels.");
  each([](const JobStatus::Rank& rank) { return rank.state.engine.wait_s; });
  metrics.counter("retinue_rank_encoded_media_total", "Images and videos encoded by this rank.");
  each([](const JobStatus::Rank& rank) { return real(rank.state.engine.images); });
  metrics.gauge("retinue_rank_quiet_seconds", "Time since the last step with work.");
  each([&](const JobStatus::Rank& rank) {
    return rank.state.finished ? 0.0 : std::max(0.0, status.made_s - rank.stepped_s);
  });
}

}  // namespace

std::string metrics_of(const JobStatus* status, const HttpServer::Counters& server) {
  MetricsText metrics;
  metrics.gauge("retinue_build_info", "Always 1; the labels name the build.");
  metrics.sample(1, {{"version", build::kVersion}, {"revision", build::kRevision}});
  if (status != nullptr) {
    metrics.gauge("retinue_job_phase", "1 for the current phase of the job, 0 for the others.");
    for (int phase = 0; phase <= static_cast<int>(JobPhase::kFailed); ++phase)
      metrics.sample(phase == static_cast<int>(status->phase) ? 1 : 0,
                     {{"phase", name(static_cast<JobPhase>(phase))}});
    metrics.gauge("retinue_job_elapsed_seconds", "Time of this run since its items are known.");
    metrics.sample(status->elapsed_s);
    metrics.gauge("retinue_job_updated_timestamp_seconds", "When these numbers were taken.");
    metrics.sample(status->made_unix_s);
    add_items(metrics, *status);
    add_engine(metrics, status->total());
    add_ranks(metrics, *status);
  }
  metrics.counter("retinue_monitor_responses_total", "Answers of this server, by status.");
  for (std::size_t i = 0; i < server.responses.size(); ++i) {
    const std::string code = std::to_string(HttpServer::Counters::kStatuses[i]);
    metrics.sample(real(server.responses[i]), {{"code", code}});
  }
  metrics.counter("retinue_monitor_connections_total", "Connections that this server accepted.");
  metrics.sample(real(server.connections));
  metrics.gauge("retinue_monitor_open_connections", "Connections now.");
  metrics.sample(real(server.open));
  metrics.counter("retinue_monitor_cut_connections_total",
                  "Connections closed before the client received its answer.");
  metrics.sample(real(server.cut));
  metrics.counter("retinue_monitor_sent_bytes_total", "Bytes sent by this server.");
  metrics.sample(real(server.sent_bytes));
  return metrics.text();
}

}  // namespace retinue::runtime
