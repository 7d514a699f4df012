#pragma once

#include "runtime/doctor/facts.h"

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

/// Machines to judge, on which nothing is wrong.
namespace retinue::test {

inline constexpr std::int64_t kMega = 1'000'000, kGiga = 1'000'000'000;

inline runtime::SweepFacts healthy_sweep(const std::string& group, std::vector<int> ranks,
                                         bool one_host) {
  runtime::SweepFacts sweep;
  sweep.group = group, sweep.ranks = std::move(ranks), sweep.device = "cpu";
  sweep.one_host = one_host, sweep.collective = "all_reduce";
  sweep.fit = {.alpha_s = 5e-6, .bytes_per_s = 4e9, .rms_error = 0.1, .worst_error = 0.2};
  sweep.bus_bytes_per_s = 6e9;
  sweep.points = {{8, 100, 5e-6, 4e-6, 9e-6, 2e6, 0}, {kMega, 10, 255e-6, 250e-6, 300e-6, 6e9, 0}};
  return sweep;
}

/// Four ranks on two hosts, two replicas of two, nothing wrong.
inline runtime::DoctorFacts healthy() {
  runtime::DoctorFacts facts;
  facts.size = 4, facts.tensor = 2, facts.answer_deadline_s = 30;
  for (int rank = 0; rank < 4; ++rank) {
    runtime::RankFacts one;
    one.rank = rank, one.host = rank < 2 ? "alpha" : "beta";
    one.node_rank = rank % 2, one.node_size = 2;
    one.version = "1.0", one.revision = "abc", one.build = "Release";
    one.binary_sha256 = std::string(64, 'a');
    one.model = "/model", one.model_identity = std::string(64, 'b'), one.weights_bytes = kGiga;
    one.read = {256 * kMega, 0.1, "direct", ""};
    one.device = "cpu", one.cpu_name = "A processor", one.kernels = "avx512", one.numerics = "1234";
    one.cpus = rank % 2 == 0 ? "0-7" : "8-15", one.cores = 8, one.nodes = std::to_string(rank % 2);
    one.threads = 8;
    one.open_files = 20'000, one.locked_bytes = -1, one.address_bytes = -1, one.core_bytes = 0;
    one.shm_bytes = 8 * kGiga, one.shm_free_bytes = 7 * kGiga;
    one.memory_bytes = 64 * kGiga, one.memory_free_bytes = 60 * kGiga;
    one.disk_free_bytes = 100 * kGiga, one.temporary_free_bytes = 100 * kGiga;
    facts.ranks.push_back(one);
    facts.clocks.push_back({rank, 1e-5 * rank, 2e-5});
  }
  facts.sweeps = {healthy_sweep("world", {0, 1, 2, 3}, false),
                  healthy_sweep("tensor 0", {0, 1}, true), healthy_sweep("tensor 1", {2, 3}, true)};
  for (int a = 0; a < 4; ++a)
    for (int b = a + 1; b < 4; ++b) {
      const bool near = a / 2 == b / 2;
      facts.pairs.push_back({a, b, near, near ? 1e-6 : 20e-6, near ? 8e9 : 3e9});
    }
  return facts;
}

/// The same on GPUs that NVML describes.
inline runtime::DoctorFacts on_gpus() {
  runtime::DoctorFacts facts = healthy();
  for (runtime::RankFacts& one : facts.ranks) {
    one.device = "cuda:" + std::to_string(one.node_rank);
    one.pci_bus_id = "0000:0" + std::to_string(one.node_rank) + ":00.0";
    one.gpu_name = "A GPU", one.driver = "560.1";
    one.gpu = {.name = "A GPU",
               .sm_clock_mhz = 345,
               .most_sm_clock_mhz = 1980,
               .memory_clock_mhz = 2619,
               .most_memory_clock_mhz = 2619,
               .throttle_reasons = 1,  // idle
               .ecc = 1,
               .uncorrected_errors = 0,
               .memory_bytes = 80 * kGiga,
               .free_bytes = 79 * kGiga,
               .celsius = 40,
               .watts = 90,
               .most_watts = 700};
  }
  for (runtime::SweepFacts& sweep : facts.sweeps)
    if (sweep.group != "world") sweep.device = "cuda", sweep.bus_bytes_per_s = 200e9;
  return facts;
}

}  // namespace retinue::test
