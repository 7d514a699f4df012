#pragma once

#include "parallel/comm/sweep_fit.h"
#include "parallel/device/nvml.h"

#include <cstdint>
#include <string>
#include <vector>

/// What `retinue doctor` has found, before anybody judges it (doctor_verdict.h). Plain values; what
/// a machine does not tell is empty or -1.
namespace retinue::runtime {

/// How fast this rank's share of the checkpoint came from its file system.
struct ReadRate {
  std::int64_t bytes = 0;  ///< 0: nothing was read
  double seconds = 0;
  /// "direct": past the page cache. "cold": through it, which had none of it. "cached": through it,
  /// and some was there, so the rate is that of memory.
  std::string how;
  std::string error;  ///< why nothing was read

  [[nodiscard]] double bytes_per_s() const {
    return seconds > 0 ? static_cast<double>(bytes) / seconds : 0;
  }
};

/// One rank about itself and its machine.
struct RankFacts {
  int rank = 0;
  std::string host;
  int node_rank = 0, node_size = 1;

  // The program.
  std::string version, revision, build;
  std::string binary_sha256;

  // The model: which it is, and why it cannot be used.
  std::string model, model_identity, model_error;
  std::int64_t weights_bytes = -1;
  ReadRate read;

  // The device.
  std::string device;        ///< "cpu", "cuda:1"
  std::string device_error;  ///< why the device that was asked for is not there
  std::string pci_bus_id;    ///< of a GPU
  std::string gpu_name;
  std::string driver, nvml_absent;  ///< why clocks and errors are not known
  NvmlFacts gpu;

  // The processor.
  std::string cpu_name, kernels, numerics;
  std::string cpus;   ///< that this rank may use: "0-3,8"
  int cores = 0;      ///< physical ones among them
  std::string nodes;  ///< NUMA nodes that these lie in: "0"
  int threads = 1;    ///< that a job would start

  // Limits and room. Of a limit: -1 unlimited, -2 not known.
  std::int64_t open_files = -2, locked_bytes = -2, address_bytes = -2, core_bytes = -2;
  std::int64_t shm_bytes = -1, shm_free_bytes = -1;
  std::int64_t memory_bytes = -1, memory_free_bytes = -1;
  std::int64_t disk_free_bytes = -1;  ///< where the command was given, which is where jobs write
  std::int64_t temporary_free_bytes = -1;
};

/// A rank's wall clock beside rank 0's: it is ahead by so much, give or take the bound.
struct ClockFacts {
  int rank = 0;
  double ahead_s = 0, bound_s = 0;
};

/// One collective of one group of ranks, from its sweep.
struct SweepFacts {
  std::string group;       ///< "world", "tensor 0"
  std::vector<int> ranks;  ///< of the world
  std::string device;      ///< where the memory was: "cpu", "cuda"
  bool one_host = true;
  std::string collective;
  AlphaBeta fit;
  double bus_bytes_per_s = 0;  ///< of the longest message
  bool cut_short = false;
  struct Point {
    std::int64_t bytes = 0;
    int repetitions = 0;
    double seconds = 0, least_s = 0, most_s = 0, bus_bytes_per_s = 0;
    std::int64_t wrong = 0;
  };
  std::vector<Point> points;
};

/// Two ranks of the world, one way.
struct PairFacts {
  int a = 0, b = 1;
  bool one_host = true;
  double latency_s = 0, bytes_per_s = 0;
};

/// All of it, on rank 0.
struct DoctorFacts {
  int size = 1;    ///< ranks of the world
  int tensor = 1;  ///< ranks per replica
  bool share_device = false;
  double answer_deadline_s = 0;
  std::vector<RankFacts> ranks;  ///< those that answered, by rank
  std::vector<int> silent;       ///< those that did not
  std::vector<ClockFacts> clocks;
  std::vector<SweepFacts> sweeps;
  std::vector<PairFacts> pairs;
  std::string links_error;  ///< why sweeps and pairs are not all there
};

/// For the way between ranks. Throws: BugError for text that the other did not write.
std::string to_text(const RankFacts& facts);
RankFacts rank_facts(const std::string& text);
std::string to_text(const std::vector<SweepFacts>& sweeps);
std::vector<SweepFacts> sweep_facts(const std::string& text);

}  // namespace retinue::runtime
