// Any bytes as a file of --simulate: a UsageError, or a job that a small simulation ends.
#include "parallel/base/check.h"
#include "runtime/study/cluster.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string_view>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace retinue;
  try {
    study::ClusterJob job =
        study::parse_cluster_job({reinterpret_cast<const char*>(data), size}, "fuzz");
    // What it asks may be large on purpose: the rules are tried on a little of it.
    job.items = std::min<std::int64_t>(job.items, 20);
    for (study::SimulatedItem& shape : job.shapes) {
      shape.prompt_tokens = std::min<std::int64_t>(shape.prompt_tokens, 64);
      shape.new_tokens = std::min<std::int64_t>(shape.new_tokens, 64);
    }
    for (int& gpus : job.gpus) gpus = std::min(gpus, 16);
    (void)study::simulate_cluster(job);
  } catch (const UsageError&) {
  }
  return 0;
}
