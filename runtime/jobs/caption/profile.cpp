#include "runtime/jobs/caption/profile.h"

#include "parallel/base/check.h"
#include "runtime/formats/atomic_file.h"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <cmath>
#include <filesystem>
#include <system_error>

namespace retinue::runtime {
namespace {

using Json = nlohmann::ordered_json;

std::int64_t nanoseconds(double seconds) { return std::llround(seconds * 1e9); }

/// One array per column: a tenth of the size of a list of objects.
template <class Rows, class Value>
Json column(const Rows& rows, const Value& value) {
  Json json = Json::array();
  for (const auto& row : rows) json.push_back(value(row));
  return json;
}

Json to_json(const EngineLimits& limits) {
  return {{"max_batch_tokens", limits.max_batch_tokens},
          {"max_sequences", limits.max_sequences},
          {"encode_patches", limits.encode_patches},
          {"feature_rows", limits.feature_rows},
          {"kv_tokens", limits.kv_blocks * limits.kv_block_tokens},
          {"ridge_rows", limits.even.ridge_rows},
          {"tile_rows", limits.even.tile_rows}};
}

Json to_json(const EngineStats& engine, std::int64_t steps) {
  return {{"steps", steps},
          {"idle_steps", engine.idle_steps},
          {"plan_s", engine.plan_s},
          {"wait_s", engine.wait_s},
          {"encode_s", engine.encode_s},
          {"forward_s", engine.forward_s},
          {"sample_s", engine.sample_s},
          {"starved_s", engine.starved_s},
          {"admitted", engine.scheduler.admitted},
          {"preempted", engine.scheduler.preempted},
          {"reused_tokens", engine.scheduler.reused_tokens}};
}

}  // namespace

void Profile::begin() {
  begin_s_ = step_s_ = clock_.now_s();
  calls_before_ = calls_.size();
}

void Profile::stepped(const EngineStats& now) {
  const double time = clock_.now_s();
  ++step_count_;
  if (steps_.size() < kMost)
    steps_.push_back({now.tokens - before_.tokens, now.logit_rows - before_.logit_rows,
                      now.attended_keys - before_.attended_keys, now.patches - before_.patches,
                      now.images - before_.images, time - step_s_, now.encode_s - before_.encode_s,
                      now.forward_s - before_.forward_s});
  before_ = now;
  step_s_ = time;
}

void Profile::ended(const Completion& completion, std::span<const MediaHeader> headers) {
  ++ended_count_;
  if (ended_.size() >= kMost) return;
  std::int64_t patches = 0;
  for (const MediaHeader& header : headers) patches += header.grid.grid_thw.patches();
  ended_.push_back({completion.prompt_tokens, static_cast<std::int64_t>(completion.ids.size()),
                    patches, completion.finish_reason == FinishReason::kStop,
                    clock_.now_s() - begin_s_});
}

void Profile::end() { end_s_ = clock_.now_s(); }

void Profile::write(const std::string& job, const Facts& facts) const {
  Json json;
  json["schema_version"] = 1;
  json["rank"] = facts.rank;
  json["data"] = facts.data;
  json["tensor"] = facts.tensor;
  json["threads"] = facts.threads;
  json["device"] = facts.device;
  json["weight_bytes"] = facts.weight_bytes;
  json["limits"] = to_json(facts.limits);
  json["load_s"] = begin_s_ - made_s_;
  json["work_s"] = end_s_ - begin_s_;
  json["engine"] = to_json(facts.engine, step_count_);
  json["feed"] = {{"pixels", facts.feed.decoded},
                  {"pixels_cpu_s", facts.feed.cpu_s},
                  {"questions", facts.requests},
                  {"questions_cpu_s", facts.prepare_cpu_s}};
  json["steps"] = {
      {"rows", column(steps_, [](const Step& s) { return s.rows; })},
      {"logit_rows", column(steps_, [](const Step& s) { return s.logit_rows; })},
      {"keys", column(steps_, [](const Step& s) { return s.keys; })},
      {"patches", column(steps_, [](const Step& s) { return s.patches; })},
      {"items", column(steps_, [](const Step& s) { return s.images; })},
      {"ns", column(steps_, [](const Step& s) { return nanoseconds(s.seconds); })},
      {"encode_ns", column(steps_, [](const Step& s) { return nanoseconds(s.encode_s); })},
      {"forward_ns", column(steps_, [](const Step& s) { return nanoseconds(s.forward_s); })}};
  const std::vector<CollectiveCall> calls(
      calls_.begin() + static_cast<std::ptrdiff_t>(calls_before_), calls_.end());
  json["collectives"] = {
      {"bytes", column(calls, [](const CollectiveCall& c) { return c.bytes; })},
      {"ns", column(calls, [](const CollectiveCall& c) { return nanoseconds(c.seconds); })},
      {"cpu_ns", column(calls, [](const CollectiveCall& c) { return nanoseconds(c.cpu_s); })}};
  json["records"] = {
      {"count", ended_count_},
      {"prompt_tokens", column(ended_, [](const Ended& e) { return e.prompt_tokens; })},
      {"completion_tokens", column(ended_, [](const Ended& e) { return e.completion_tokens; })},
      {"patches", column(ended_, [](const Ended& e) { return e.patches; })},
      {"stopped", column(ended_, [](const Ended& e) { return e.stopped ? 1 : 0; })},
      {"ns", column(ended_, [](const Ended& e) { return nanoseconds(e.at_s); })}};

  const std::string folder = job + "/profile";
  std::error_code error;
  std::filesystem::create_directories(folder, error);
  if (error)
    throw SystemError(fmt::format("[--profile] {} cannot be made: {}", folder, error.message()));
  AtomicFile file(fmt::format("{}/r{:05}.json", folder, facts.rank));
  file.write(json.dump() + "\n");
  file.commit();
}

}  // namespace retinue::runtime
