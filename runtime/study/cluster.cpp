#include "runtime/study/cluster.h"

#include "parallel/base/check.h"
#include "parallel/base/rng.h"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <cmath>
#include <initializer_list>
#include <iterator>
#include <numbers>

namespace retinue::study {
namespace {

using Json = nlohmann::json;

/// Reads an object of the file; every key must be known.
class Reader {
 public:
  Reader(const Json& json, std::string where, std::initializer_list<std::string_view> keys)
      : json_(json), where_(std::move(where)) {
    if (!json.is_object()) fail("", "an object", json.dump());
    for (const auto& [key, value] : json.items())
      if (std::ranges::count(keys, key) == 0) {
        std::string known;
        for (const std::string_view name : keys) known += fmt::format(" {}", name);
        throw UsageError(fmt::format("{}: unknown key '{}'. Known:{}", where_, key, known));
      }
  }

  [[nodiscard]] bool has(const char* key) const { return json_.contains(key); }
  [[nodiscard]] double number(const char* key, double least, double most) const {
    const Json& value = at(key);
    if (!value.is_number() || !(value.get<double>() >= least) || !(value.get<double>() <= most))
      fail(key, fmt::format("a number from {:g} to {:g}", least, most), value.dump());
    return value.get<double>();
  }
  [[nodiscard]] double number(const char* key, double least, double most, double fallback) const {
    return has(key) ? number(key, least, most) : fallback;
  }
  [[nodiscard]] std::int64_t whole(const char* key, double least, double most,
                                   std::int64_t fallback) const {
    return has(key) ? whole(key, least, most) : fallback;
  }
  [[nodiscard]] std::int64_t whole(const char* key, double least, double most) const {
    const double value = number(key, least, most);
    if (value != std::floor(value)) fail(key, "a whole number", at(key).dump());
    return static_cast<std::int64_t>(value);
  }
  [[nodiscard]] const Json& list(const char* key) const {
    const Json& value = at(key);
    if (!value.is_array() || value.empty()) fail(key, "a list that is not empty", value.dump());
    return value;
  }
  [[nodiscard]] const Json& at(const char* key) const {
    if (!has(key)) throw UsageError(fmt::format("{}: '{}' is missing", where_, key));
    return json_.at(key);
  }
  [[nodiscard]] std::string inside(const std::string& key) const { return where_ + ", " + key; }
  [[noreturn]] void fail(const std::string& key, const std::string& wanted,
                         const std::string& got) const {
    throw UsageError(fmt::format("{}: {} wants {}, got {:.80}", where_,
                                 key.empty() ? "it" : "'" + key + "'", wanted, got));
  }

 private:
  const Json& json_;
  std::string where_;
};

constexpr double kMost = 1e15;

StepTimes parse_steps(const Json& json, const std::string& where, int tensor) {
  const Reader read(
      json, where,
      {"knots", "per_logit_row_s", "per_key_s", "per_kv_token_s", "encode_s", "per_patch_s",
       "weights_gb", "memory_gb_per_s", "gflop_per_row", "gflop_per_logit_row", "gflop_per_key",
       "gflop_per_patch", "tflops", "vision_tflops", "kv_bytes_per_token", "collectives",
       "bytes_per_row", "alpha_us", "gb_per_s"});
  StepTimes times;
  times.collectives = read.number("collectives", 0, 1e6, 0);
  times.bytes_per_row = read.number("bytes_per_row", 0, kMost, 0);
  times.alpha_s = 1e-6 * read.number("alpha_us", 0, 1e9, 0);
  times.bytes_per_s = 1e9 * read.number("gb_per_s", 0, 1e9, 0);
  times.encode_s = read.number("encode_s", 0, 1e6, 0);
  if (read.has("knots")) {
    for (const Json& knot : read.list("knots")) {
      if (!knot.is_array() || knot.size() != 2 || !knot[0].is_number() || !knot[1].is_number() ||
          !(knot[0].get<double>() > (times.knots.empty() ? 0 : times.knots.back().rows)) ||
          !(knot[1].get<double>() >= 0) || knot[0].get<double>() > kMost ||
          knot[1].get<double>() > kMost)
        read.fail("knots", "[rows, seconds] with rising rows", knot.dump());
      times.knots.push_back({knot[0], knot[1]});
    }
    times.per_logit_row_s = read.number("per_logit_row_s", 0, 1e3, 0);
    times.per_key_s = read.number("per_key_s", 0, 1e3, 0);
    times.per_kv_token_s = read.number("per_kv_token_s", 0, 1e3, 0);
    times.per_patch_s = read.number("per_patch_s", 0, 1e3, 0);
    return times;
  }
  // From arithmetic: whole-model figures, shared by the ranks; a step takes the longer of reading
  // the weights and multiplying.
  const double flops_per_s = 1e12 * read.number("tflops", 1e-6, 1e9);
  const double bytes_per_s = 1e9 * read.number("memory_gb_per_s", 1e-6, 1e9);
  const double read_s = 1e9 * read.number("weights_gb", 0, 1e9) / bytes_per_s / tensor;
  const double row_s = 1e9 * read.number("gflop_per_row", 1e-9, 1e9) / flops_per_s / tensor;
  const double even = read_s / row_s;
  times.knots = {{1, std::max(read_s, row_s)}};
  if (even > 1) times.knots.push_back({even, read_s});
  const double far = 1000 * std::max(1.0, even);
  times.knots.push_back({far, far * row_s});
  times.per_logit_row_s =
      1e9 * read.number("gflop_per_logit_row", 0, 1e9, 0) / flops_per_s / tensor;
  times.per_key_s = 1e9 * read.number("gflop_per_key", 0, 1e9, 0) / flops_per_s / tensor;
  times.per_kv_token_s = read.number("kv_bytes_per_token", 0, 1e12, 0) / bytes_per_s / tensor;
  // Images are dealt over the ranks; the step waits for the rank with most patches.
  times.per_patch_s = 1e9 * read.number("gflop_per_patch", 0, 1e9, 0) /
                      (1e12 * read.number("vision_tflops", 1e-6, 1e9, flops_per_s / 1e12));
  return times;
}

std::vector<SimulatedItem> parse_shapes(const Json& list, const Reader& read) {
  std::vector<SimulatedItem> shapes;
  for (const Json& shape : list) {
    const Reader item(shape, read.inside("shapes"),
                      {"prompt_tokens", "visual_tokens", "patches", "new_tokens"});
    shapes.push_back({.prompt_tokens = item.whole("prompt_tokens", 1, 1e9),
                      .visual_tokens = item.whole("visual_tokens", 0, 1e9, 0),
                      .patches = item.whole("patches", 0, 1e9, 0),
                      .new_tokens = item.whole("new_tokens", 1, 1e9)});
  }
  return shapes;
}

/// Two uniform numbers give a normal one.   Box, Muller 1958
double normal(std::uint64_t key, std::uint64_t at) {
  const double u = 1 - to_unit_double(random_bits(key, 2 * at));
  const double v = to_unit_double(random_bits(key, 2 * at + 1));
  return std::sqrt(-2 * std::log(u)) * std::cos(2 * std::numbers::pi * v);
}

double start_seconds(const ClusterJob& job, int nodes) {
  double seconds = job.launch_s + job.weight_bytes / job.storage_bytes_per_s;
  // Read once, in stripes; then each node sends its own on while it gets the others'.
  if (nodes > 1)
    seconds += job.weight_bytes / job.fabric_bytes_per_s + job.fabric_alpha_s * std::log2(nodes);
  return seconds;
}

}  // namespace

ClusterJob parse_cluster_job(std::string_view text, const std::string& where) {
  const Json json = Json::parse(text, nullptr, false);
  if (json.is_discarded()) throw UsageError(where + ": is no JSON");
  const Reader read(
      json, where,
      {"schema_version", "name", "items", "shapes", "gpus", "gpus_per_node", "replicas", "fabric",
       "start", "node_mtbf_h", "slowness_sigma", "price_per_hour", "seed"});
  if (read.whole("schema_version", 0, 1e9) != 1)
    read.fail("schema_version", "1", read.at("schema_version").dump());
  ClusterJob job;
  if (read.has("name")) {
    if (!read.at("name").is_string()) read.fail("name", "text", read.at("name").dump());
    job.name = read.at("name");
  }
  job.items = read.whole("items", 1, 1e7);
  job.shapes = parse_shapes(read.list("shapes"), read);
  if (read.has("gpus")) {
    job.gpus.clear();
    for (const Json& gpus : read.list("gpus")) {
      if (!gpus.is_number_integer() || gpus.get<std::int64_t>() < 1 ||
          gpus.get<std::int64_t>() > 65536)
        read.fail("gpus", "whole numbers from 1 to 65536", gpus.dump());
      job.gpus.push_back(gpus);
    }
  }
  job.gpus_per_node = static_cast<int>(read.whole("gpus_per_node", 1, 65536, 8));
  for (const Json& one : read.list("replicas")) {
    const Reader replica(
        one, read.inside("replicas"),
        {"tensor", "max_sequences", "max_batch_tokens", "encode_patches", "feature_rows",
         "kv_tokens", "feed_s", "feed_threads", "reused_tokens", "step"});
    ClusterReplica r;
    r.tensor = static_cast<int>(replica.whole("tensor", 1, 65536));
    r.limits = {.max_batch_tokens = replica.whole("max_batch_tokens", 1, 1e9),
                .max_sequences = replica.whole("max_sequences", 1, 1e9),
                .encode_patches = replica.whole("encode_patches", 0, 1e12, 0),
                .feature_rows = replica.whole("feature_rows", 0, 1e12, 0),
                .kv_tokens = replica.whole("kv_tokens", 0, 1e15, 0)};
    if (r.limits.max_batch_tokens < r.limits.max_sequences)
      replica.fail("max_batch_tokens", "at least max_sequences",
                   replica.at("max_batch_tokens").dump());
    r.feed = {.seconds = replica.number("feed_s", 0, 1e6, 0),
              .threads = static_cast<int>(replica.whole("feed_threads", 1, 1e6, 1))};
    r.reused_tokens = replica.number("reused_tokens", 0, 1e9, 0);
    r.times = parse_steps(replica.at("step"), replica.inside("step"), r.tensor);
    job.replicas.push_back(r);
  }
  if (read.has("fabric")) {
    const Reader fabric(read.at("fabric"), read.inside("fabric"), {"alpha_us", "gb_per_s"});
    job.fabric_alpha_s = 1e-6 * fabric.number("alpha_us", 0, 1e9);
    job.fabric_bytes_per_s = 1e9 * fabric.number("gb_per_s", 1e-6, 1e9);
  }
  if (read.has("start")) {
    const Reader start(read.at("start"), read.inside("start"),
                       {"launch_s", "weights_gb", "storage_gb_per_s"});
    job.launch_s = start.number("launch_s", 0, 1e6);
    job.weight_bytes = 1e9 * start.number("weights_gb", 0, 1e6);
    job.storage_bytes_per_s = 1e9 * start.number("storage_gb_per_s", 1e-6, 1e6);
  }
  job.node_mtbf_s = 3600 * read.number("node_mtbf_h", 0, 1e9, 0);
  job.slowness_sigma = read.number("slowness_sigma", 0, 1, 0);
  job.price_per_hour = read.number("price_per_hour", 0, 1e9, 0);
  job.seed = static_cast<std::uint64_t>(read.whole("seed", 0, 1e15, 0));
  return job;
}

ClusterJob cluster_job_of(const Study& study) {
  ClusterJob job;
  job.name = study.provenance.title;
  job.fabric_bytes_per_s = 1e9;
  const Summary summary = summarize(study);
  for (const CaseResult& r : summary.cases) {
    if (r.what.scaling != Scaling::kStrong ||
        r.what.max_pixels != summary.cases.front().what.max_pixels ||
        r.what.max_sequences != summary.cases.front().what.max_sequences)
      continue;
    const auto model = model_of(study, r.what);
    if (!model) continue;
    ClusterReplica replica{.tensor = r.what.layout.tensor,
                           .limits = model->limits,
                           .times = model->times,
                           .feed = model->feed,
                           .reused_tokens = model->reused_tokens};
    const auto known = std::ranges::find(job.replicas, replica.tensor, &ClusterReplica::tensor);
    // Cases come as layouts grow: the last has most replicas beside each other.
    if (known == job.replicas.end())
      job.replicas.push_back(replica);
    else
      *known = replica;
    job.gpus_per_node = std::max(job.gpus_per_node, r.what.layout.tensor);
    job.launch_s = std::max(job.launch_s, r.start_s);
  }
  if (job.replicas.empty())
    throw UsageError(
        "[--simulate] the study has no calibration of strong scaling yet: let it finish.");
  job.shapes = items_of(study, summary.cases.front().what.max_pixels);
  if (study.provenance.price_per_hour) job.price_per_hour = *study.provenance.price_per_hour;
  return job;
}

std::vector<ClusterResult> simulate_cluster(const ClusterJob& job) {
  check(!job.shapes.empty() && !job.replicas.empty(), "a simulation has items and a replica");
  std::vector<SimulatedItem> items;
  for (std::int64_t i = 0; i < job.items; ++i)
    items.push_back(job.shapes[random_bits(mix64(job.seed), static_cast<std::uint64_t>(i)) %
                               job.shapes.size()]);
  std::vector<ClusterResult> results;
  for (const int gpus : job.gpus)
    for (const ClusterReplica& replica : job.replicas) {
      if (gpus % replica.tensor != 0) continue;
      ClusterResult r{.gpus = gpus, .tensor = replica.tensor, .data = gpus / replica.tensor};
      const int nodes = (gpus + job.gpus_per_node - 1) / job.gpus_per_node;
      SimulatedJob one{.items = items,
                       .data = r.data,
                       .tensor = r.tensor,
                       .limits = replica.limits,
                       .times = replica.times,
                       .feed = replica.feed,
                       .reused_tokens = replica.reused_tokens};
      if (r.tensor > job.gpus_per_node) {
        // Hierarchical: the sum within a node, then what of it crosses.
        one.times.alpha_s += job.fabric_alpha_s;
        const double within_s = one.times.bytes_per_s > 0 ? 1 / one.times.bytes_per_s : 0;
        one.times.bytes_per_s = 1 / (within_s + 1 / job.fabric_bytes_per_s / job.gpus_per_node);
      }
      if (job.slowness_sigma > 0)
        for (int i = 0; i < r.data; ++i)
          one.slowness.push_back(std::exp(
              job.slowness_sigma * normal(mix64(job.seed + 1), static_cast<std::uint64_t>(i))));
      const SimulatedRun run = simulate(one);
      r.events = run.events;
      r.start_s = start_seconds(job, nodes);
      const std::size_t n = run.done_s.size();
      r.tail = tail_loss(run.done_s, run.makespan_s);
      if (n >= 20) {
        const double span = run.done_s[n - 1 - n / 10] - run.done_s[n / 10];
        r.steady_per_gpu = span > 0 ? static_cast<double>(n - 1 - 2 * (n / 10)) / span / gpus : 0;
      }
      double busy = 0;
      for (const double s : run.busy_s) busy += s / static_cast<double>(r.data);
      r.communication = busy > 0 ? run.communication_s / busy : 0;
      // A node that fails ends all ranks; records that are durable stay, the rest runs again.
      r.makespan_s = r.start_s;
      SimulatedRun part = run;
      std::size_t left = n;
      for (std::uint64_t at = 0; job.node_mtbf_s > 0 && r.failures < 100; ++at) {
        const double u = 1 - to_unit_double(random_bits(mix64(job.seed + 2), at));
        const double fails_s = -std::log(u) * job.node_mtbf_s / nodes;
        if (fails_s >= part.makespan_s) break;
        ++r.failures;
        r.makespan_s += fails_s + r.start_s;
        left -= static_cast<std::size_t>(std::ranges::upper_bound(part.done_s, fails_s) -
                                         part.done_s.begin());
        SimulatedJob rest = one;
        rest.items = std::span(items).last(left);
        part = simulate(rest);
      }
      r.makespan_s += part.makespan_s;
      r.items_per_s = static_cast<double>(n) / r.makespan_s;
      r.items_per_s_per_gpu = r.items_per_s / gpus;
      if (job.price_per_hour > 0) {
        r.cost = gpus * job.price_per_hour * r.makespan_s / 3600;
        r.cost_per_1000 = *r.cost / (static_cast<double>(n) / 1000);
      }
      results.push_back(r);
    }
  return results;
}

std::string cluster_table(const ClusterJob& job, const std::vector<ClusterResult>& results) {
  std::string text = fmt::format(
      "simulated: {}, {} items; {} per node\n{:>6} {:>5} {:>6} {:>9} {:>9} {:>10} {:>9} {:>6} "
      "{:>6} "
      "{:>9} {:>9} {:>9} {:>8}\n",
      job.name, job.items, job.gpus_per_node, "ranks", "TP", "x", "start, s", "total, s", "items/s",
      "per rank", "steady", "comm", "tail", "failures", "cost", "per 1k");
  for (const ClusterResult& r : results)
    fmt::format_to(
        std::back_inserter(text),
        "{:>6} {:>5} {:>6} {:>9.1f} {:>9.1f} {:>10.2f} {:>9.3f} {:>6.3g} {:>5.0f}% {:>9} {:>9} "
        "{:>9} {:>8}\n",
        r.gpus, r.tensor, r.data, r.start_s, r.makespan_s, r.items_per_s, r.items_per_s_per_gpu,
        r.steady_per_gpu, 100 * r.communication,
        r.tail ? fmt::format("{:.1f}%", 100 * *r.tail) : "-", r.failures,
        r.cost ? fmt::format("{:.2f}", *r.cost) : "-",
        r.cost_per_1000 ? fmt::format("{:.4f}", *r.cost_per_1000) : "-");
  if (results.empty()) text += "no tensor size divides any of the numbers of ranks\n";
  return text;
}

}  // namespace retinue::study
