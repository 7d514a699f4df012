#include "parallel/device/topology.h"

#include "parallel/base/check.h"

#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <fstream>
#include <iterator>
#include <map>
#include <sched.h>
#include <set>

namespace retinue {

namespace {

/// The first line of a file; empty where there is none.
std::string line_of(const std::string& path) {
  std::ifstream file(path);
  std::string line;
  std::getline(file, line);
  return line;
}

/// Cores as ranks get them: what they may use of each.
using Cores = std::vector<const Core*>;

/// How many of `count` cores the `index`-th of `ranks` gets when they share them evenly, and which
/// is its first.
struct Part {
  std::size_t first, count;
};
Part part_of(std::size_t count, std::size_t ranks, std::size_t index, std::size_t most) {
  const std::size_t each = std::min(most, count / ranks);
  if (each == most) return {index * each, each};
  const std::size_t more = count % ranks;  // the first ranks get one more
  return {index * each + std::min(index, more), each + (index < more ? 1 : 0)};
}

}  // namespace

CpuList parse_cpu_list(std::string_view text) {
  std::set<int> cpus;
  const char* at = text.data();
  const char* const end = at + text.size();
  while (at < end) {
    int first = 0;
    auto [next, error] = std::from_chars(at, end, first);
    if (error != std::errc() || first < 0) break;
    int last = first;
    if (next < end && *next == '-') {
      const auto range = std::from_chars(next + 1, end, last);
      if (range.ec != std::errc() || last < first || last - first > 1 << 20) break;
      next = range.ptr;
    }
    for (int cpu = first; cpu <= last; ++cpu) cpus.insert(cpu);
    if (next == end || *next != ',') break;
    at = next + 1;
  }
  return {cpus.begin(), cpus.end()};
}

std::string to_string(const CpuList& cpus) {
  std::string text;
  for (std::size_t i = 0; i < cpus.size();) {
    std::size_t last = i;
    while (last + 1 < cpus.size() && cpus[last + 1] == cpus[last] + 1) ++last;
    fmt::format_to(std::back_inserter(text), "{}{}", text.empty() ? "" : ",", cpus[i]);
    if (last > i) fmt::format_to(std::back_inserter(text), "-{}", cpus[last]);
    i = last + 1;
  }
  return text;
}

Topology read_topology(const std::string& sysfs) {
  const std::string system = sysfs + "/devices/system/";
  std::map<int, int> node_of;
  for (const int node : parse_cpu_list(line_of(system + "node/online")))
    for (const int cpu :
         parse_cpu_list(line_of(fmt::format("{}node/node{}/cpulist", system, node))))
      node_of[cpu] = node;
  Topology topology;
  std::set<int> seen;
  for (const int cpu : parse_cpu_list(line_of(system + "cpu/online"))) {
    if (!seen.insert(cpu).second) continue;
    CpuList siblings = parse_cpu_list(
        line_of(fmt::format("{}cpu/cpu{}/topology/thread_siblings_list", system, cpu)));
    if (std::find(siblings.begin(), siblings.end(), cpu) == siblings.end()) siblings = {cpu};
    seen.insert(siblings.begin(), siblings.end());
    const auto node = node_of.find(cpu);
    topology.cores.push_back({std::move(siblings), node == node_of.end() ? 0 : node->second});
  }
  std::stable_sort(topology.cores.begin(), topology.cores.end(),
                   [](const Core& a, const Core& b) { return a.node < b.node; });
  return topology;
}

int numa_node_of(const std::string& pci_bus_id, const std::string& sysfs) {
  const std::string text =
      line_of(fmt::format("{}/bus/pci/devices/{}/numa_node", sysfs, pci_bus_id));
  int node = -1;
  std::from_chars(text.data(), text.data() + text.size(), node);
  return std::max(node, -1);
}

CpuList allowed_cpus() {
  cpu_set_t set;
  CPU_ZERO(&set);
  if (sched_getaffinity(0, sizeof(set), &set) != 0) return {};
  CpuList cpus;
  for (int cpu = 0; cpu < CPU_SETSIZE; ++cpu)
    if (CPU_ISSET(cpu, &set)) cpus.push_back(cpu);
  return cpus;
}

void bind_thread(const CpuList& cpus) {
  cpu_set_t set;
  CPU_ZERO(&set);
  for (const int cpu : cpus)
    if (cpu < CPU_SETSIZE) CPU_SET(cpu, &set);
  if (sched_setaffinity(0, sizeof(set), &set) != 0)
    throw SystemError(
        fmt::format("[binding] this rank cannot be bound to CPUs {}: {}. Does the control group "
                    "change while the job starts?",
                    to_string(cpus), std::strerror(errno)));
}

CpuList share_of_cores(const Topology& topology, const CpuList& allowed,
                       std::span<const int> wanted_nodes, int local_rank) {
  const std::size_t ranks = wanted_nodes.size();
  check(local_rank >= 0 && static_cast<std::size_t>(local_rank) < ranks,
        "a rank of the host has a share");
  const std::set<int> usable(allowed.begin(), allowed.end());
  std::map<int, Cores> by_node;
  std::size_t cores = 0;
  for (const Core& core : topology.cores)
    if (std::any_of(core.cpus.begin(), core.cpus.end(),
                    [&](int cpu) { return usable.contains(cpu); })) {
      by_node[core.node].push_back(&core);
      ++cores;
    }
  const std::size_t share = cores / ranks;
  if (share == 0) return allowed;

  // First of the own node, then of what is left anywhere.
  std::vector<Cores> of_rank(ranks);
  std::map<int, std::vector<std::size_t>> wanting;
  for (std::size_t r = 0; r < ranks; ++r) wanting[wanted_nodes[r]].push_back(r);
  Cores left;
  for (const auto& [node, own] : by_node) {
    const auto found = wanting.find(node);
    const std::vector<std::size_t> here =
        found == wanting.end() ? std::vector<std::size_t>{} : found->second;
    std::size_t taken = 0;
    for (std::size_t i = 0; i < here.size(); ++i) {
      const Part part = part_of(own.size(), here.size(), i, share);
      for (std::size_t c = part.first; c < part.first + part.count; ++c)
        of_rank[here[i]].push_back(own[c]);
      taken += part.count;
    }
    left.insert(left.end(), own.begin() + static_cast<std::ptrdiff_t>(taken), own.end());
  }
  auto next = left.begin();
  for (Cores& mine : of_rank)
    while (mine.size() < share) mine.push_back(*next++);

  CpuList cpus;
  for (const Core* core : of_rank[static_cast<std::size_t>(local_rank)])
    for (const int cpu : core->cpus)
      if (usable.contains(cpu)) cpus.push_back(cpu);
  std::sort(cpus.begin(), cpus.end());
  return cpus;
}

}  // namespace retinue
