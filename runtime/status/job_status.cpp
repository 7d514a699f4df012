#include "runtime/status/job_status.h"

#include "parallel/base/build_config.h"

#include <nlohmann/json.hpp>

namespace retinue::runtime {
namespace {

using Json = nlohmann::ordered_json;

Json rates_of(const Counts& counts, double seconds) {
  const auto per_s = [&](std::int64_t n) {
    return seconds > 0 ? static_cast<double>(n) / seconds : 0.0;
  };
  return {{"items_per_s", per_s(counts.done + counts.failed)},
          {"media_per_s", per_s(counts.media)},
          {"prompt_tokens_per_s", per_s(counts.prompt_tokens)},
          {"completion_tokens_per_s", per_s(counts.completion_tokens)}};
}

/// Seconds by stage, under the names of report.json where it has them.
Json stages_of(const RankState& state) {
  const EngineStats& engine = state.engine;
  return {{"read_s", state.prepare_s + state.feed.read_s},
          {"pixels_s", state.feed.decode_s},
          {"encode_s", engine.encode_s},
          {"prefill_s", engine.prefill_s},
          {"decode_s", engine.forward_s - engine.prefill_s},
          {"sample_s", engine.sample_s},
          {"plan_s", engine.plan_s},
          {"wait_s", engine.wait_s},
          {"write_s", state.write_s}};
}

Json rank_json(const JobStatus& status, std::size_t r) {
  const JobStatus::Rank& rank = status.ranks[r];
  const EngineStats& engine = rank.state.engine;
  const int tensor = status.job.mesh.tensor;
  Json json;
  json["rank"] = r;
  json["replica"] = static_cast<int>(r) / tensor;
  json["lead"] = static_cast<int>(r) % tensor == 0;
  json["finished"] = rank.state.finished;
  json["quiet_s"] = rank.state.finished ? 0.0 : std::max(0.0, status.made_s - rank.stepped_s);
  if (static_cast<int>(r) % tensor == 0) {
    json["done"] = rank.done;
    json["failed"] = rank.failed;
    json["waited_for_pixels_s"] = engine.starved_s;
  }
  json["steps"] = engine.steps;
  json["idle_steps"] = engine.idle_steps;
  json["tokens"] = engine.tokens;
  json["encoded_media"] = engine.images;
  json["pixels_queued"] = rank.state.feed.queued;
  json["pixels_ready"] = rank.state.feed.ready;
  json["stages"] = stages_of(rank.state);
  return json;
}

void add_items(Json& json, const JobStatus& status, const RankState& total) {
  json["items"] = {{"all", status.items},
                   {"done", status.done()},
                   {"failed", status.failed()},
                   {"quarantined", status.quarantined},
                   {"left", status.items - status.done() - status.failed()},
                   {"in_flight", total.live + total.requests},
                   {"passed_over", Json::array()}};
  for (const PassedOver& kind : status.passed_over)
    json["items"]["passed_over"].push_back(
        {{"what", kind.what}, {"why", kind.why}, {"count", kind.count}});
  json["this_run"] = {{"done", status.counts.done},
                      {"failed", status.counts.failed},
                      {"media", status.counts.media},
                      {"prompt_tokens", status.counts.prompt_tokens},
                      {"completion_tokens", status.counts.completion_tokens}};
}

/// Queues, KV blocks and stages, summed over ranks.
void add_engine(Json& json, const JobStatus& status, const RankState& total) {
  const SchedulerStats& scheduler = total.engine.scheduler;
  json["queues"] = {{"questions", total.requests},
                    {"pixels_queued", total.feed.queued},
                    {"pixels_ready", total.feed.ready},
                    {"waiting", scheduler.waiting},
                    {"running", scheduler.running}};
  const double per_leader = status.elapsed_s * status.job.mesh.data;
  json["starvation"] = {
      {"waited_for_pixels_s", total.engine.starved_s},
      {"waited_for_pixels_share", per_leader > 0 ? total.engine.starved_s / per_leader : 0.0},
      {"pixels_waited_s", total.engine.pixels_waited_s}};
  json["kv"] = {{"blocks", scheduler.kv_blocks},
                {"held", scheduler.kv_blocks_held},
                {"preempted", scheduler.preempted},
                {"reused_tokens", scheduler.reused_tokens}};
  json["stages"] = stages_of(total);
}

}  // namespace

std::string_view name(JobPhase phase) {
  // Part of the format of status.json, so kFinalizing keeps its earlier name.
  constexpr std::array<std::string_view, 7> kNames = {"listing", "loading", "running", "stopping",
                                                      "sealing", "ended",   "failed"};
  return kNames[static_cast<std::size_t>(phase)];
}

RankState JobStatus::total() const {
  Counts engines;  // for its sum of engines
  RankState all;
  all.finished = true;
  for (const Rank& rank : ranks) {
    const RankState& state = rank.state;
    Counts one;
    one.engine = state.engine;
    engines += one;
    all.finished = all.finished && state.finished;
    all.feed.queued += state.feed.queued, all.feed.ready += state.feed.ready;
    all.feed.decoded += state.feed.decoded;
    all.feed.read_s += state.feed.read_s, all.feed.decode_s += state.feed.decode_s;
    all.live += state.live, all.requests += state.requests;
    all.prepare_s += state.prepare_s, all.write_s += state.write_s;
    all.item_seconds += state.item_seconds;
  }
  all.engine = engines.engine;
  return all;
}

std::pair<double, int> JobStatus::longest_quiet_s(double now_s) const {
  std::pair<double, int> longest{0, -1};
  if (phase != JobPhase::kRunning && phase != JobPhase::kStopping) return longest;
  for (std::size_t r = 0; r < ranks.size(); ++r)
    if (!ranks[r].state.finished && now_s - ranks[r].stepped_s > longest.first)
      longest = {now_s - ranks[r].stepped_s, static_cast<int>(r)};
  return longest;
}

std::string to_json(const JobStatus& status) {
  const RankState total = status.total();
  Json json;
  json["schema_version"] = JobStatus::kSchemaVersion;
  json["version"] = build::kVersion;
  json["revision"] = build::kRevision;
  json["phase"] = name(status.phase);
  json["exit_code"] = status.exit_code < 0 ? Json() : Json(status.exit_code);
  json["outcome"] = status.outcome;
  json["started_unix_s"] = status.started_unix_s;
  json["updated_unix_s"] = status.made_unix_s;
  json["elapsed_s"] = status.elapsed_s;
  json["monitor"] = status.monitor_url;
  json["job"] = {{"model", status.job.model},   {"input", status.job.input},
                 {"output", status.job.output}, {"dtype", status.job.dtype},
                 {"device", status.job.device}, {"epoch", status.job.epoch}};
  json["mesh"] = {{"ranks", status.job.mesh.size()},
                  {"data", status.job.mesh.data},
                  {"tensor", status.job.mesh.tensor}};
  add_items(json, status, total);
  json["left_s"] =
      status.has_eta ? Json{{"low", status.left_low_s}, {"high", status.left_high_s}} : Json();
  json["rates"] = rates_of(status.counts, status.elapsed_s);
  json["history"] = Json::array();
  for (const JobStatus::Bucket& bucket : status.history)
    json["history"].push_back({{"seconds", bucket.seconds},
                               {"done", bucket.done},
                               {"failed", bucket.failed},
                               {"media", bucket.media},
                               {"prompt_tokens", bucket.prompt_tokens},
                               {"completion_tokens", bucket.completion_tokens}});
  add_engine(json, status, total);
  json["ranks"] = Json::array();
  for (std::size_t r = 0; r < status.ranks.size(); ++r)
    json["ranks"].push_back(rank_json(status, r));
  json["recent"] = Json::array();
  for (const JobStatus::Recent& recent : status.recent)
    json["recent"].push_back({{"serial", recent.serial},
                              {"id", recent.id},
                              {"caption", recent.caption},
                              {"replica", recent.replica},
                              {"seconds", recent.seconds},
                              {"thumbnail", recent.thumbnail != nullptr}});
  json["failures"] = Json::array();
  for (const JobStatus::Failed& failed : status.failures)
    json["failures"].push_back({{"id", failed.id},
                                {"stage", failed.stage},
                                {"message", failed.message},
                                {"replica", failed.replica}});
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

}  // namespace retinue::runtime
