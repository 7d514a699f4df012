#include "launcher/info.h"

#include "launcher/build_libraries.h"
#include "launcher/environment.h"
#include "layers/kernels/cuda/cublaslt_version.h"
#include "layers/model/numerics.h"
#include "parallel/base/build_config.h"
#include "parallel/base/hash.h"
#include "parallel/comm/mpi/mpi_version.h"
#include "parallel/comm/nccl/nccl_communicator.h"
#include "parallel/device/cpu/isa.h"
#include "parallel/device/cuda/runtime.h"
#include "parallel/device/topology.h"
#include "runtime/media/video_ffmpeg.h"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <array>
#include <fstream>
#include <iterator>
#include <map>
#include <sstream>
#include <string_view>
#include <unistd.h>

namespace retinue::launcher {
namespace {

using Json = nlohmann::ordered_json;

// The features that kernels may use; other flags of a processor do not matter here.
constexpr std::array<std::string_view, 11> kFeatures = {
    "avx",      "f16c",        "fma",      "avx2",        "avx512f",    "avx512bw",
    "avx512vl", "avx512_bf16", "amx_bf16", "avx512_vnni", "avx512_fp16"};

/// The value of "key   : value" in /proc/cpuinfo.
std::string cpu_field(std::string_view key) {
  std::ifstream in("/proc/cpuinfo");
  for (std::string line; std::getline(in, line);)
    if (line.starts_with(key) && line.find(": ") != line.npos)
      return line.substr(line.find(": ") + 2);
  return "";
}

Json cpu_features() {
  std::istringstream flags(cpu_field("flags"));
  Json found = Json::array();
  for (std::string flag; flags >> flag;)
    for (const std::string_view known : kFeatures)
      if (flag == known) found.push_back(flag);
  return found;
}

double memory_gib() {
  const double bytes =
      static_cast<double>(sysconf(_SC_PHYS_PAGES)) * static_cast<double>(sysconf(_SC_PAGE_SIZE));
  return static_cast<double>(static_cast<long>(bytes / (1 << 30) * 10)) / 10;
}

/// "13.0" for 13000.
std::string cuda_version(int version) {
  return fmt::format("{}.{}", version / 1000, version % 1000 / 10);
}

/// NUMA nodes with their CPUs, for the nodes of GPUs.
Json nodes() {
  std::map<int, CpuList> cpus;
  for (const Core& core : read_topology().cores)
    cpus[core.node].insert(cpus[core.node].end(), core.cpus.begin(), core.cpus.end());
  Json found = Json::object();
  for (auto& [node, list] : cpus) {
    std::sort(list.begin(), list.end());
    found[std::to_string(node)] = to_string(list);
  }
  return found;
}

/// Every GPU that this process can use, with the facts that placement and memory plan depend on.
Json gpus() {
  Json found = Json::object();
  if constexpr (build::kCuda) {
    const int devices = cuda::availability().devices;
    for (int i = 0; i < devices; ++i) {
      const cuda::DeviceFacts facts = cuda::device_facts(i);
      Json peers = Json::array();
      for (int peer = 0; peer < devices; ++peer)
        if (peer != i && cuda::can_access_peer(i, peer))
          peers.push_back(fmt::format("cuda:{}", peer));
      found[fmt::format("cuda:{}", i)] = {
          {"name", facts.name},
          {"compute_capability", fmt::format("{}.{}", facts.major, facts.minor)},
          {"multiprocessors", facts.multiprocessors},
          {"memory_mib", facts.memory_bytes >> 20},
          {"free_mib", cuda::free_bytes(i) >> 20},
          {"pci_bus_id", facts.pci_bus_id},
          {"numa_node", numa_node_of(facts.pci_bus_id)},
          {"reads_memory_of", peers}};
    }
  }
  return found;
}

/// Versions of the libraries that are loaded; those of the build may differ.
Json cuda_versions() {
  Json versions = Json::object();
  if constexpr (build::kCuda) {
    versions["driver"] = cuda_version(cuda::driver_version());
    versions["runtime"] = cuda_version(cuda::runtime_version());
    versions["cublaslt"] = cuda::cublaslt_version();
    versions["nccl"] = nccl_version();
  }
  return versions;
}

/// The names of devices.
Json devices() {
  Json found = Json::array({"cpu"});
  if constexpr (build::kCuda)
    for (int i = 0; i < cuda::availability().devices; ++i)
      found.push_back(fmt::format("cuda:{}", i));
  return found;
}

std::string cuda_state() {
  if constexpr (!build::kCuda) return "not built (RETINUE_CUDA)";
  if constexpr (build::kCuda) {
    const cuda::Availability found = cuda::availability();
    if (found.devices == 0) return "unavailable: " + found.reason;
    return build::kCudaEmulated ? "emulated, for tests" : "available";
  }
}

/// Whether videos are read, and by which libraries.
std::string video_state() {
  const std::string libraries = runtime::video_libraries();
  return libraries.empty() ? "off (RETINUE_VIDEO)" : fmt::format("on ({})", libraries);
}

/// Per device the constants that decide bits, and their hash: machines with equal hashes give equal
/// captions of one model. A job's report.json has the part that depends on the model.
Json numerics() {
  Json found = Json::object();
  const auto add = [&](const std::string& device_name, Device device) {
    Json constants = Json::object();
    for (const auto& [constant, value] : layers::numerics_constants(Context::plan(device, 1)))
      constants[constant] = value;
    const std::string hash = sha256_hex(constants.dump());
    constants["hash"] = hash.substr(0, 16);
    found[device_name] = std::move(constants);
  };
  add("cpu", Device{});
  if constexpr (build::kCuda)
    for (int i = 0; i < cuda::availability().devices; ++i)
      add(fmt::format("cuda:{}", i), Device{DeviceType::kCuda, i});
  return found;
}

Json facts() {
  std::array<char, 256> host{};
  gethostname(host.data(), host.size() - 1);
  const Cores cores = usable_cores();
  Json libraries;
  libraries["mpi"] = mpi_library_version();
  for (const auto& [name, version] : build::kLibraries)
    libraries[std::string(name)] = std::string(version);
  return Json{
      {"schema_version", 1},
      {"version", std::string(build::kVersion)},
      {"revision", std::string(build::kRevision)},
      {"build",
       {{"type", std::string(build::kBuildType)},
        {"compiler", std::string(build::kCompiler)},
        {"sanitize", std::string(build::kSanitize)},
        {"cuda", build::kCuda},
        {"video", video_state()}}},
      {"libraries", libraries},
      {"host", std::string(host.data())},
      {"cpu",
       {{"name", cpu_field("model name")},
        {"logical_cores", cores.logical},
        {"physical_cores", cores.physical},
        {"memory_gib", memory_gib()},
        {"features", cpu_features()},
        {"kernels", std::string(name(detect_cpu_isa()))}}},
      {"numa_nodes", nodes()},
      {"cuda", cuda_state()},
      {"cuda_versions", cuda_versions()},
      {"devices", devices()},
      {"gpus", gpus()},
      {"default_reduce", "ordered"},
      {"numerics", numerics()},
  };
}

/// Lines "key: value"; nested ones are indented.
void print(const Json& json, std::size_t indent, std::string& out) {
  for (const auto& [key, value] : json.items()) {
    fmt::format_to(std::back_inserter(out), "{}{}:", std::string(indent, ' '), key);
    if (value.is_object()) {
      out += '\n';
      print(value, indent + 2, out);
      continue;
    }
    if (value.is_array()) {
      for (const auto& item : value) out += " " + item.get<std::string>();
    } else {
      out += " " + (value.is_string() ? value.get<std::string>() : value.dump());
    }
    out += '\n';
  }
}

}  // namespace

std::string machine_text() {
  const Cores cores = usable_cores();
  return fmt::format("{}, {} core{} ({} physical), {:.1f} GiB", cpu_field("model name"),
                     cores.logical, cores.logical == 1 ? "" : "s", cores.physical, memory_gib());
}

std::string info_text(bool json) {
  const Json all = facts();
  if (json) return all.dump(2) + "\n";
  std::string out;
  print(all, 0, out);
  return out;
}

}  // namespace retinue::launcher
