#include "runtime/study/study_json.h"

#include "parallel/base/check.h"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <array>
#include <optional>
#include <string>

namespace retinue::study {
namespace {

using Json = nlohmann::ordered_json;

template <class Enum, std::size_t count>
Enum named(const std::array<Enum, count>& values, const std::string& text) {
  for (const Enum value : values)
    if (text == name(value)) return value;
  throw UsageError(fmt::format("[study] '{}' is not a value of a study's files", text));
}

Json optional_json(const std::optional<double>& value) { return value ? Json(*value) : Json(); }
std::optional<double> optional_from(const Json& json) {
  return json.is_null() ? std::nullopt : std::optional<double>(json.get<double>());
}

Json to_json(const Spread& s) {
  return {{"median", s.median}, {"least", s.least}, {"most", s.most}, {"trials", s.trials}};
}

Json to_json(const CaseResult& r) {
  Json one;
  one["tensor"] = r.what.layout.tensor, one["data"] = r.what.layout.data;
  one["scaling"] = name(r.what.scaling);
  one["max_sequences"] = r.what.max_sequences, one["max_pixels"] = r.what.max_pixels;
  one["items"] = r.items;
  one["makespan_s"] = to_json(r.makespan_s), one["items_per_s"] = to_json(r.items_per_s);
  one["tokens_per_s_per_rank"] = r.tokens_per_s_per_rank;
  one["all_tokens_per_s_per_rank"] = r.all_tokens_per_s_per_rank;
  one["efficiency"] = r.efficiency;
  one["serial_fraction"] = optional_json(r.serial);
  one["mfu"] = optional_json(r.mfu), one["mbu"] = optional_json(r.mbu);
  one["exposed_communication"] = optional_json(r.communication.ablated);
  one["communication"] = optional_json(r.communication.direct);
  one["late_ranks"] = optional_json(r.late);
  one["feed_loss"] = optional_json(r.feed.ablated), one["feed"] = optional_json(r.feed.direct);
  one["pictures"] = optional_json(r.images), one["tail_loss"] = optional_json(r.tail);
  one["load_balance"] = r.load_balance;
  one["communication_efficiency"] = r.communication_efficiency;
  one["joules_per_item"] = optional_json(r.joules_per_item);
  one["cost_per_1000"] = optional_json(r.cost_per_1000);
  one["start_s"] = r.start_s;
  one["predicted_s"] = optional_json(r.predicted_s);
  one["model_error"] = optional_json(r.model_error());
  for (std::size_t i = 0; i < r.breakdown.size(); ++i)
    one["breakdown"][breakdown_names()[i]] = r.breakdown[i];
  one["verdict"] = r.verdict;
  return one;
}

Json to_json(const Curve& curve) {
  Json one = {{"name", curve.name}};
  if (curve.fit)
    one["scalability"] = {{"x1", curve.fit->x1},
                          {"contention", curve.fit->contention},
                          {"coherency", curve.fit->coherency},
                          {"peak", optional_json(curve.fit->peak())}};
  return one;
}

}  // namespace

Json to_json(const Cell& cell) {
  return {{"kind", name(cell.kind)},
          {"tensor", cell.layout.tensor},
          {"data", cell.layout.data},
          {"scaling", name(cell.scaling)},
          {"max_sequences", cell.max_sequences},
          {"max_pixels", cell.max_pixels},
          {"ablation", name(cell.ablation)},
          {"trial", cell.trial}};
}

Cell cell_from(const Json& json) {
  Cell cell;
  cell.kind = named(
      std::array{CellKind::kWarmUp, CellKind::kTrial, CellKind::kCalibration, CellKind::kDrift},
      json.at("kind"));
  cell.layout = {json.at("tensor"), json.at("data")};
  cell.scaling = named(std::array{Scaling::kStrong, Scaling::kWeak}, json.at("scaling"));
  cell.max_sequences = json.at("max_sequences");
  cell.max_pixels = json.at("max_pixels");
  cell.ablation = named(std::array{Ablation::kNone, Ablation::kNullCollectives,
                                   Ablation::kPreloadedPixels, Ablation::kTextOnly},
                        json.at("ablation"));
  cell.trial = json.at("trial");
  return cell;
}

Json to_json(const Provenance& p) {
  Json json;
  json["title"] = p.title, json["model_sha256"] = p.model_sha256, json["command"] = p.command;
  json["arguments"] = p.arguments;
  json["machine"] = p.machine, json["when"] = p.when;
  json["cores"] = p.cores, json["hosts"] = p.hosts, json["merge_unit"] = p.merge_unit;
  json["work"] = {
      {"flops_per_row", p.work.flops_per_row}, {"flops_per_logit_row", p.work.flops_per_logit_row},
      {"flops_per_key", p.work.flops_per_key}, {"flops_per_patch", p.work.flops_per_patch},
      {"weight_bytes", p.work.weight_bytes},   {"bytes_per_key", p.work.bytes_per_key}};
  json["peak_flops_per_s"] = optional_json(p.peak_flops_per_s);
  json["peak_bytes_per_s"] = optional_json(p.peak_bytes_per_s);
  json["price_per_hour"] = optional_json(p.price_per_hour);
  return json;
}

Provenance provenance_from(const Json& json) {
  Provenance p;
  p.title = json.at("title"), p.model_sha256 = json.at("model_sha256");
  p.command = json.at("command"), p.arguments = json.at("arguments"),
  p.machine = json.at("machine"), p.when = json.at("when");
  p.cores = json.at("cores"), p.hosts = json.at("hosts"), p.merge_unit = json.at("merge_unit");
  const Json& work = json.at("work");
  p.work = {.flops_per_row = work.at("flops_per_row"),
            .flops_per_logit_row = work.at("flops_per_logit_row"),
            .flops_per_key = work.at("flops_per_key"),
            .flops_per_patch = work.at("flops_per_patch"),
            .weight_bytes = work.at("weight_bytes"),
            .bytes_per_key = work.at("bytes_per_key")};
  p.peak_flops_per_s = optional_from(json.at("peak_flops_per_s"));
  p.peak_bytes_per_s = optional_from(json.at("peak_bytes_per_s"));
  p.price_per_hour = optional_from(json.at("price_per_hour"));
  return p;
}

Json to_json(const Study& study) {
  const Summary summary = summarize(study);
  Json json;
  json["schema_version"] = kStudySchema;
  json["complete"] = study.complete();
  json["runs"] = {{"done", study.cells.size()}, {"planned", study.planned}};
  json["remarks"] = summary.remarks;
  json["captions"] = {{"compared", summary.compared}, {"different", summary.different}};
  json["drift"] = optional_json(summary.drift);
  json["model_error"] = optional_json(summary.model_error);
  json["provenance"] = to_json(study.provenance);
  const Measurement first = study.cells.empty() ? Measurement{} : study.cells.front().measurement;
  json["job"] = {{"dtype", first.dtype},
                 {"projections_dtype", first.projections_dtype},
                 {"kv_cache_dtype", first.kv_cache_dtype}};
  json["cases"] = Json::array();
  for (const CaseResult& r : summary.cases) json["cases"].push_back(to_json(r));
  json["curves"] = Json::array();
  for (const Curve& curve : curves_of(summary)) json["curves"].push_back(to_json(curve));
  // All runs, without the lists that only the model needs: these stay in cells/.
  json["trials"] = Json::array();
  for (const MeasuredCell& cell : study.cells) {
    Json one = {{"cell", to_json(cell.cell)}, {"measurement", to_json(cell.measurement)}};
    for (const char* key : {"steps_taken", "messages", "items_shown", "done_s"})
      one["measurement"].erase(key);
    json["trials"].push_back(one);
  }
  return json;
}

}  // namespace retinue::study
