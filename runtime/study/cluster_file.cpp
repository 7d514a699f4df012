// The file of --simulate: runtime/study/README.md says what it holds.
#include "layers/spec/json_text.h"
#include "parallel/base/check.h"
#include "runtime/study/cluster.h"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <cmath>
#include <initializer_list>
#include <string_view>
#include <utility>

namespace retinue::study {
namespace {

using Json = nlohmann::json;

/// Reads an object of the file and refuses unknown keys.
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
  // Figures of the whole model, which the ranks share. A step takes as long as reading the weights
  // or multiplying, whichever is longer.
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
  // Each image goes to one rank, and the step waits for the rank with most patches.
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

ClusterReplica parse_replica(const Json& json, const Reader& file) {
  const Reader read(
      json, file.inside("replicas"),
      {"tensor", "max_sequences", "max_batch_tokens", "encode_patches", "feature_rows", "kv_tokens",
       "ridge_rows", "tile_rows", "feed_s", "feed_threads", "reused_tokens", "step"});
  ClusterReplica r;
  r.tensor = static_cast<int>(read.whole("tensor", 1, 65536));
  r.limits = {.max_batch_tokens = read.whole("max_batch_tokens", 1, 1e9),
              .max_sequences = read.whole("max_sequences", 1, 1e9),
              .encode_patches = read.whole("encode_patches", 0, 1e12, 0),
              .feature_rows = read.whole("feature_rows", 0, 1e12, 0),
              .kv_tokens = read.whole("kv_tokens", 0, 1e15, 0),
              .even = {.ridge_rows = read.whole("ridge_rows", 0, 1e9, 0),
                       .tile_rows = read.whole("tile_rows", 1, 1e9, 1)}};
  if (r.limits.max_batch_tokens < r.limits.max_sequences)
    read.fail("max_batch_tokens", "at least max_sequences", read.at("max_batch_tokens").dump());
  r.feed = {.seconds = read.number("feed_s", 0, 1e6, 0),
            .threads = static_cast<int>(read.whole("feed_threads", 1, 1e6, 1))};
  r.reused_tokens = read.number("reused_tokens", 0, 1e9, 0);
  r.times = parse_steps(read.at("step"), read.inside("step"), r.tensor);
  return r;
}

std::vector<int> parse_gpus(const Json& list, const Reader& file) {
  std::vector<int> all;
  for (const Json& gpus : list) {
    if (!gpus.is_number_integer() || gpus.get<std::int64_t>() < 1 ||
        gpus.get<std::int64_t>() > 65536)
      file.fail("gpus", "whole numbers from 1 to 65536", gpus.dump());
    all.push_back(gpus);
  }
  return all;
}

}  // namespace

ClusterJob parse_cluster_job(std::string_view text, const std::string& where) {
  const Json json = layers::parse_json_or_refuse<Json>(text, where);
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
  if (read.has("gpus")) job.gpus = parse_gpus(read.list("gpus"), read);
  job.gpus_per_node = static_cast<int>(read.whole("gpus_per_node", 1, 65536, 8));
  for (const Json& one : read.list("replicas")) job.replicas.push_back(parse_replica(one, read));
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

}  // namespace retinue::study
