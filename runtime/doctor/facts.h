#pragma once

#include "parallel/comm/sweep_fit.h"
#include "parallel/device/nvml.h"

#include <cstdint>
#include <string>
#include <vector>

/// The facts that `retinue doctor` collects and verdict.h judges. Plain values; unknown ones are
/// empty or -1.
namespace retinue::runtime {

/// How fast this rank's share of the checkpoint came from its file system.
struct ReadRate {
  std::int64_t bytes = 0;  ///< 0: nothing was read
  double seconds = 0;
  /// "direct": past the page cache. "cold": through the page cache, which had none of the bytes.
  /// "cached": it had some, so the rate is memory's.
  std::string how;
  std::string error;  ///< why nothing was read

  [[nodiscard]] double bytes_per_s() const {
    return seconds > 0 ? static_cast<double>(bytes) / seconds : 0;
  }
};

/// A rank and its machine.
struct RankFacts {
  int rank = 0;
  std::string host;
  int node_rank = 0, node_size = 1;

  // The program.
  std::string version, revision, build;
  std::string binary_sha256;

  // The model, and why it cannot be used.
  std::string model, model_identity, model_error;
  std::int64_t weights_bytes = -1;
  ReadRate read;

  // The device.
  std::string device;  ///< "cpu", "cuda:1"
  [[nodiscard]] bool on_gpu() const { return device != "cpu"; }
  std::string device_error;  ///< why the requested device is absent
  std::string pci_bus_id;    ///< the GPU's
  std::string gpu_name;
  std::string driver, nvml_absent;  ///< why clocks and errors are unknown
  NvmlFacts gpu;

  // The processor.
  std::string cpu_name, kernels, numerics;
  std::string cpus;   ///< CPUs that this rank may use: "0-3,8"
  int cores = 0;      ///< physical ones among them
  std::string nodes;  ///< their NUMA nodes: "0"
  int threads = 1;    ///< threads that a job would start per rank

  // Limits and room. A limit of -1 is unlimited, of -2 unknown.
  std::int64_t open_files = -2, locked_bytes = -2, address_bytes = -2, core_bytes = -2;
  std::int64_t shm_bytes = -1, shm_free_bytes = -1;
  std::int64_t memory_bytes = -1, memory_free_bytes = -1;
  std::int64_t disk_free_bytes = -1;  ///< in the current folder, where jobs write
  std::int64_t temporary_free_bytes = -1;
};

/// A rank's wall clock is ahead of rank 0's by so much, give or take the bound.
struct ClockFacts {
  int rank = 0;
  double ahead_s = 0, bound_s = 0;
};

/// The sweep of one collective in one group of ranks.
struct SweepFacts {
  std::string group;       ///< "world", "tensor 0"
  std::vector<int> ranks;  ///< world ranks
  std::string device;      ///< device that holds the messages: "cpu", "cuda"
  [[nodiscard]] bool on_gpu() const { return device != "cpu"; }
  bool one_host = true;
  std::string collective;
  AlphaBeta fit;
  double bus_bytes_per_s = 0;  ///< with the longest message
  bool cut_short = false;
  struct Point {
    std::int64_t bytes = 0;
    int repetitions = 0;
    double seconds = 0, least_s = 0, most_s = 0, bus_bytes_per_s = 0;
    std::int64_t wrong = 0;
  };
  std::vector<Point> points;
};

/// Messages between two world ranks, one way.
struct PairFacts {
  int a = 0, b = 1;
  bool one_host = true;
  double latency_s = 0, bytes_per_s = 0;
};

/// All facts, on rank 0.
struct DoctorFacts {
  int size = 1;    ///< ranks of the world
  int tensor = 1;  ///< ranks per replica
  bool share_device = false;
  double answer_deadline_s = 0;
  std::vector<RankFacts> ranks;  ///< the ranks that answered, in order
  std::vector<int> silent;       ///< the ranks that did not answer
  std::vector<ClockFacts> clocks;
  std::vector<SweepFacts> sweeps;
  std::vector<PairFacts> pairs;
  std::string links_error;  ///< why some sweeps or pairs are missing
};

/// Facts as text, to send them between ranks. Reading throws BugError for other text.
std::string to_text(const RankFacts& facts);
RankFacts rank_facts(const std::string& text);
std::string to_text(const std::vector<SweepFacts>& sweeps);
std::vector<SweepFacts> sweep_facts(const std::string& text);

}  // namespace retinue::runtime
