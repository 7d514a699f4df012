#include "runtime/doctor/report.h"

#include "parallel/base/build_config.h"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

namespace retinue::runtime {
namespace {

using Json = nlohmann::ordered_json;

/// The facts write -1 for unknown, JSON null.
Json known(std::int64_t number) { return number < 0 ? Json() : Json(number); }
Json known(double number) { return number < 0 ? Json() : Json(number); }
Json known(int number) { return known(static_cast<std::int64_t>(number)); }

/// A limit: "unlimited", a number, or null.
Json limit(std::int64_t bytes) { return bytes == -1 ? Json("unlimited") : known(bytes); }

Json gpu_json(const RankFacts& facts) {
  const NvmlFacts& gpu = facts.gpu;
  return {{"name", facts.gpu_name},
          {"pci_bus_id", facts.pci_bus_id},
          {"driver", facts.driver},
          {"nvml_absent", facts.nvml_absent},
          {"sm_clock_mhz", known(gpu.sm_clock_mhz)},
          {"most_sm_clock_mhz", known(gpu.most_sm_clock_mhz)},
          {"memory_clock_mhz", known(gpu.memory_clock_mhz)},
          {"most_memory_clock_mhz", known(gpu.most_memory_clock_mhz)},
          {"throttle_reasons", known(gpu.throttle_reasons)},
          {"ecc", known(gpu.ecc)},
          {"uncorrected_errors", known(gpu.uncorrected_errors)},
          {"memory_bytes", known(gpu.memory_bytes)},
          {"free_bytes", known(gpu.free_bytes)},
          {"celsius", known(gpu.celsius)},
          {"watts", known(gpu.watts)},
          {"most_watts", known(gpu.most_watts)}};
}

Json rank_json(const RankFacts& facts) {
  Json json = {{"rank", facts.rank},
               {"host", facts.host},
               {"node_rank", facts.node_rank},
               {"node_size", facts.node_size},
               {"binary",
                {{"sha256", facts.binary_sha256},
                 {"version", facts.version},
                 {"revision", facts.revision},
                 {"build", facts.build}}},
               {"device", facts.device}};
  if (facts.on_gpu()) json["gpu"] = gpu_json(facts);
  json["cpu"] = {{"name", facts.cpu_name},     {"kernels", facts.kernels},
                 {"numerics", facts.numerics}, {"cpus", facts.cpus},
                 {"cores", facts.cores},       {"numa_nodes", facts.nodes},
                 {"threads", facts.threads}};
  json["limits"] = {{"open_files", limit(facts.open_files)},
                    {"locked_bytes", limit(facts.locked_bytes)},
                    {"address_bytes", limit(facts.address_bytes)},
                    {"core_bytes", limit(facts.core_bytes)}};
  json["shared_memory"] = {{"bytes", known(facts.shm_bytes)},
                           {"free_bytes", known(facts.shm_free_bytes)}};
  json["memory"] = {{"bytes", known(facts.memory_bytes)},
                    {"free_bytes", known(facts.memory_free_bytes)}};
  json["disk"] = {{"free_bytes", known(facts.disk_free_bytes)},
                  {"temporary_free_bytes", known(facts.temporary_free_bytes)}};
  if (!facts.model.empty())
    json["model"] = {{"folder", facts.model},
                     {"identity", facts.model_identity},
                     {"error", facts.model_error},
                     {"weights_bytes", known(facts.weights_bytes)},
                     {"read",
                      {{"bytes", facts.read.bytes},
                       {"seconds", facts.read.seconds},
                       {"bytes_per_s", facts.read.bytes_per_s()},
                       {"how", facts.read.how},
                       {"error", facts.read.error}}}};
  return json;
}

Json sweep_json(const SweepFacts& sweep) {
  Json points = Json::array();
  for (const SweepFacts::Point& point : sweep.points)
    points.push_back({{"bytes", point.bytes},
                      {"repetitions", point.repetitions},
                      {"seconds", point.seconds},
                      {"least_s", point.least_s},
                      {"most_s", point.most_s},
                      {"algorithm_bytes_per_s", static_cast<double>(point.bytes) / point.seconds},
                      {"bus_bytes_per_s", point.bus_bytes_per_s},
                      {"wrong", point.wrong}});
  return {{"group", sweep.group},
          {"ranks", sweep.ranks},
          {"device", sweep.device},
          {"one_host", sweep.one_host},
          {"collective", sweep.collective},
          {"alpha_s", sweep.fit.alpha_s},
          {"bytes_per_s", sweep.fit.bytes_per_s},
          {"rms_error", sweep.fit.rms_error},
          {"worst_error", sweep.fit.worst_error},
          {"cut_short", sweep.cut_short},
          {"points", points}};
}

}  // namespace

std::string doctor_table(const DoctorFacts& facts, const std::vector<Finding>& findings) {
  std::string out;
  for (const Finding& finding : findings) {
    out += fmt::format("{:<7} {:<24} {}\n", name(finding.verdict), finding.what, finding.found);
    if (!finding.advice.empty()) out += fmt::format("{:<7} {:<24} -> {}\n", "", "", finding.advice);
  }
  for (const std::string& reason : not_looked_at(facts))
    out += fmt::format("{:<7} {}\n", "-", "not looked at: " + reason);
  int slow = 0, broken = 0;
  for (const Finding& finding : findings) {
    slow += finding.verdict == Verdict::kSlow;
    broken += finding.verdict == Verdict::kBroken;
  }
  out += fmt::format("\nverdict: {} ({} findings, {} slow, {} broken)\n", name(overall(findings)),
                     findings.size(), slow, broken);
  return out;
}

std::string doctor_json(const DoctorFacts& facts, const std::vector<Finding>& findings) {
  Json json;
  json["schema_version"] = 1;
  json["version"] = build::kVersion;
  json["verdict"] = name(overall(findings));
  json["mesh"] = {
      {"ranks", facts.size}, {"data", facts.size / facts.tensor}, {"tensor", facts.tensor}};
  json["findings"] = Json::array();
  for (const Finding& finding : findings)
    json["findings"].push_back({{"what", finding.what},
                                {"verdict", name(finding.verdict)},
                                {"found", finding.found},
                                {"advice", finding.advice},
                                {"ranks", finding.ranks}});
  json["not_looked_at"] = not_looked_at(facts);
  json["silent_ranks"] = facts.silent;
  json["ranks"] = Json::array();
  for (const RankFacts& rank : facts.ranks) json["ranks"].push_back(rank_json(rank));
  json["clocks"] = Json::array();
  for (const ClockFacts& clock : facts.clocks)
    json["clocks"].push_back(
        {{"rank", clock.rank}, {"ahead_s", clock.ahead_s}, {"bound_s", clock.bound_s}});
  json["sweeps"] = Json::array();
  for (const SweepFacts& sweep : facts.sweeps) json["sweeps"].push_back(sweep_json(sweep));
  json["pairs"] = Json::array();
  for (const PairFacts& pair : facts.pairs)
    json["pairs"].push_back({{"a", pair.a},
                             {"b", pair.b},
                             {"one_host", pair.one_host},
                             {"latency_s", pair.latency_s},
                             {"bytes_per_s", pair.bytes_per_s}});
  json["links_error"] = facts.links_error;
  return json.dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
}

}  // namespace retinue::runtime
