#include "launcher/commands.h"

#include "launcher/binding.h"
#include "launcher/command_line.h"
#include "launcher/help.h"
#include "launcher/info.h"
#include "launcher/spawn.h"
#include "launcher/study.h"
#include "launcher/supervisor.h"
#include "launcher/threads.h"
#include "parallel/base/build_config.h"
#include "parallel/base/check.h"
#include "parallel/base/clock.h"
#include "parallel/base/exit_code.h"
#include "parallel/base/log.h"
#include "parallel/base/named.h"
#include "parallel/base/path_error.h"
#include "parallel/comm/mpi/mpi_world.h"
#include "parallel/comm/mpi/watch.h"
#include "parallel/device/choose_device.h"
#include "runtime/decode/isolated_worker.h"
#include "runtime/jobs/job.h"
#include "runtime/jobs/job_messages.h"
#include "runtime/monitor/monitor.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <system_error>

namespace retinue::launcher {
namespace {

void print(std::string_view text) {
  std::fwrite(text.data(), 1, text.size(), stdout);
  std::fflush(stdout);
}

Log::Options log_options(const LaunchOptions& launch, int tensor, const World& world) {
  if (!launch.log_dir.empty()) {
    std::error_code error;
    std::filesystem::create_directories(launch.log_dir, error);
    if (error) fail_to_make(launch.log_dir, "[--log-dir]", error.value());
  }
  return {.rank = world.rank(),
          .place = tensor > 0
                       ? fmt::format("dp{}.tp{}", world.rank() / tensor, world.rank() % tensor)
                       : "",
          .level = launch.log_level,
          .directory = launch.log_dir,
          .to_stderr = world.rank() == 0 && !launch.quiet};
}

/// Whether ranks go to GPUs, as far as this is known before the model is read.
bool uses_gpus(const runtime::RunOptions& run) {
  return build::kCuda && choose_device(run.device, run.dtype).type == DeviceType::kCuda;
}

/// A build with CUDA starts ranks on hosts that may have the GPUs which this one lacks.
void refuse_missing_device(const runtime::RunOptions& run) {
  if (const DeviceChoice choice = choose_device(run.device, run.dtype);
      !build::kCuda && !choice.missing.empty())
    throw UsageError(fmt::format("[--device] cuda: {}. Use --device cpu.", choice.missing));
}

using Job = std::function<int(const runtime::Session&, int threads)>;

/// This process as a rank of its world: runs `job` and returns the code that all ranks leave with.
///   deadline  of collectives, in seconds
int run_rank(const Command& command, const runtime::RunOptions& run, double deadline,
             const Job& job) {
  const SteadyClock clock;
  const double launch_s = seconds_since_launch(command.environment.launched);
  const double meeting_s = clock.now_s();
  World world({.deadline_s = deadline});
  const double communicators_s = clock.now_s() - meeting_s;
  const LaunchOptions& launch = command.options.launch;
  if (launch.ranks != 0 && launch.ranks != world.size())
    throw UsageError(
        fmt::format("[launch] --ranks is {}, but {} ranks were started. Leave --ranks out under "
                    "mpirun and srun.",
                    launch.ranks, world.size()));
  return run_ranks(
      world,
      [&] {
        Log log(log_options(launch, run.tensor_parallel, world));
        const bool cuda = uses_gpus(run);
        for (const std::string& line : bind_ranks(world, cuda))
          if (world.rank() == 0) log.write(cuda ? LogLevel::kInfo : LogLevel::kDebug, line);
        const runtime::Session session{.world = world.comm(),
                                       .node_rank = world.node_rank(),
                                       .node_size = world.node_size(),
                                       .deadline_s = deadline,
                                       .waits_after_ops = waits_after_ops(),
                                       .log = log,
                                       .clock = clock,
                                       .launch_s = launch_s,
                                       .communicators_s = communicators_s};
        return job(session, run.threads > 0 ? run.threads : default_threads(world));
      },
      [&](const RankFailure& first) {
        // One rank reports, and not the one that failed: that may hang.
        if (world.rank() != 0) return;
        const std::string line = first.exit_code == kExitUsage || world.size() == 1
                                     ? fmt::format("retinue: {}\n", first.message)
                                     : fmt::format("retinue: rank {} ({}) failed: {}\n", first.rank,
                                                   first.host, first.message);
        std::fwrite(line.data(), 1, line.size(), stderr);
        std::fflush(stderr);
      });
}

/// Starts ranks when this is a plain call for several; otherwise runs `job` as one of them.
int start(const Command& command, const runtime::RunOptions& run, const Job& job,
          double deadline = deadline_s()) {
  refuse_missing_device(run);
  const std::int64_t retries = command.options.launch.retries;
  if (retries < 0) throw UsageError("[--retries] wants the number of new starts, 0 for none");
  if (command.environment.launched) {
    if (retries > 0)
      throw UsageError(
          "[--retries] ranks under mpirun or srun are started again by what started them. Call "
          "retinue plainly with --ranks, or see scripts/slurm/caption.sbatch.");
    return run_rank(command, run, deadline, job);
  }
  Launch launch = plan_launch(command.options.launch);
  launch.ranks_bind = uses_gpus(run);
  std::vector<std::string> arguments = {command.verb};
  for (const std::string& argument : command.arguments)
    if (!argument.starts_with("--print-launch")) arguments.push_back(argument);
  if (retries > 0) arguments.insert(arguments.end(), {"--retries", "0"});  // the last one counts
  const auto command_line = launch_command(launch, own_path(), arguments);
  if (command.options.launch.print_launch) {
    print(quoted(command_line) + "\n");
    return 0;
  }
  if (retries > 0)
    return supervise(command_line, command.options.check.caption.output, static_cast<int>(retries));
  return needs_spawn(launch) ? run_command(command_line) : run_rank(command, run, deadline, job);
}

/// The address of --monitor; none: no monitor. Throws: UsageError for text that is no address.
std::optional<runtime::HttpAddress> monitor_address(const Command& command) {
  const std::string& address = command.options.monitor.monitor;
  if (address.empty()) return std::nullopt;
  return runtime::parse_http_address(address);
}

runtime::CaptionOptions caption_options(const Command& command) {
  runtime::CaptionOptions options = command.options.check.caption;
  options.quiet = command.options.launch.quiet;
  options.no_progress = command.options.launch.no_progress;
  return options;
}

}  // namespace

int caption(const Command& command) {
  const auto monitored_at = monitor_address(command);
  runtime::CaptionOptions options = caption_options(command);
  return start(command, options.run, [&](const runtime::Session& session, int threads) {
    options.run.threads = threads;
    options.run.share_device = command.options.launch.share_device;
    if (!monitored_at || options.dry_run) return runtime::run_caption(session, options);
    std::unique_ptr<runtime::Monitor> monitor;
    runtime::on_coordinator(session.world, [&] {
      // Ranks give up on each other after the deadline; the page reports silence at half of it.
      monitor =
          std::make_unique<runtime::Monitor>(*monitored_at, session.clock, session.deadline_s / 2);
      session.log.info("[monitor] " + monitor->url());
    });
    runtime::Session monitored = session;
    monitored.monitor = monitor.get();
    return runtime::run_caption(monitored, options);
  });
}

int ask(const Command& command) {
  runtime::AskOptions options = command.options.trace.ask;
  return start(command, options.run, [&](const runtime::Session& session, int threads) {
    options.run.threads = threads;
    options.run.share_device = command.options.launch.share_device;
    return runtime::run_ask(session, options);
  });
}

int trace(const Command& command) {
  runtime::TraceOptions options = command.options.trace;
  return start(command, options.ask.run, [&](const runtime::Session& session, int threads) {
    options.ask.run.threads = threads;
    options.ask.run.share_device = command.options.launch.share_device;
    return runtime::run_trace(session, options);
  });
}

int check(const Command& command) {
  static_cast<void>(monitor_address(command));
  // It plans for ranks that need not exist, so one process answers.
  if (command.environment.rank != 0) return 0;
  runtime::CaptionOptions options = caption_options(command);
  const Launch launch = plan_launch(command.options.launch);
  if (options.run.threads == 0)
    options.run.threads = std::max(1, launch.cores.logical / launch.ranks);
  return runtime::run_check(options, launch.ranks, std::min(launch.ranks, slots_per_host(launch)),
                            command.options.check.gpu_memory_gib, stdout);
}

int quantize(const Command& command) {
  if (command.environment.rank != 0) return kExitDone;
  runtime::QuantizeOptions options = command.options.quantize;
  options.quiet = command.options.launch.quiet;
  options.no_progress = command.options.launch.no_progress;
  return runtime::run_quantize(options, stdout);
}

int info(const Command& command) {
  if (command.environment.rank == 0) print(info_text(command.options.info.json));
  return 0;
}

int study(const Command& command) {
  refuse_missing_device(command.options.check.caption.run);
  return run_study(command, uses_gpus(command.options.check.caption.run));
}

int doctor(const Command& command) {
  runtime::DoctorOptions options = command.options.doctor;
  // Diagnostics use a shorter collective deadline than jobs.
  const double deadline =
      std::min(deadline_s(), 30.0 + static_cast<double>(options.answer_deadline_s));
  return start(
      command, options.run,
      [&](const runtime::Session& session, int threads) {
        options.run.threads = threads;
        options.run.share_device = command.options.launch.share_device;
        return runtime::run_doctor(session, options);
      },
      deadline);
}

namespace {

/// Prints what `retinue` says about itself without a verb. False: `arguments` begin with a verb.
bool answer_without_verb(const std::vector<std::string>& arguments) {
  const std::string& first = arguments[0];
  if (first == "--version")
    print(fmt::format("retinue {} ({})\n", build::kVersion, build::kRevision));
  else if (first == "help" && arguments.size() > 1 && arguments[1] == "--markdown")
    print(configs_readme());
  else if (first == "--help" || first == "help")
    print(overall_help());
  else
    return false;
  return true;
}

constexpr auto kFunctions = std::to_array<Named<int (*)(const Command&)>>({{"caption", caption},
                                                                           {"ask", ask},
                                                                           {"trace", trace},
                                                                           {"check", check},
                                                                           {"study", study},
                                                                           {"quantize", quantize},
                                                                           {"doctor", doctor},
                                                                           {"info", info}});

}  // namespace

int run(const std::vector<std::string>& arguments) {
  if (arguments.empty()) throw UsageError("[retinue] wants a verb. 'retinue --help' lists them.");
  if (answer_without_verb(arguments)) return kExitDone;
  const std::string& name = arguments[0];
  // No list has this verb: only ranks start it.
  if (name == runtime::kIsolatedWorkerVerb)
    return runtime::run_isolated_worker({arguments.begin() + 1, arguments.end()});
  const Verb* verb = find_verb(name);
  if (verb == nullptr) {
    std::vector<std::string> names;
    for (const Verb& known : verbs()) names.emplace_back(known.name);
    throw UsageError(fmt::format(
        "[retinue] unknown verb '{}'. The nearest known one is '{}'; 'retinue --help' lists all.",
        name, nearest(name, names)));
  }
  std::vector<std::string> rest(arguments.begin() + 1, arguments.end());
  Command command{.verb = name,
                  .arguments = name == "study" ? study_arguments(std::move(rest)) : std::move(rest),
                  .options = {},
                  .environment = {}};
  if (parse_command_line(name, verb->tables(command.options), command.arguments) == Asked::kHelp) {
    CommandOptions defaults;
    print(verb_help(*verb, verb->tables(defaults)));
    return kExitDone;
  }
  command.environment = read_environment();
  return std::ranges::find(kFunctions, verb->name, &Named<int (*)(const Command&)>::name)
      ->value(command);
}

}  // namespace retinue::launcher
