#include "runtime/study/run/measurement.h"

#include "layers/spec/json_text.h"
#include "parallel/base/check.h"
#include "parallel/base/hash.h"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <fstream>
#include <iterator>
#include <map>
#include <sstream>
#include <unordered_map>

namespace retinue::study {
namespace {

using Json = nlohmann::ordered_json;
using Ints = std::vector<std::int64_t>;

/// How many collectives of a replica are kept as messages.
constexpr std::size_t kMessages = 2000;

std::string text_of(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file)
    throw SystemError(fmt::format("[study] {} cannot be read. Run the same command again.", path));
  return {std::istreambuf_iterator<char>(file), {}};
}

Json json_of(const std::string& path) {
  Json json = layers::parse_json<Json>(text_of(path), "[study] " + path);
  if (!json.is_object() || json.value("schema_version", 0) != 1)
    throw SystemError(fmt::format("[study] {} is damaged. Remove it and run again.", path));
  return json;
}

double seconds(std::int64_t nanoseconds) { return 1e-9 * static_cast<double>(nanoseconds); }

/// The profiles of a replica's ranks, leader first.
using ReplicaFiles = std::vector<Json>;

void add_steps(const ReplicaFiles& ranks, Measurement& m, bool keep) {
  const Json& leader = ranks[0].at("steps");
  const auto rows = leader.at("rows").get<Ints>(), logits = leader.at("logit_rows").get<Ints>(),
             keys = leader.at("keys").get<Ints>(), ns = leader.at("ns").get<Ints>();
  Ints patches(rows.size(), 0);
  for (const Json& rank : ranks) {
    const auto mine = rank.at("steps").at("patches").get<Ints>();
    for (std::size_t i = 0; i < std::min(mine.size(), patches.size()); ++i)
      patches[i] = std::max(patches[i], mine[i]);
  }
  for (std::size_t i = 0; i < rows.size(); ++i) {
    m.rows += rows[i], m.logit_rows += logits.at(i), m.keys += keys.at(i);
    if (rows[i] > 0) ++m.steps;
    if (!keep) continue;
    TimedStep step;
    step.work.rows = static_cast<double>(rows[i]);
    step.work.logit_rows = static_cast<double>(logits[i]);
    step.work.keys = static_cast<double>(keys[i]);
    step.work.patches = static_cast<double>(patches[i]);
    step.seconds = seconds(ns.at(i));
    m.steps_taken.push_back(step);
  }
}

/// The time of this replica's collectives, and how long they waited for the last rank.
void add_collectives(const ReplicaFiles& ranks, Measurement& m, bool keep) {
  std::vector<Ints> ns;
  double cpu = 0;
  for (const Json& rank : ranks) {
    ns.push_back(rank.at("collectives").at("ns").get<Ints>());
    for (const std::int64_t used : rank.at("collectives").at("cpu_ns").get<Ints>())
      cpu += seconds(used);
  }
  const auto bytes = ranks[0].at("collectives").at("bytes").get<Ints>();
  std::size_t calls = bytes.size();
  for (const Ints& mine : ns) calls = std::min(calls, mine.size());
  double transfer = 0, late = 0;
  const std::size_t stride = calls / kMessages + 1;
  for (std::size_t i = 0; i < calls; ++i) {
    std::int64_t least = ns[0][i];
    for (const Ints& mine : ns) least = std::min(least, mine[i]);
    transfer += seconds(least);
    late += seconds(ns[0][i] - least);
    if (keep && i % stride == 0)
      m.messages.push_back({static_cast<double>(bytes[i]), seconds(least)});
  }
  m.transfer_s = m.transfer_s.value_or(0) + transfer;
  m.late_s = m.late_s.value_or(0) + late;
  m.collectives_cpu_s = m.collectives_cpu_s.value_or(0) + cpu;
}

void add_records(const Json& rank, Measurement& m, bool keep) {
  const Json& records = rank.at("records");
  const auto at = records.at("ns").get<Ints>(), prompt = records.at("prompt_tokens").get<Ints>(),
             completion = records.at("completion_tokens").get<Ints>(),
             patches = records.at("patches").get<Ints>(),
             stopped = records.at("stopped").get<Ints>();
  for (std::size_t i = 0; i < at.size(); ++i) {
    m.done_s.push_back(seconds(at[i]));
    m.patches += patches.at(i);
    if (!keep) continue;
    SimulatedItem item;
    item.prompt_tokens = prompt.at(i);
    item.patches = patches.at(i);
    // The token that ends the sequence is sampled as well.
    item.new_tokens = std::max<std::int64_t>(1, completion.at(i) + stopped.at(i));
    m.items_shown.push_back(item);
  }
}

/// Files of earlier versions lack the last two.
SimulatedLimits parse_limits(const Json& json) {
  return {.max_batch_tokens = json.at("max_batch_tokens"),
          .max_sequences = json.at("max_sequences"),
          .encode_patches = json.at("encode_patches"),
          .feature_rows = json.at("feature_rows"),
          .kv_tokens = json.at("kv_tokens"),
          .even = {.ridge_rows = json.value("ridge_rows", std::int64_t{0}),
                   .tile_rows = json.value("tile_rows", std::int64_t{1})}};
}

/// The engine's times of a replica's leader, as means over `data` replicas, and its limits.
void add_leader(const Json& leader, int data, Measurement& m) {
  const Json& engine = leader.at("engine");
  const auto share = [&](const char* key) { return engine.at(key).get<double>() / data; };
  m.plan_s += share("plan_s"), m.wait_s += share("wait_s"), m.encode_s += share("encode_s");
  m.forward_s += share("forward_s"), m.sample_s += share("sample_s");
  m.starved_s += share("starved_s");
  m.admitted += engine.at("admitted").get<std::int64_t>();
  m.reused_tokens += engine.at("reused_tokens").get<std::int64_t>();
  m.preempted += engine.at("preempted").get<std::int64_t>();
  m.device = leader.at("device");
  m.threads = leader.at("threads");
  m.limits = parse_limits(leader.at("limits"));
}

void add_rank(const Json& rank, Measurement& m) {
  double communication = 0;
  for (const std::int64_t ns : rank.at("collectives").at("ns").get<Ints>())
    communication += seconds(ns);
  const Json& engine = rank.at("engine");
  m.compute_s.push_back(engine.at("encode_s").get<double>() + engine.at("forward_s").get<double>() -
                        communication);
  const Json& feed = rank.at("feed");
  m.pixels_cpu_s += feed.at("pixels_cpu_s").get<double>();
  m.feed_cpu_s += feed.at("pixels_cpu_s").get<double>() + feed.at("questions_cpu_s").get<double>();
  m.decoded += feed.at("pixels").get<std::int64_t>();
  m.load_s = std::max(m.load_s, rank.at("load_s").get<double>());
  m.weight_bytes += rank.at("weight_bytes").get<std::int64_t>();
}

void add_replica(const ReplicaFiles& ranks, const Cell& cell, Measurement& m) {
  add_leader(ranks[0], cell.layout.data, m);
  m.weight_bytes = 0;  // all replicas have as many
  for (const Json& rank : ranks) add_rank(rank, m);
  const bool calibrates = cell.kind == CellKind::kCalibration;
  add_steps(ranks, m, calibrates);
  if (cell.layout.tensor > 1 && !m.on_gpu()) add_collectives(ranks, m, calibrates);
  add_records(ranks[0], m, cell.kind == CellKind::kWarmUp);
}

/// Reports and cells of earlier versions lack them.
void read_types(const Json& json, Measurement& m) {
  m.dtype = json.value("dtype", ""), m.kv_cache_dtype = json.value("kv_cache_dtype", "");
  m.projections_dtype = json.value("projections_dtype", "");
}

}  // namespace

Measurement read_run(const std::string& folder, const Cell& cell) {
  const Json report = json_of(folder + "/report.json");
  Measurement m;
  try {
    m.items = report.at("items").at("all");
    m.done = report.at("items").at("done");
    m.failed = report.at("items").at("failed");
    const Json& run = report.at("this_run");
    m.media = run.at("media");
    m.prompt_tokens = run.at("prompt_tokens");
    m.completion_tokens = run.at("completion_tokens");
    m.version = report.at("versions").at("retinue");
    m.revision = report.at("versions").at("revision");
    m.fingerprint = report.at("numerics").at("fingerprint");
    read_types(report, m);
    const int tensor = cell.layout.tensor, data = cell.layout.data;
    for (int replica = 0; replica < data; ++replica) {
      ReplicaFiles ranks;
      for (int t = 0; t < tensor; ++t)
        ranks.push_back(
            json_of(fmt::format("{}/profile/r{:05}.json", folder, replica * tensor + t)));
      if (replica == 0) m.work_s = ranks[0].at("work_s");
      add_replica(ranks, cell, m);
    }
    if (m.transfer_s) *m.transfer_s /= data, *m.late_s /= data;
  } catch (const Json::exception& error) {
    throw SystemError(
        fmt::format("[study] {} or its profile/ lacks a value that a run of this version writes: "
                    "{}. Remove the folder, then run again.",
                    folder, error.what()));
  }
  return m;
}

CaptionProof compare_captions(const std::string& folder, const std::string& reference) {
  const auto answers_in = [](const std::string& text) {
    std::unordered_map<std::string, std::string> answers;
    std::istringstream lines(text);
    for (std::string line; std::getline(lines, line);) {
      const Json record = Json::parse(line, nullptr, false);
      if (!record.is_object() || !record.contains("id") || !record["id"].is_string()) continue;
      std::string& answer = answers[record["id"].get<std::string>()];
      for (const char* key : {"caption", "finish_reason"})
        if (record.contains(key)) answer += record[key].dump() + ' ';
    }
    return answers;
  };
  const std::string text = text_of(folder + "/captions.jsonl");
  const auto truth = answers_in(text_of(reference));
  CaptionProof proof{.sha256 = sha256_hex(text)};
  for (const auto& [id, answer] : answers_in(text)) {
    // A calibration may show items that the warm-up, with its limit, did not.
    const auto found = truth.find(id);
    if (found == truth.end()) continue;
    ++proof.compared;
    if (found->second != answer) ++proof.different;
  }
  return proof;
}

Json to_json(const Measurement& m) {
  Json json;
  json["items"] = m.items, json["done"] = m.done, json["failed"] = m.failed;
  json["media"] = m.media;
  json["prompt_tokens"] = m.prompt_tokens, json["completion_tokens"] = m.completion_tokens;
  json["patches"] = m.patches;
  json["wall_s"] = m.wall_s, json["load_s"] = m.load_s, json["work_s"] = m.work_s;
  json["compute_s"] = m.compute_s;
  json["transfer_s"] = m.transfer_s ? Json(*m.transfer_s) : Json();
  json["late_s"] = m.late_s ? Json(*m.late_s) : Json();
  json["collectives_cpu_s"] = m.collectives_cpu_s ? Json(*m.collectives_cpu_s) : Json();
  json["feed_cpu_s"] = m.feed_cpu_s, json["pixels_cpu_s"] = m.pixels_cpu_s;
  json["decoded"] = m.decoded, json["starved_s"] = m.starved_s;
  json["encode_s"] = m.encode_s, json["forward_s"] = m.forward_s, json["sample_s"] = m.sample_s;
  json["plan_s"] = m.plan_s, json["wait_s"] = m.wait_s;
  json["steps"] = m.steps, json["rows"] = m.rows, json["logit_rows"] = m.logit_rows;
  json["keys"] = m.keys;
  json["admitted"] = m.admitted, json["reused_tokens"] = m.reused_tokens;
  json["preempted"] = m.preempted, json["weight_bytes"] = m.weight_bytes;
  json["limits"] = {{"max_batch_tokens", m.limits.max_batch_tokens},
                    {"max_sequences", m.limits.max_sequences},
                    {"encode_patches", m.limits.encode_patches},
                    {"feature_rows", m.limits.feature_rows},
                    {"kv_tokens", m.limits.kv_tokens},
                    {"ridge_rows", m.limits.even.ridge_rows},
                    {"tile_rows", m.limits.even.tile_rows}};
  json["threads"] = m.threads, json["device"] = m.device;
  json["version"] = m.version, json["revision"] = m.revision;
  json["fingerprint"] = m.fingerprint;
  json["dtype"] = m.dtype, json["projections_dtype"] = m.projections_dtype;
  json["kv_cache_dtype"] = m.kv_cache_dtype;
  json["energy_j"] = m.energy_j ? Json(*m.energy_j) : Json();
  json["captions"] = {{"sha256", m.captions.sha256},
                      {"compared", m.captions.compared},
                      {"different", m.captions.different}};
  json["done_s"] = m.done_s;
  json["steps_taken"] = Json::array();
  for (const TimedStep& s : m.steps_taken)
    json["steps_taken"].push_back(
        {s.work.rows, s.work.logit_rows, s.work.keys, s.work.patches, s.seconds});
  json["messages"] = Json::array();
  for (const TimedBytes& message : m.messages)
    json["messages"].push_back({message.bytes, message.seconds});
  json["items_shown"] = Json::array();
  for (const SimulatedItem& item : m.items_shown)
    json["items_shown"].push_back({item.prompt_tokens, item.patches, item.new_tokens});
  return json;
}

Measurement measurement_from(const Json& json) {
  Measurement m;
  const auto read = [&](const char* key, auto& value) { json.at(key).get_to(value); };
  const auto maybe = [&](const char* key) {
    const Json& value = json.at(key);
    return value.is_null() ? std::nullopt : std::optional<double>(value.get<double>());
  };
  read("items", m.items), read("done", m.done), read("failed", m.failed), read("media", m.media);
  read("prompt_tokens", m.prompt_tokens), read("completion_tokens", m.completion_tokens);
  read("patches", m.patches), read("wall_s", m.wall_s), read("load_s", m.load_s);
  read("work_s", m.work_s), read("compute_s", m.compute_s);
  m.transfer_s = maybe("transfer_s"), m.late_s = maybe("late_s");
  m.collectives_cpu_s = maybe("collectives_cpu_s");
  read("feed_cpu_s", m.feed_cpu_s), read("pixels_cpu_s", m.pixels_cpu_s);
  read("decoded", m.decoded), read("starved_s", m.starved_s);
  read("encode_s", m.encode_s), read("forward_s", m.forward_s), read("sample_s", m.sample_s);
  read("plan_s", m.plan_s), read("wait_s", m.wait_s), read("steps", m.steps);
  read("rows", m.rows), read("logit_rows", m.logit_rows), read("keys", m.keys);
  read("admitted", m.admitted), read("reused_tokens", m.reused_tokens);
  read("preempted", m.preempted), read("weight_bytes", m.weight_bytes);
  m.limits = parse_limits(json.at("limits"));
  read("threads", m.threads), read("device", m.device), read("version", m.version);
  read("revision", m.revision), read("fingerprint", m.fingerprint);
  read_types(json, m);
  m.energy_j = maybe("energy_j");
  const Json& captions = json.at("captions");
  captions.at("sha256").get_to(m.captions.sha256);
  captions.at("compared").get_to(m.captions.compared);
  captions.at("different").get_to(m.captions.different);
  read("done_s", m.done_s);
  for (const Json& s : json.at("steps_taken")) {
    TimedStep step;
    step.work.rows = s.at(0), step.work.logit_rows = s.at(1), step.work.keys = s.at(2);
    step.work.patches = s.at(3), step.seconds = s.at(4);
    m.steps_taken.push_back(step);
  }
  for (const Json& message : json.at("messages"))
    m.messages.push_back({message.at(0).get<double>(), message.at(1).get<double>()});
  for (const Json& item : json.at("items_shown")) {
    SimulatedItem shown;
    shown.prompt_tokens = item.at(0), shown.patches = item.at(1), shown.new_tokens = item.at(2);
    m.items_shown.push_back(shown);
  }
  return m;
}

}  // namespace retinue::study
