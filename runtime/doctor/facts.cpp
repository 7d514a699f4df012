#include "runtime/doctor/facts.h"

#include "parallel/base/check.h"

#include <nlohmann/json.hpp>

namespace retinue {

// In the namespace of the structs, where nlohmann looks for them.
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(NvmlFacts, name, sm_clock_mhz, most_sm_clock_mhz,
                                   memory_clock_mhz, most_memory_clock_mhz, throttle_reasons, ecc,
                                   uncorrected_errors, memory_bytes, free_bytes, celsius, watts,
                                   most_watts)
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(AlphaBeta, alpha_s, bytes_per_s, rms_error, worst_error)

namespace runtime {

NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(ReadRate, bytes, seconds, how, error)
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(RankFacts, rank, host, node_rank, node_size, version, revision,
                                   build, binary_sha256, model, model_identity, model_error,
                                   weights_bytes, read, device, device_error, pci_bus_id, gpu_name,
                                   driver, nvml_absent, gpu, cpu_name, kernels, numerics, cpus,
                                   cores, nodes, threads, open_files, locked_bytes, address_bytes,
                                   core_bytes, shm_bytes, shm_free_bytes, memory_bytes,
                                   memory_free_bytes, disk_free_bytes, temporary_free_bytes)
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(SweepFacts::Point, bytes, repetitions, seconds, least_s, most_s,
                                   bus_bytes_per_s, wrong)
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(SweepFacts, group, ranks, device, one_host, collective, fit,
                                   bus_bytes_per_s, cut_short, points)

namespace {

template <class T>
T parsed(const std::string& text) {
  try {
    return nlohmann::json::parse(text).get<T>();
  } catch (const nlohmann::json::exception& error) {
    throw BugError(std::string("a rank's facts cannot be read: ") + error.what());
  }
}

/// Host names and system errors may have any encoding.
std::string dumped(const nlohmann::json& json) {
  return json.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

}  // namespace

std::string to_text(const RankFacts& facts) { return dumped(facts); }
RankFacts rank_facts(const std::string& text) { return parsed<RankFacts>(text); }
std::string to_text(const std::vector<SweepFacts>& sweeps) { return dumped(sweeps); }
std::vector<SweepFacts> sweep_facts(const std::string& text) {
  return parsed<std::vector<SweepFacts>>(text);
}

}  // namespace runtime
}  // namespace retinue
