#include "runtime/doctor/probe.h"

#include "layers/model/numerics.h"
#include "layers/weights/checkpoint.h"
#include "parallel/base/build_config.h"
#include "parallel/base/hash.h"
#include "parallel/device/choose_device.h"
#include "parallel/device/cpu/isa.h"
#include "parallel/device/cuda/runtime.h"
#include "parallel/device/topology.h"
#include "runtime/doctor/storage.h"
#include "runtime/jobs/host_memory.h"
#include "runtime/jobs/model_files.h"
#include "runtime/jobs/replica.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <filesystem>
#include <fstream>
#include <set>
#include <sys/resource.h>
#include <sys/statvfs.h>
#include <unistd.h>
#include <vector>

namespace retinue::runtime {
namespace {

/// As `sha256sum` prints it; empty when the file cannot be read.
std::string sha256_of_file(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) return "";
  Sha256 hash;
  std::vector<char> block(1 << 20);
  while (file.read(block.data(), static_cast<std::streamsize>(block.size())) || file.gcount() > 0)
    hash.update(std::as_bytes(std::span(block.data(), static_cast<std::size_t>(file.gcount()))));
  return hash.finish_hex();
}

std::string processor() {
  std::ifstream in("/proc/cpuinfo");
  for (std::string line; std::getline(in, line);)
    if (line.starts_with("model name") && line.find(": ") != line.npos)
      return line.substr(line.find(": ") + 2);
  return "";
}

/// The hash that `retinue info` prints under numerics: ranks with equal hashes give equal bits.
std::string numerics_hash(Device device) {
  std::string all;
  for (const auto& [constant, value] : layers::numerics_constants(Context::plan(device, 1)))
    all += fmt::format("{}={}\n", constant, value);
  return sha256_hex(all).substr(0, 16);
}

std::int64_t limit_of(int resource) {
  rlimit limit{};
  if (::getrlimit(static_cast<__rlimit_resource_t>(resource), &limit) != 0) return -2;
  return limit.rlim_cur == RLIM_INFINITY ? -1 : static_cast<std::int64_t>(limit.rlim_cur);
}

struct Room {
  std::int64_t all = -1, free = -1;
};
Room room_of(const std::string& path) {
  struct statvfs about {};
  if (::statvfs(path.c_str(), &about) != 0) return {};
  const auto block = static_cast<std::int64_t>(about.f_frsize);
  return {static_cast<std::int64_t>(about.f_blocks) * block,
          static_cast<std::int64_t>(about.f_bavail) * block};
}

void add_model(const Session& session, const RunOptions& options, RankFacts& facts) {
  facts.model = options.model;
  try {
    const ModelFiles model = load_model_files(options);
    check_weights(options, model.config, model.computation);
    if (!options.weights.random) {
      const layers::Checkpoint checkpoint(options.model);
      facts.weights_bytes = 0;
      for (const std::string& name : checkpoint.names())
        facts.weights_bytes += static_cast<std::int64_t>(checkpoint.find(name)->bytes.size());
    }
  } catch (const Error& error) {
    facts.model_error = error.what();
  }
  facts.model_identity = model_identity(options);
  if (!options.weights.random && facts.model_error.empty())
    facts.read =
        read_rate(options.model, session.world.rank(), session.world.size(), session.clock);
}

void add_gpu(const Device& device, const Places& places, RankFacts& facts) {
  if constexpr (build::kCuda) {
    const cuda::DeviceFacts gpu = cuda::device_facts(device.index);
    facts.gpu_name = gpu.name;
    facts.pci_bus_id = gpu.pci_bus_id;
    facts.gpu.memory_bytes = gpu.memory_bytes;
  }
  const Nvml nvml(places.nvml);
  facts.driver = nvml.driver_version();
  const NvmlFacts known = nvml.facts(facts.pci_bus_id, facts.nvml_absent);
  if (facts.nvml_absent.empty()) facts.gpu = known;
}

/// The device that a job would give to this rank.
Device device_of_rank(const RunOptions& options, int node_rank, std::string& error) {
  const DeviceChoice choice = choose_device(options.device, options.dtype);
  error = choice.missing;
  return choice.type == DeviceType::kCuda && error.empty() ? gpu_of_rank(node_rank) : Device{};
}

}  // namespace

RankFacts look_around(const Session& session, const RunOptions& options, const Places& places) {
  RankFacts facts;
  facts.rank = session.world.rank();
  std::array<char, 256> host{};
  ::gethostname(host.data(), host.size() - 1);
  facts.host = host.data();
  facts.node_rank = session.node_rank, facts.node_size = session.node_size;

  facts.version = build::kVersion;
  facts.revision = build::kRevision;
  facts.build =
      fmt::format("{}, {}{}", build::kBuildType, build::kCompiler, build::kCuda ? ", CUDA" : "");
  facts.binary_sha256 = sha256_of_file("/proc/self/exe");

  const Device device = device_of_rank(options, session.node_rank, facts.device_error);
  facts.device = to_string(device);
  if (device.type == DeviceType::kCuda) add_gpu(device, places, facts);

  facts.cpu_name = processor();
  facts.kernels = name(detect_cpu_isa());
  facts.numerics = numerics_hash(device);
  const CpuList cpus = allowed_cpus();
  facts.cpus = to_string(cpus);
  std::set<int> nodes;
  const Topology topology = read_topology();
  for (const Core* core : cores_within(topology, cpus)) {
    ++facts.cores;
    nodes.insert(core->node);
  }
  facts.nodes = to_string(CpuList(nodes.begin(), nodes.end()));
  facts.threads = thread_count(options, session.node_size);

  facts.open_files = limit_of(RLIMIT_NOFILE);
  facts.locked_bytes = limit_of(RLIMIT_MEMLOCK);
  facts.address_bytes = limit_of(RLIMIT_AS);
  facts.core_bytes = limit_of(RLIMIT_CORE);
  const Room shared = room_of(places.shared_memory);
  facts.shm_bytes = shared.all, facts.shm_free_bytes = shared.free;
  facts.memory_bytes = static_cast<std::int64_t>(::sysconf(_SC_PHYS_PAGES)) *
                       static_cast<std::int64_t>(::sysconf(_SC_PAGE_SIZE));
  facts.memory_free_bytes = free_host_memory();
  facts.disk_free_bytes = room_of(".").free;
  std::error_code error;
  const std::filesystem::path temporary = std::filesystem::temp_directory_path(error);
  if (!error) facts.temporary_free_bytes = room_of(temporary.string()).free;

  if (!options.model.empty()) add_model(session, options, facts);
  return facts;
}

}  // namespace retinue::runtime
