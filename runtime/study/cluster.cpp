#include "runtime/study/cluster.h"

#include "parallel/base/check.h"
#include "parallel/base/rng.h"
#include "runtime/study/report/table.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <iterator>
#include <numbers>
#include <span>

namespace retinue::study {
namespace {

/// With more failures than this the job hardly gets on, and the answer is already clear.
constexpr int kMostFailures = 100;

/// Two uniform numbers give a normal one.   Box, Muller 1958
double normal(std::uint64_t key, std::uint64_t at) {
  const double u = 1 - to_unit_double(random_bits(key, 2 * at));
  const double v = to_unit_double(random_bits(key, 2 * at + 1));
  return std::sqrt(-2 * std::log(u)) * std::cos(2 * std::numbers::pi * v);
}

double start_seconds(const ClusterJob& job, int nodes) {
  double seconds = job.launch_s + job.weight_bytes / job.storage_bytes_per_s;
  // Each node reads its own stripe and sends it on while it receives the others.
  if (nodes > 1)
    seconds += job.weight_bytes / job.fabric_bytes_per_s + job.fabric_alpha_s * std::log2(nodes);
  return seconds;
}

/// The simulated replicas of `replica` on `r.gpus` GPUs.
SimulatedJob simulated_job(const ClusterJob& job, const ClusterReplica& replica,
                           std::span<const SimulatedItem> items, const ClusterResult& r) {
  SimulatedJob one{.items = items,
                   .data = r.data,
                   .tensor = r.tensor,
                   .limits = replica.limits,
                   .times = replica.times,
                   .feed = replica.feed,
                   .reused_tokens = replica.reused_tokens};
  if (r.tensor > job.gpus_per_node) {
    // A hierarchical sum: within each node, then over the fabric.
    one.times.alpha_s += job.fabric_alpha_s;
    const double within_s = one.times.bytes_per_s > 0 ? 1 / one.times.bytes_per_s : 0;
    one.times.bytes_per_s = 1 / (within_s + 1 / job.fabric_bytes_per_s / job.gpus_per_node);
  }
  if (job.slowness_sigma > 0)
    for (int i = 0; i < r.data; ++i)
      one.slowness.push_back(std::exp(job.slowness_sigma *
                                      normal(mix64(job.seed + 1), static_cast<std::uint64_t>(i))));
  return one;
}

/// Adds the makespan of `run`, and of the runs that failures of nodes make necessary. A node that
/// fails ends all ranks; durable records stay, and the other items run again.
void add_makespan(const ClusterJob& job, const SimulatedJob& one, const SimulatedRun& run,
                  int nodes, ClusterResult& r) {
  r.makespan_s = r.start_s;
  SimulatedRun part = run;
  std::size_t left = run.done_s.size();
  for (std::uint64_t at = 0; job.node_mtbf_s > 0 && r.failures < kMostFailures; ++at) {
    const double u = 1 - to_unit_double(random_bits(mix64(job.seed + 2), at));
    const double fails_s = -std::log(u) * job.node_mtbf_s / nodes;
    if (fails_s >= part.makespan_s) break;
    ++r.failures;
    r.makespan_s += fails_s + r.start_s;
    left -= static_cast<std::size_t>(std::ranges::upper_bound(part.done_s, fails_s) -
                                     part.done_s.begin());
    SimulatedJob rest = one;
    rest.items = one.items.last(left);
    part = simulate(rest);
  }
  r.makespan_s += part.makespan_s;
}

ClusterResult result_on(const ClusterJob& job, const ClusterReplica& replica,
                        std::span<const SimulatedItem> items, int gpus) {
  ClusterResult r{.gpus = gpus, .tensor = replica.tensor, .data = gpus / replica.tensor};
  const int nodes = (gpus + job.gpus_per_node - 1) / job.gpus_per_node;
  const SimulatedJob one = simulated_job(job, replica, items, r);
  const SimulatedRun run = simulate(one);
  r.events = run.events;
  r.start_s = start_seconds(job, nodes);
  const std::size_t n = run.done_s.size();
  r.tail = tail_loss(run.done_s, run.makespan_s);
  if (n >= 20) {
    const double span = run.done_s[n - 1 - n / 10] - run.done_s[n / 10];
    r.steady_per_gpu = span > 0 ? static_cast<double>(n - 1 - 2 * (n / 10)) / span / gpus : 0;
  }
  double busy = 0;
  for (const double s : run.busy_s) busy += s / static_cast<double>(r.data);
  r.communication = busy > 0 ? run.communication_s / busy : 0;
  add_makespan(job, one, run, nodes, r);
  r.items_per_s = static_cast<double>(n) / r.makespan_s;
  r.items_per_s_per_gpu = r.items_per_s / gpus;
  if (job.price_per_hour > 0) {
    r.cost = gpus * job.price_per_hour * r.makespan_s / 3600;
    r.cost_per_1000 = *r.cost / (static_cast<double>(n) / 1000);
  }
  return r;
}

}  // namespace

ClusterJob cluster_job_of(const Study& study) {
  ClusterJob job;
  job.name = study.provenance.title;
  job.fabric_bytes_per_s = 1e9;
  const Summary summary = summarize(study);
  for (const CaseResult& r : summary.cases) {
    if (r.what.scaling != Scaling::kStrong ||
        r.what.max_pixels != summary.cases.front().what.max_pixels ||
        r.what.max_sequences != summary.cases.front().what.max_sequences)
      continue;
    const auto model = model_of(study, r.what);
    if (!model) continue;
    ClusterReplica replica{.tensor = r.what.layout.tensor,
                           .limits = model->limits,
                           .times = model->times,
                           .feed = model->feed,
                           .reused_tokens = model->reused_tokens};
    const auto known = std::ranges::find(job.replicas, replica.tensor, &ClusterReplica::tensor);
    // Cases are in the order of growing layouts: the last one has most replicas side by side.
    if (known == job.replicas.end())
      job.replicas.push_back(replica);
    else
      *known = replica;
    job.gpus_per_node = std::max(job.gpus_per_node, r.what.layout.tensor);
    job.launch_s = std::max(job.launch_s, r.start_s);
  }
  if (job.replicas.empty())
    throw UsageError(
        "[--simulate] the study has no calibration of strong scaling yet: let it finish.");
  job.shapes = items_of(study, summary.cases.front().what.max_pixels);
  if (study.provenance.price_per_hour) job.price_per_hour = *study.provenance.price_per_hour;
  return job;
}

std::vector<ClusterResult> simulate_cluster(const ClusterJob& job) {
  check(!job.shapes.empty() && !job.replicas.empty(), "a simulation has items and a replica");
  std::vector<SimulatedItem> items;
  for (std::int64_t i = 0; i < job.items; ++i)
    items.push_back(job.shapes[random_bits(mix64(job.seed), static_cast<std::uint64_t>(i)) %
                               job.shapes.size()]);
  std::vector<ClusterResult> results;
  for (const int gpus : job.gpus)
    for (const ClusterReplica& replica : job.replicas)
      if (gpus % replica.tensor == 0) results.push_back(result_on(job, replica, items, gpus));
  return results;
}

std::string cluster_table(const ClusterJob& job, const std::vector<ClusterResult>& results) {
  std::string text = fmt::format(
      "simulated: {}, {} items; {} per node\n{:>6} {:>5} {:>6} {:>9} {:>9} {:>10} {:>9} {:>6} "
      "{:>6} "
      "{:>9} {:>9} {:>9} {:>8}\n",
      job.name, job.items, job.gpus_per_node, "ranks", "TP", "x", "start, s", "total, s", "items/s",
      "per rank", "steady", "comm", "tail", "failures", "cost", "per 1k");
  for (const ClusterResult& r : results)
    fmt::format_to(
        std::back_inserter(text),
        "{:>6} {:>5} {:>6} {:>9.1f} {:>9.1f} {:>10.2f} {:>9.3f} {:>6.3g} {:>5.0f}% {:>9} {:>9} "
        "{:>9} {:>8}\n",
        r.gpus, r.tensor, r.data, r.start_s, r.makespan_s, r.items_per_s, r.items_per_s_per_gpu,
        r.steady_per_gpu, 100 * r.communication, r.tail ? decimal(100 * *r.tail, 1) + "%" : "-",
        r.failures, r.cost ? fmt::format("{:.2f}", *r.cost) : "-",
        r.cost_per_1000 ? fmt::format("{:.4f}", *r.cost_per_1000) : "-");
  if (results.empty()) text += "no tensor size divides any of the numbers of ranks\n";
  return text;
}

}  // namespace retinue::study
