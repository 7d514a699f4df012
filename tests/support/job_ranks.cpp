#include "tests/support/job_ranks.h"

#include "parallel/comm/local/local_communicator.h"
#include "tests/support/source_folder.h"

#include <atomic>
#include <exception>
#include <filesystem>
#include <fstream>
#include <stdexcept>
#include <thread>
#include <vector>

namespace retinue::test {

int run_job(int ranks, const std::function<int(const runtime::Session&)>& job) {
  auto group = make_local_group(ranks, "world", 60);
  std::vector<int> codes(static_cast<std::size_t>(ranks), -1);
  std::vector<std::exception_ptr> failures(codes.size());
  std::atomic<int> first = -1;
  const SteadyClock clock;
  {
    std::vector<std::jthread> threads;
    for (std::size_t r = 0; r < codes.size(); ++r)
      threads.emplace_back([&, r] {
        try {
          Log log({.rank = static_cast<int>(r),
                   .place = "",
                   .level = LogLevel::kError,
                   .directory = "",
                   .to_stderr = false});
          codes[r] = job({.world = *group[r],
                          .node_rank = static_cast<int>(r),
                          .node_size = ranks,
                          .log = log,
                          .clock = clock});
        } catch (const std::exception& error) {
          failures[r] = std::current_exception();
          int none = -1;
          first.compare_exchange_strong(none, static_cast<int>(r));
          group[r]->abort(error.what());
        }
      });
  }
  if (first >= 0) std::rethrow_exception(failures[static_cast<std::size_t>(first.load())]);
  for (const int code : codes)
    if (code != codes[0]) throw std::runtime_error("ranks left with different exit codes");
  return codes[0];
}

std::string read_text(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {(std::istreambuf_iterator<char>(file)), {}};
}

void write_text(const std::string& path, const std::string& text) {
  std::ofstream(path, std::ios::binary) << text;
}

std::string golden_folder() { return source_folder() + "/tests/golden/model"; }
std::string golden_config(const std::string& config) {
  return source_folder() +
         (config.starts_with("fp8-") ? "/tests/golden/fp8" : "/tests/golden/model") + "/configs/" +
         config;
}

runtime::RunOptions golden_run(const std::string& config) {
  runtime::RunOptions options;
  options.model = golden_config(config);
  if (!std::filesystem::exists(options.model + "/model.safetensors.index.json"))
    options.weights = {.random = true, .seed = 20251};
  options.device = DeviceType::kCpu;
  options.dtype = DType::kF32;
  options.alpha = runtime::Alpha::kDrop;
  options.threads = 1;
  options.max_batch_tokens = 256;
  options.max_sequences = 8;
  return options;
}

}  // namespace retinue::test
