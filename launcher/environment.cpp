#include "launcher/environment.h"

#include "parallel/base/check.h"
#include "parallel/comm/mpi/mpi_world.h"
#include "parallel/device/topology.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <cstdlib>
#include <fstream>
#include <sstream>
#include <time.h>
#include <unistd.h>

namespace retinue::launcher {
namespace {

constexpr std::array kVariables = {
    Variable{"RETINUE_MPIRUN", "PATH", "the mpirun that starts ranks (default: mpirun in PATH)"},
    Variable{"RETINUE_DEADLINE_S", "X",
             "seconds that a rank waits for others before it gives up (default: 300)"},
    Variable{"RETINUE_SYNC", "1", "on GPUs: wait for each op, so that an error names the op"},
    Variable{"RETINUE_TEST_DATA", "DIR",
             "read by cmake: folder with test data that is not the project's own"},
};

int slots_in(std::string_view digits, std::string_view where) {
  int slots = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), slots);
  if (error != std::errc() || end != digits.data() + digits.size() || slots < 1)
    throw UsageError(fmt::format("{} wants a number of slots, got '{}'.", where, digits));
  return slots;
}

/// The quota of a control group (version 2), in CPUs, as a container may have 2 of 64.
int quota() {
  std::ifstream in("/sys/fs/cgroup/cpu.max");
  double used_us = 0, period_us = 0;
  if (!(in >> used_us >> period_us) || period_us <= 0) return 1 << 20;
  return std::max(1, static_cast<int>(std::ceil(used_us / period_us)));
}

}  // namespace

std::span<const Variable> variables() { return kVariables; }

std::optional<std::string> process_getenv(const std::string& name) {
  const char* value = std::getenv(name.c_str());
  return value == nullptr ? std::nullopt : std::optional<std::string>(value);
}

Environment read_environment(const Getenv& getenv) {
  Environment environment;
  environment.launched = World::launched();
  if (!environment.launched) return environment;
  for (const char* name : {"OMPI_COMM_WORLD_RANK", "PMIX_RANK", "PMI_RANK", "SLURM_PROCID"})
    if (const auto rank = getenv(name)) {
      environment.rank = std::atoi(rank->c_str());
      break;
    }
  return environment;
}

double seconds_since_launch(bool launched) {
  const std::string process = launched ? std::to_string(::getppid()) : "self";
  std::ifstream in(fmt::format("/proc/{}/stat", process));
  std::string text;
  std::getline(in, text);
  // The name in brackets may hold anything; the start is the 20th field after it.
  const std::size_t name_end = text.rfind(')');
  if (name_end == text.npos) return 0;
  std::istringstream fields(text.substr(name_end + 1));
  std::string start;
  for (int i = 0; i < 20; ++i) fields >> start;
  double ticks = 0;
  timespec now{};
  if (!(std::istringstream(start) >> ticks) || ::clock_gettime(CLOCK_BOOTTIME, &now) != 0) return 0;
  const double begun_s = ticks / static_cast<double>(::sysconf(_SC_CLK_TCK));
  return std::max(
      0.0, static_cast<double>(now.tv_sec) + 1e-9 * static_cast<double>(now.tv_nsec) - begun_s);
}

double deadline_s(const Getenv& getenv) {
  const auto text = getenv("RETINUE_DEADLINE_S");
  if (!text) return 300;
  double seconds = 0;
  const auto [end, error] = std::from_chars(text->data(), text->data() + text->size(), seconds);
  if (error != std::errc() || end != text->data() + text->size() || !(seconds > 0))
    throw UsageError(
        fmt::format("[environment] RETINUE_DEADLINE_S wants seconds above 0, got '{}'.", *text));
  return seconds;
}

bool waits_after_ops(const Getenv& getenv) { return getenv("RETINUE_SYNC") == "1"; }

std::vector<Host> parse_hosts(std::string_view list) {
  std::vector<Host> hosts;
  while (true) {
    const std::size_t comma = std::min(list.find(','), list.size());
    const std::string_view one = list.substr(0, comma);
    const std::size_t colon = one.find(':');
    Host host{.name = std::string(one.substr(0, colon))};
    if (host.name.empty())
      throw UsageError(
          fmt::format("[launch] --hosts wants names like a,b or a:2,b:2, got '{}'.", list));
    if (colon != one.npos) host.slots = slots_in(one.substr(colon + 1), "[launch] --hosts");
    hosts.push_back(std::move(host));
    if (comma == list.size()) return hosts;
    list.remove_prefix(comma + 1);
  }
}

std::vector<Host> parse_hostfile(std::string_view text, std::string_view file) {
  std::vector<Host> hosts;
  std::istringstream lines{std::string(text)};
  for (std::string line; std::getline(lines, line);) {
    std::istringstream fields(line.substr(0, line.find('#')));
    Host host;
    if (!(fields >> host.name)) continue;
    for (std::string field; fields >> field;)
      if (field.starts_with("slots="))
        host.slots = slots_in(std::string_view(field).substr(6), fmt::format("[launch] {}", file));
    hosts.push_back(std::move(host));
  }
  if (hosts.empty())
    throw UsageError(fmt::format("[launch] {} names no host. A line reads NAME slots=N.", file));
  return hosts;
}

Cores usable_cores() {
  const CpuList allowed = allowed_cpus();
  if (allowed.empty()) return {};
  const Topology topology = read_topology();
  const auto physical = static_cast<int>(cores_within(topology, allowed).size());
  const int limit = quota();
  return {.logical = std::min(static_cast<int>(allowed.size()), limit),
          .physical = std::clamp(physical, 1, limit)};
}

}  // namespace retinue::launcher
