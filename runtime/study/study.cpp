#include "runtime/study/study.h"

#include "parallel/base/check.h"
#include "parallel/base/exit_code.h"
#include "parallel/base/rng.h"
#include "runtime/formats/atomic_file.h"
#include "runtime/study/report/html.h"
#include "runtime/study/report/table.h"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>
#include <sys/file.h>
#include <unistd.h>

namespace retinue::study {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;

constexpr int kSchema = 1;

void write_file(const std::string& path, const std::string& text) {
  runtime::AtomicFile file(path);
  file.write(text);
  file.commit();
}

std::string read_file(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

/// Gone with the process, however that ends.
class FolderLock {
 public:
  explicit FolderLock(const std::string& folder) {
    const std::string path = folder + "/lock";
    fd_ = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644);
    if (fd_ >= 0 && flock(fd_, LOCK_EX | LOCK_NB) == 0) return;
    const int error = errno;
    if (fd_ >= 0) ::close(fd_);
    if (error == EWOULDBLOCK)
      throw UsageError(fmt::format(
          "[--output] another study runs in {}. Wait for it, or choose another folder.", folder));
    throw SystemError(fmt::format("[study] {} cannot be locked: {}", path, std::strerror(error)));
  }
  ~FolderLock() { ::close(fd_); }
  FolderLock(const FolderLock&) = delete;
  FolderLock& operator=(const FolderLock&) = delete;

 private:
  int fd_ = -1;
};

template <class Enum, std::size_t count>
Enum named(const std::array<Enum, count>& values, const std::string& text) {
  for (const Enum value : values)
    if (text == name(value)) return value;
  throw UsageError(fmt::format("[study] '{}' is no word of a study's files", text));
}

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

Json optional_json(const std::optional<double>& value) { return value ? Json(*value) : Json(); }
std::optional<double> optional_from(const Json& json) {
  return json.is_null() ? std::nullopt : std::optional<double>(json.get<double>());
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

std::string cell_path(const std::string& folder, const Cell& cell) {
  return fmt::format("{}/cells/{}.json", folder, cell.id());
}

std::string reference_path(const std::string& folder, std::int64_t max_pixels) {
  return fmt::format("{}/captions-p{}.jsonl", folder, max_pixels);
}

std::optional<Measurement> stored(const std::string& path) {
  if (!fs::exists(path)) return std::nullopt;
  try {
    return measurement_from(Json::parse(read_file(path)).at("measurement"));
  } catch (const Json::exception& error) {
    throw UsageError(fmt::format(
        "[study] {} is not what a study writes ({}). Remove it: that run is then made again.", path,
        error.what()));
  }
}

/// plan.json: what the folder is for.
void settle(const StudyOptions& options, Provenance& provenance, const std::vector<Cell>& cells) {
  const std::string path = options.output + "/plan.json";
  const Json signature = options.signature();
  if (fs::exists(path)) {
    const Json there = Json::parse(read_file(path), nullptr, false);
    if (!there.is_object() || !there.contains("question"))
      throw UsageError(
          fmt::format("[study] {} is not what a study writes. Choose another --output.", path));
    for (const auto& [key, value] : signature.items())
      if (there["question"].value(key, Json()) != value)
        throw UsageError(fmt::format(
            "[--output] {} holds another study: its {} is {}, now {}. Choose another folder, or "
            "ask as before.",
            options.output, key, there["question"].value(key, Json()).dump(), value.dump()));
    // The price is no part of the question, and may be changed at any time.
    const auto price = provenance.price_per_hour;
    provenance = provenance_from(there.at("provenance"));
    if (price) provenance.price_per_hour = price;
  }
  Json plan;
  plan["schema_version"] = kSchema;
  plan["question"] = signature;
  plan["provenance"] = to_json(provenance);
  plan["cells"] = Json::array();
  for (const Cell& cell : cells) plan["cells"].push_back(to_json(cell));
  write_file(path, plan.dump(1) + "\n");
}

void write_results(const std::string& folder, const Study& study) {
  const Summary summary = summarize(study);
  write_file(folder + "/study.json", to_json(study).dump(1) + "\n");
  write_file(folder + "/study.csv", csv(study));
  write_file(folder + "/index.html", html_report(study, summary));
}

/// How many items the cell shows, of `all` that the largest layout gets.
std::int64_t limit_of(const Cell& cell, const PlanOptions& plan, std::int64_t all) {
  if (cell.kind == CellKind::kWarmUp) return all;
  if (cell.kind == CellKind::kCalibration) return std::max<std::int64_t>(1, (all + 1) / 2);
  if (cell.scaling == Scaling::kStrong) return all;
  int most = 1;
  for (const Layout& layout : plan.layouts) most = std::max(most, layout.ranks());
  return std::max<std::int64_t>(1, all * cell.layout.ranks() / most);
}

}  // namespace

Json StudyOptions::signature() const {
  Json json;
  Json layouts = Json::array();
  for (const Layout& layout : plan.layouts)
    layouts.push_back(fmt::format("{}x{}", layout.tensor, layout.data));
  json["layouts"] = layouts;
  json["trials"] = plan.trials;
  json["seed"] = plan.seed;
  Json scalings = Json::array(), ablations = Json::array();
  for (const Scaling scaling : plan.scalings) scalings.push_back(name(scaling));
  for (const Ablation ablation : plan.ablations) ablations.push_back(name(ablation));
  json["scaling"] = scalings, json["ablations"] = ablations;
  json["max_sequences"] = plan.max_sequences, json["max_pixels"] = plan.max_pixels;
  json["limit"] = limit;
  json["model_sha256"] = provenance.model_sha256;
  json["arguments"] = provenance.arguments;
  return json;
}

int run_study(const StudyOptions& options, const RunCell& run,
              const std::function<void(const std::string&)>& report, Study& study) {
  const std::string& folder = options.output;
  std::error_code error;
  fs::create_directories(folder + "/cells", error);
  if (!error) fs::create_directories(folder + "/runs", error);
  if (error)
    throw UsageError(fmt::format("[--output] {} cannot be made: {}. Choose another folder.", folder,
                                 error.message()));
  const FolderLock lock(folder);
  const std::vector<Cell> cells = plan_cells(options.plan);
  study.provenance = options.provenance;
  study.planned = cells.size();
  settle(options, study.provenance, cells);

  std::int64_t all = options.limit;
  std::size_t number = 0;
  int round = 1;
  for (const Cell& cell : cells) {
    ++number;
    const std::string path = cell_path(folder, cell);
    std::optional<Measurement> m = stored(path);
    if (!m) {
      if (cell.trial > round) round = cell.trial, write_results(folder, study);
      RunRequest request{.cell = cell,
                         .limit = limit_of(cell, options.plan, all),
                         .shuffle = std::nullopt,
                         .folder = fmt::format("{}/runs/{}", folder, cell.id())};
      if (cell.kind == CellKind::kCalibration)
        request.shuffle = mix64(options.plan.seed + static_cast<std::uint64_t>(cell.trial));
      // What a run that was cut short left is no whole measurement.
      fs::remove_all(request.folder);
      report(fmt::format("[{}/{}] {}", number, cells.size(), cell.id()));
      const RunOutcome outcome = run(request);
      if (outcome.exit_code != kExitDone && outcome.exit_code != kExitItemsFailed) {
        write_results(folder, study);
        return outcome.exit_code;
      }
      m = read_run(request.folder, cell);
      m->wall_s = outcome.wall_s;
      m->energy_j = outcome.energy_j;
      const std::string reference = reference_path(folder, cell.max_pixels);
      if (cell.kind == CellKind::kWarmUp)
        write_file(reference, read_file(request.folder + "/captions.jsonl"));
      m->captions = compare_captions(request.folder, reference);
      Json file;
      file["schema_version"] = kSchema;
      file["cell"] = to_json(cell);
      file["measurement"] = to_json(*m);
      write_file(path, file.dump() + "\n");
      fs::remove_all(request.folder);
    }
    // Weak scaling needs to know how many there are.
    if (cell.kind == CellKind::kWarmUp) all = m->items;
    study.cells.push_back({cell, std::move(*m)});
  }
  write_results(folder, study);
  return 0;
}

Study load_study(const std::string& folder) {
  const std::string path = folder + "/plan.json";
  if (!fs::exists(path))
    throw UsageError(fmt::format(
        "[study] {} holds no study: there is no plan.json. Name the --output of 'retinue study'.",
        folder));
  Study study;
  std::vector<Cell> cells;
  try {
    const Json plan = Json::parse(read_file(path));
    if (plan.at("schema_version") != kSchema)
      throw UsageError(fmt::format("[study] {} has schema_version {}, wanted {}", path,
                                   plan.at("schema_version").dump(), kSchema));
    study.provenance = provenance_from(plan.at("provenance"));
    for (const Json& cell : plan.at("cells")) cells.push_back(cell_from(cell));
  } catch (const Json::exception& error) {
    throw UsageError(fmt::format("[study] {} is not what a study writes: {}", path, error.what()));
  }
  study.planned = cells.size();
  for (const Cell& cell : cells)
    if (auto m = stored(cell_path(folder, cell))) study.cells.push_back({cell, std::move(*m)});
  return study;
}

Json to_json(const Study& study) {
  const Summary summary = summarize(study);
  Json json;
  json["schema_version"] = kSchema;
  json["complete"] = study.complete();
  json["runs"] = {{"done", study.cells.size()}, {"planned", study.planned}};
  json["remarks"] = summary.remarks;
  json["captions"] = {{"compared", summary.compared}, {"different", summary.different}};
  json["drift"] = optional_json(summary.drift);
  json["model_error"] = optional_json(summary.model_error);
  json["provenance"] = to_json(study.provenance);
  json["cases"] = Json::array();
  for (const CaseResult& r : summary.cases) {
    const auto spread = [](const Spread& s) {
      return Json{{"median", s.median}, {"least", s.least}, {"most", s.most}, {"trials", s.trials}};
    };
    Json one;
    one["tensor"] = r.what.layout.tensor, one["data"] = r.what.layout.data;
    one["scaling"] = name(r.what.scaling);
    one["max_sequences"] = r.what.max_sequences, one["max_pixels"] = r.what.max_pixels;
    one["items"] = r.items;
    one["makespan_s"] = spread(r.makespan_s), one["items_per_s"] = spread(r.items_per_s);
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
    json["cases"].push_back(one);
  }
  json["curves"] = Json::array();
  for (const Curve& curve : curves_of(summary)) {
    Json one = {{"name", curve.name}};
    if (curve.fit)
      one["scalability"] = {{"x1", curve.fit->x1},
                            {"contention", curve.fit->contention},
                            {"coherency", curve.fit->coherency},
                            {"peak", optional_json(curve.fit->peak())}};
    json["curves"].push_back(one);
  }
  // Every trial; what only the model needs stays in cells/.
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
