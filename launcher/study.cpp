#include "launcher/study.h"

#include "launcher/energy.h"
#include "launcher/info.h"
#include "launcher/spawn.h"
#include "launcher/text_file.h"
#include "parallel/base/build_config.h"
#include "parallel/base/check.h"
#include "parallel/base/clock.h"
#include "parallel/base/exit_code.h"
#include "parallel/base/hash.h"
#include "parallel/base/path_error.h"
#include "parallel/device/cuda/runtime.h"
#include "runtime/formats/atomic_file.h"
#include "runtime/jobs/job.h"
#include "runtime/jobs/model_files.h"
#include "runtime/study/cluster.h"
#include "runtime/study/compare.h"
#include "runtime/study/model/model_work.h"
#include "runtime/study/report/page.h"
#include "runtime/study/report/table.h"
#include "runtime/study/study.h"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <array>
#include <cstdio>
#include <ctime>
#include <filesystem>
#include <memory>
#include <set>

namespace retinue::launcher {
namespace {

void print(const std::string& text, std::FILE* to = stdout) {
  std::fwrite(text.data(), 1, text.size(), to);
  std::fflush(to);
}

std::string now_text() {
  const std::time_t now = std::time(nullptr);
  std::tm utc{};
  gmtime_r(&now, &utc);
  std::array<char, 32> text{};
  std::strftime(text.data(), text.size(), "%Y-%m-%d %H:%M UTC", &utc);
  return text.data();
}

/// The flags that every run gets.
std::vector<std::string> run_arguments(const Command& command) {
  CommandOptions now = command.options, standard;
  const auto tables = run_tables(now), defaults = run_tables(standard);
  std::vector<std::string> arguments;
  for (std::size_t i = 0; i < tables.size(); ++i) {
    const auto more = arguments_of(tables[i], defaults[i]);
    arguments.insert(arguments.end(), more.begin(), more.end());
  }
  return arguments;
}

/// The type that the runs compute with, wherever their ranks are.
DType dtype_of_runs(runtime::RunOptions run) {
  run.device = DeviceType::kCpu, run.reduce = Reduce::kOrdered;
  return runtime::load_model_files(run).computation.dtype;
}

study::Provenance provenance_of(const Command& command, bool gpus) {
  const StudyFlags& flags = command.options.study;
  const runtime::CaptionOptions& caption = command.options.check.caption;
  study::Provenance p;
  const std::string config = caption.run.model + "/config.json";
  p.model_sha256 = sha256_hex(read_text_file(config, "[study]", "--model"));
  const layers::ModelConfig model = layers::load_model_config(caption.run.model);
  const auto last_name = [](std::string path) {
    while (path.size() > 1 && path.ends_with('/')) path.pop_back();
    return std::filesystem::path(path).filename().string();
  };
  p.title = last_name(caption.run.model);
  for (const std::string& input : caption.input) p.title += "  " + last_name(input);
  p.command = "retinue study " + quoted(command.arguments);
  p.machine = machine_text();
  p.when = now_text();
  const Launch launch = plan_launch(command.options.launch);
  p.hosts = static_cast<int>(std::max<std::size_t>(1, launch.hosts.size()));
  p.cores = launch.cores.logical * p.hosts;
  p.merge_unit = model.vision.merge_unit();
  p.work = study::work_of(model, dtype_of_runs(caption.run), caption.run.kv_cache_dtype);
  p.price_per_hour = flags.price_per_hour;
  std::optional<study::Peaks> known;
  if constexpr (build::kCuda)
    if (gpus) known = study::peaks_of(cuda::device_facts(0).name);
  if (known) p.peak_flops_per_s = known->flops_per_s, p.peak_bytes_per_s = known->bytes_per_s;
  if (flags.peak_tflops) p.peak_flops_per_s = 1e12 * *flags.peak_tflops;
  if (flags.peak_gb_per_s) p.peak_bytes_per_s = 1e9 * *flags.peak_gb_per_s;
  return p;
}

study::StudyOptions study_options(const Command& command, bool gpus) {
  const StudyFlags& flags = command.options.study;
  const runtime::CaptionOptions& caption = command.options.check.caption;
  const auto wanted = [](bool given, const char* flag) {
    if (!given) throw UsageError(fmt::format("[study] {} is required", flag));
  };
  wanted(!caption.run.model.empty(), "--model");
  wanted(!caption.input.empty(), "--input");
  wanted(!flags.output.empty(), "--output");
  if (std::ranges::count(caption.input, "-") > 0)
    throw UsageError(
        "[study] --input is -, but standard input can be read only once. Give a file or folder.");
  study::StudyOptions options;
  options.plan.layouts = study::parse_layouts(flags.layouts);
  options.plan.scalings = study::parse_scaling(flags.scaling);
  options.plan.max_sequences = study::parse_sizes(flags.batches, "--batches");
  options.plan.max_pixels = study::parse_sizes(flags.image_pixels, "--image-pixels");
  options.plan.ablations = study::parse_ablations(flags.ablations);
  options.plan.trials = static_cast<int>(std::clamp<std::int64_t>(flags.trials, 1, 1000));
  options.plan.seed = flags.order_seed;
  if (std::ranges::count(options.plan.ablations, study::Ablation::kNullCollectives) > 0 &&
      !caption.sampling.ignore_eos)
    throw UsageError(
        "[study] --ablations has null-collectives, whose wrong answers end at other lengths. Give "
        "--ignore-eos, so that all runs generate as many tokens, or leave the ablation out.");
  options.output = flags.output;
  options.limit = caption.limit;
  options.provenance = provenance_of(command, gpus);
  options.provenance.arguments = quoted(run_arguments(command));
  return options;
}

/// Checks every layout and size as `retinue check` does, before the first run.
/// Throws: UsageError as the run that would be refused.
void check_runs(const Command& command, const study::StudyOptions& options, bool gpus) {
  const std::unique_ptr<std::FILE, decltype(&std::fclose)> nowhere(std::fopen("/dev/null", "w"),
                                                                   &std::fclose);
  std::set<std::string> seen;
  for (const study::Cell& cell : study::plan_cells(options.plan)) {
    const std::string layout = fmt::format("{}x{}", cell.layout.tensor, cell.layout.data);
    if (!seen.insert(fmt::format("{} {} {}", layout, cell.max_sequences, cell.max_pixels)).second)
      continue;
    runtime::CaptionOptions run = command.options.check.caption;
    run.limit = options.limit;
    run.run.tensor_parallel = cell.layout.tensor;
    if (cell.max_sequences > 0) run.run.max_sequences = cell.max_sequences;
    if (cell.max_pixels > 0) run.run.max_pixels = cell.max_pixels;
    LaunchOptions flags = command.options.launch;
    flags.ranks = cell.layout.ranks();
    const Launch launch = plan_launch(flags);
    const int per_host = std::min(launch.ranks, slots_per_host(launch));
    if (run.run.threads == 0) run.run.threads = std::max(1, launch.cores.logical / per_host);
    double gpu_memory_gib = 0;
    if constexpr (build::kCuda)
      if (gpus) {
        run.run.device = DeviceType::kCuda;
        gpu_memory_gib = static_cast<double>(cuda::device_facts(0).memory_bytes) / 1073741824.0;
      }
    try {
      runtime::run_check(run, launch.ranks, per_host, gpu_memory_gib, nowhere.get());
    } catch (const UsageError& error) {
      throw UsageError(fmt::format("[study] layout {}: {}", layout, error.what()));
    }
  }
}

study::RunOutcome start_run(const Command& command, const study::RunRequest& request, bool gpus) {
  const LaunchOptions& flags = command.options.launch;
  std::vector<std::string> arguments = {"caption"};
  for (std::string& one : run_arguments(command)) arguments.push_back(std::move(one));
  const auto add = [&](const char* flag, const std::string& value) {
    arguments.insert(arguments.end(), {flag, value});
  };
  const study::Cell& cell = request.cell;
  add("--output", request.folder);
  add("--ranks", std::to_string(cell.layout.ranks()));
  add("--tensor-parallel", std::to_string(cell.layout.tensor));
  if (request.limit > 0) add("--limit", std::to_string(request.limit));
  if (request.shuffle) add("--shuffle", std::to_string(*request.shuffle));
  if (cell.max_sequences > 0) add("--max-sequences", std::to_string(cell.max_sequences));
  if (cell.max_pixels > 0) add("--max-pixels", std::to_string(cell.max_pixels));
  add("--ablation", study::name(cell.ablation));
  add("--log-level", std::string(name_in(kLogLevelNames, flags.log_level)));
  if (!flags.log_dir.empty()) add("--log-dir", flags.log_dir + "/" + cell.id());
  if (flags.share_device) arguments.emplace_back("--share-device");
  arguments.insert(arguments.end(), {"--profile", "--quiet", "--no-progress"});
  LaunchOptions launch_flags = flags;
  launch_flags.ranks = cell.layout.ranks();
  Launch launch = plan_launch(launch_flags);
  launch.ranks_bind = gpus;
  const SteadyClock clock;
  // The energy counters of other machines cannot be read.
  const bool metered = launch.hosts.empty() && !gpus;
  const double energy = metered ? energy_counter_j().value_or(-1) : -1;
  const double begin = clock.now_s();
  study::RunOutcome outcome;
  outcome.exit_code = run_command(launch_command(launch, own_path(), arguments));
  outcome.wall_s = clock.now_s() - begin;
  const double after = energy >= 0 ? energy_counter_j().value_or(-1) : -1;
  // A counter that has wrapped around gives no difference.
  if (after >= energy && after >= 0) outcome.energy_j = after - energy;
  return outcome;
}

int compare_studies(const StudyFlags& flags) {
  if (flags.compare.size() != 2)
    throw UsageError("[--compare] wants two folders of studies: --compare BEFORE AFTER");
  const study::Study before = study::load_study(flags.compare[0]);
  const study::Study after = study::load_study(flags.compare[1]);
  const study::Comparison comparison = study::compare(before, after);
  print(study::comparison_table(comparison));
  const std::string page = flags.compare[1] + "/compare.html";
  runtime::AtomicFile file(page);
  file.write(study::page_of(study::comparison_json(comparison, before, after)));
  file.commit();
  print("Details: " + page + "\n");
  return 0;
}

int simulate(const StudyFlags& flags) {
  study::ClusterJob job =
      file_type_at(flags.simulate, "[--simulate]") == std::filesystem::file_type::directory
          ? study::cluster_job_of(study::load_study(flags.simulate))
          : study::parse_cluster_job(read_text_file(flags.simulate, "[study]", "--simulate"),
                                     flags.simulate);
  if (!flags.gpus.empty()) {
    job.gpus.clear();
    for (const std::int64_t gpus : study::parse_sizes(flags.gpus, "--gpus")) {
      if (gpus > 65536) throw UsageError(fmt::format("[--gpus] {} are more than 65536", gpus));
      job.gpus.push_back(static_cast<int>(gpus));
    }
  }
  if (!flags.fabric.empty()) {
    double alpha_us = 0, gb_per_s = 0;
    char end = 0;
    if (std::sscanf(flags.fabric.c_str(), "%lf,%lf%c", &alpha_us, &gb_per_s, &end) != 2 ||
        !(alpha_us >= 0) || !(gb_per_s > 0))
      throw UsageError(fmt::format(
          "[--fabric] is '{}', wanted microseconds and GB/s per rank, as in 25,50", flags.fabric));
    job.fabric_alpha_s = 1e-6 * alpha_us, job.fabric_bytes_per_s = 1e9 * gb_per_s;
  }
  if (flags.items > 10'000'000) throw UsageError("[--simulated-items] are more than 10000000");
  if (flags.items > 0) job.items = flags.items;
  print(study::cluster_table(job, study::simulate_cluster(job)));
  return 0;
}

}  // namespace

std::vector<std::string> study_arguments(std::vector<std::string> arguments) {
  for (std::size_t i = 0; i + 2 < arguments.size(); ++i)
    if (arguments[i] == "--compare" && !arguments[i + 2].starts_with("--"))
      arguments.insert(arguments.begin() + static_cast<std::ptrdiff_t>(i) + 2, "--compare");
  return arguments;
}

int run_study(const Command& command, bool gpus) {
  const StudyFlags& flags = command.options.study;
  if (!flags.compare.empty() && !flags.simulate.empty())
    throw UsageError("[study] --compare and --simulate exclude each other. Give one of them.");
  if (flags.simulate.empty() && !(flags.gpus.empty() && flags.fabric.empty() && flags.items == 0))
    throw UsageError("[study] --gpus, --fabric and --simulated-items go with --simulate");
  if (!flags.compare.empty()) return compare_studies(flags);
  if (!flags.simulate.empty()) return simulate(flags);
  if (command.environment.launched)
    throw UsageError(
        "[study] starts the ranks of each run itself and must not run under mpirun or srun. Call "
        "it "
        "plainly, also within a Slurm allocation, with --hosts or --hostfile for its machines.");
  const study::StudyOptions options = study_options(command, gpus);
  check_runs(command, options, gpus);
  const bool quiet = command.options.launch.quiet;
  study::Study study;
  const int code = study::run_study(
      options, [&](const study::RunRequest& request) { return start_run(command, request, gpus); },
      [&](const std::string& line) {
        if (!quiet) print("retinue study: " + line + "\n", stderr);
      },
      study);
  const study::Summary summary = study::summarize(study);
  print(study::table(study, summary, options.output));
  if (code != 0) {
    print(fmt::format("retinue: [study] a run ended with {}. The same command resumes the study.\n",
                      code),
          stderr);
    return code;
  }
  return summary.failed > 0 ? kExitItemsFailed : kExitDone;
}

}  // namespace retinue::launcher
