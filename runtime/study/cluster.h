#pragma once

#include "runtime/study/model/simulation.h"
#include "runtime/study/study.h"

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace retinue::study {

/// A replica as a simulation knows it: of one tensor size.
struct ClusterReplica {
  int tensor = 1;
  SimulatedLimits limits;
  StepTimes times;
  SimulatedFeed feed;
  double reused_tokens = 0;
};

/// A job on machines that are not here: what was measured or is given, and what is asked.
struct ClusterJob {
  std::string name;
  std::vector<SimulatedItem> shapes;  ///< items are drawn from these
  std::int64_t items = 100000;
  std::vector<int> gpus = {8, 64, 1024};
  int gpus_per_node = 8;
  std::vector<ClusterReplica> replicas;
  /// Between nodes, beside what a replica's own steps say of sums within one.
  double fabric_alpha_s = 25e-6, fabric_bytes_per_s = 50e9;
  double launch_s = 5, weight_bytes = 0,
         storage_bytes_per_s = 2e9;  ///< storage: all nodes together
  double node_mtbf_s = 0;            ///< mean time between failures of a node; 0: none fails
  double slowness_sigma = 0;         ///< of the logarithm of a replica's slowness
  double price_per_hour = 0;         ///< of a GPU
  std::uint64_t seed = 0;
};

/// A file of --simulate: runtime/study/README.md says what it holds. `where` begins messages.
/// Throws: UsageError naming the key for what is missing, of another kind or out of range.
ClusterJob parse_cluster_job(std::string_view json, const std::string& where);
/// What a finished study measured, for more ranks of the same kind: a replica for each tensor size
/// that has a calibration, from the layout with most replicas. Sums stay as they were measured, so
/// that no replica may span nodes. Throws: UsageError without any.
ClusterJob cluster_job_of(const Study& study);

struct ClusterResult {
  int gpus = 1, tensor = 1, data = 1;
  double start_s = 0;     ///< launch, weights read once and spread
  double makespan_s = 0;  ///< from start to last record, failures and their restarts included
  double items_per_s = 0, items_per_s_per_gpu = 0;
  double steady_per_gpu = 0;  ///< over the middle eight tenths of completions, without failures
  std::optional<double> tail = {};
  double communication = 0;  ///< share of a replica's time
  int failures = 0;
  std::int64_t events = 0;  ///< of the simulation, failures left out
  std::optional<double> cost = {}, cost_per_1000 = {};
};
/// All sizes and tensor sizes that divide them; a replica that spans nodes pays for the fabric.
std::vector<ClusterResult> simulate_cluster(const ClusterJob& job);

std::string cluster_table(const ClusterJob& job, const std::vector<ClusterResult>& results);

}  // namespace retinue::study
