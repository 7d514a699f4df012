#pragma once

#include "runtime/study/model/simulation.h"
#include "runtime/study/study.h"

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace retinue::study {

/// A simulated replica of one tensor size.
struct ClusterReplica {
  int tensor = 1;
  SimulatedLimits limits;
  StepTimes times;
  SimulatedFeed feed;
  double reused_tokens = 0;
};

/// A simulated job: measured or given properties of its machines, and the numbers of GPUs asked
/// for.
struct ClusterJob {
  std::string name;
  std::vector<SimulatedItem> shapes;  ///< items are drawn from these
  std::int64_t items = 100000;
  std::vector<int> gpus = {8, 64, 1024};
  int gpus_per_node = 8;
  std::vector<ClusterReplica> replicas;
  /// The network between nodes; a replica's steps have the sums within a node.
  double fabric_alpha_s = 25e-6, fabric_bytes_per_s = 50e9;
  double launch_s = 5, weight_bytes = 0;
  double storage_bytes_per_s = 2e9;  ///< all nodes together
  double node_mtbf_s = 0;            ///< mean time between failures of a node; 0: none fails
  double slowness_sigma = 0;         ///< standard deviation of the logarithm of replicas' slowness
  double price_per_hour = 0;         ///< per GPU
  std::uint64_t seed = 0;
};

/// Parses a file of --simulate, which runtime/study/README.md describes. `where` begins messages.
/// Throws: UsageError naming a key that is missing, unknown, of a wrong type or out of range.
ClusterJob parse_cluster_job(std::string_view json, const std::string& where);
/// A finished study's measurements for more ranks of the same kind: a replica per tensor size that
/// has a calibration, from the layout with most replicas. Step times contain the measured sums, so
/// no replica may span nodes. Throws: UsageError without any calibration.
ClusterJob cluster_job_of(const Study& study);

struct ClusterResult {
  int gpus = 1, tensor = 1, data = 1;
  double start_s = 0;     ///< launch, and weights read once and spread
  double makespan_s = 0;  ///< start to last record, with failures and restarts
  double items_per_s = 0, items_per_s_per_gpu = 0;
  double steady_per_gpu = 0;  ///< over the middle eight tenths of the items, without failures
  std::optional<double> tail = {};
  double communication = 0;  ///< share of a replica's time
  int failures = 0;
  std::int64_t events = 0;  ///< simulated events, without failures
  std::optional<double> cost = {}, cost_per_1000 = {};
};
/// One result per number of GPUs and tensor size that divides it. A replica that spans nodes pays
/// for the fabric.
std::vector<ClusterResult> simulate_cluster(const ClusterJob& job);

std::string cluster_table(const ClusterJob& job, const std::vector<ClusterResult>& results);

}  // namespace retinue::study
