#include "runtime/study/study.h"

#include "layers/spec/json_text.h"
#include "parallel/base/check.h"
#include "parallel/base/exit_code.h"
#include "parallel/base/path_error.h"
#include "parallel/base/rng.h"
#include "runtime/formats/atomic_file.h"
#include "runtime/study/report/page.h"
#include "runtime/study/report/table.h"
#include "runtime/study/study_json.h"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <sys/file.h>
#include <unistd.h>

namespace retinue::study {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;

void write_file(const std::string& path, const std::string& text) {
  runtime::AtomicFile file(path);
  file.write(text);
  file.commit();
}

std::string read_file(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

bool exists(const std::string& path) { return exists_at(path, "[study]"); }

/// A lock that ends with the process, even when the process is killed.
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
    if (fd_ < 0) fail_to_make(path, "[--output]", error);
    throw SystemError(fmt::format("[study] {} cannot be locked: {}", path, std::strerror(error)));
  }
  ~FolderLock() { ::close(fd_); }
  FolderLock(const FolderLock&) = delete;
  FolderLock& operator=(const FolderLock&) = delete;

 private:
  int fd_ = -1;
};

std::string cell_path(const std::string& folder, const Cell& cell) {
  return fmt::format("{}/cells/{}.json", folder, cell.id());
}

std::string reference_path(const std::string& folder, std::int64_t max_pixels) {
  return fmt::format("{}/captions-p{}.jsonl", folder, max_pixels);
}

std::optional<Measurement> stored(const std::string& path) {
  if (!exists(path)) return std::nullopt;
  try {
    return measurement_from(
        layers::parse_json<Json>(read_file(path), "[study] " + path).at("measurement"));
  } catch (const Json::exception& error) {
    throw UsageError(
        fmt::format("[study] {} is damaged: {}. Remove it to repeat its run.", path, error.what()));
  }
}

/// Writes plan.json. A folder that has one keeps its provenance, and must hold the same study.
void write_plan(const StudyOptions& options, Provenance& provenance,
                const std::vector<Cell>& cells) {
  const std::string path = options.output + "/plan.json";
  const Json signature = options.signature();
  if (exists(path)) {
    try {
      const Json there = layers::parse_json<Json>(read_file(path), "[study] " + path);
      for (const auto& [key, value] : signature.items())
        if (there.at("question").value(key, Json()) != value)
          throw UsageError(fmt::format(
              "[--output] {} holds another study: its {} is {}, now {}. Choose another folder, or "
              "give the same flags as before.",
              options.output, key, there["question"].value(key, Json()).dump(), value.dump()));
      // The price changes no run, so each call may give another.
      const auto price = provenance.price_per_hour;
      provenance = provenance_from(there.at("provenance"));
      if (price) provenance.price_per_hour = price;
    } catch (const Json::exception& error) {
      throw UsageError(fmt::format("[study] {} is no plan of a study: {}. Choose another --output.",
                                   path, error.what()));
    }
  }
  Json plan;
  plan["schema_version"] = kStudySchema;
  plan["question"] = signature;
  plan["provenance"] = to_json(provenance);
  plan["cells"] = Json::array();
  for (const Cell& cell : cells) plan["cells"].push_back(to_json(cell));
  write_file(path, plan.dump(1) + "\n");
}

void write_results(const std::string& folder, const Study& study) {
  const Json json = to_json(study);
  write_file(folder + "/study.json", json.dump(1) + "\n");
  write_file(folder + "/study.csv", csv(study));
  write_file(folder + "/index.html", page_of(json));
}

/// How many items the cell's run gets, of the `all` of the largest layout.
std::int64_t limit_of(const Cell& cell, const PlanOptions& plan, std::int64_t all) {
  if (cell.kind == CellKind::kWarmUp) return all;
  if (cell.kind == CellKind::kCalibration) return std::max<std::int64_t>(1, (all + 1) / 2);
  if (cell.scaling == Scaling::kStrong) return all;
  int most = 1;
  for (const Layout& layout : plan.layouts) most = std::max(most, layout.ranks());
  return std::max<std::int64_t>(1, all * cell.layout.ranks() / most);
}

void make_folders(const std::string& folder) {
  std::error_code error;
  fs::create_directories(folder + "/cells", error);
  if (!error) fs::create_directories(folder + "/runs", error);
  if (error) fail_to_make(folder, "[--output]", error.value());
}

/// Refuses what no report can come of, as soon as a run shows it.
void check_measured(const StudyOptions& options, const Cell& cell, const Measurement& m,
                    const std::string& run) {
  if (cell.kind == CellKind::kWarmUp && m.done == 0)
    throw UsageError(fmt::format(
        "[study] {}: none of {} items was answered, so there is nothing to measure. Read "
        "{}/failures.jsonl, then begin the study again with another --output.",
        cell.id(), m.items, run));
  // The trials of a layout are fitted together.
  const std::size_t expected =
      usable_steps(m.steps_taken) * static_cast<std::size_t>(options.plan.trials);
  if (cell.kind == CellKind::kCalibration && cell.trial <= 1 && expected < kLeastSteps)
    throw UsageError(fmt::format(
        "[study] {} had {} steps with work; with {} such runs the model of step times needs at "
        "least {}. Give more --input or a higher --limit, and another --output.",
        cell.id(), usable_steps(m.steps_taken), options.plan.trials, kLeastSteps));
}

/// Runs a cell over `all` items at most and stores its measurement. None when the run fails: its
/// `exit_code` is then neither 0 nor 3.
std::optional<Measurement> measure(const StudyOptions& options, const RunCell& run,
                                   const Cell& cell, std::int64_t all, int& exit_code) {
  const std::string& folder = options.output;
  RunRequest request{.cell = cell,
                     .limit = limit_of(cell, options.plan, all),
                     .shuffle = std::nullopt,
                     .folder = fmt::format("{}/runs/{}", folder, cell.id())};
  if (cell.kind == CellKind::kCalibration)
    request.shuffle = mix64(options.plan.seed + static_cast<std::uint64_t>(cell.trial));
  // An interrupted run measures nothing: begin it again.
  fs::remove_all(request.folder);
  const RunOutcome outcome = run(request);
  exit_code = outcome.exit_code;
  if (exit_code != kExitDone && exit_code != kExitItemsFailed) return std::nullopt;
  Measurement m = read_run(request.folder, cell);
  check_measured(options, cell, m, request.folder);
  m.wall_s = outcome.wall_s;
  m.energy_j = outcome.energy_j;
  const std::string reference = reference_path(folder, cell.max_pixels);
  if (cell.kind == CellKind::kWarmUp)
    write_file(reference, read_file(request.folder + "/captions.jsonl"));
  m.captions = compare_captions(request.folder, reference);
  Json file;
  file["schema_version"] = kStudySchema;
  file["cell"] = to_json(cell);
  file["measurement"] = to_json(m);
  write_file(cell_path(folder, cell), file.dump() + "\n");
  fs::remove_all(request.folder);
  return m;
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
  make_folders(folder);
  const FolderLock lock(folder);
  const std::vector<Cell> cells = plan_cells(options.plan);
  study.provenance = options.provenance;
  study.planned = cells.size();
  write_plan(options, study.provenance, cells);

  std::int64_t all = options.limit;
  std::size_t number = 0;
  int round = 1;
  for (const Cell& cell : cells) {
    ++number;
    std::optional<Measurement> m = stored(cell_path(folder, cell));
    if (!m) {
      if (cell.trial > round) round = cell.trial, write_results(folder, study);
      report(fmt::format("[{}/{}] {}", number, cells.size(), cell.id()));
      int exit_code = kExitDone;
      m = measure(options, run, cell, all, exit_code);
      if (!m) {
        write_results(folder, study);
        return exit_code;
      }
    }
    // Weak scaling gives each layout a part of these.
    if (cell.kind == CellKind::kWarmUp) all = m->items;
    study.cells.push_back({cell, std::move(*m)});
  }
  write_results(folder, study);
  return 0;
}

Study load_study(const std::string& folder) {
  const std::string path = folder + "/plan.json";
  if (!exists(path))
    throw UsageError(fmt::format(
        "[study] {} holds no study: there is no plan.json. Name the --output of 'retinue study'.",
        folder));
  Study study;
  std::vector<Cell> cells;
  try {
    const Json plan = layers::parse_json_or_refuse<Json>(read_file(path), "[study] " + path);
    if (plan.at("schema_version") != kStudySchema)
      throw UsageError(fmt::format("[study] {} has schema_version {}, wanted {}", path,
                                   plan.at("schema_version").dump(), kStudySchema));
    study.provenance = provenance_from(plan.at("provenance"));
    for (const Json& cell : plan.at("cells")) cells.push_back(cell_from(cell));
  } catch (const Json::exception& error) {
    throw UsageError(fmt::format("[study] {} is no plan of a study: {}", path, error.what()));
  }
  study.planned = cells.size();
  for (const Cell& cell : cells)
    if (auto m = stored(cell_path(folder, cell))) study.cells.push_back({cell, std::move(*m)});
  return study;
}

}  // namespace retinue::study
