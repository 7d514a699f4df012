#pragma once

#include "launcher/option.h"
#include "parallel/base/log.h"
#include "parallel/base/named.h"
#include "runtime/doctor/doctor.h"
#include "runtime/jobs/options.h"

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace retinue::launcher {

inline constexpr auto kLogLevelNames =
    std::to_array<Named<LogLevel>>({{"debug", LogLevel::kDebug},
                                    {"info", LogLevel::kInfo},
                                    {"warning", LogLevel::kWarning},
                                    {"error", LogLevel::kError}});

/// The launcher's own options; all others go to the job.
struct LaunchOptions {
  int ranks = 0;  ///< 0: one per host that is named, else one
  std::string hostfile = {};
  std::string hosts = {};  ///< "a,b" or "a:2,b:2"
  bool share_device = false;
  bool print_launch = false;
  std::int64_t retries = 0;
  std::string config = {};
  LogLevel log_level = LogLevel::kInfo;
  std::string log_dir = {};
  bool quiet = false;
  bool no_progress = false;
};

/// A plan alone: caption's options, and the memory of a machine that is not here.
struct CheckOptions {
  runtime::CaptionOptions caption;
  double gpu_memory_gib = 80;
};

struct MonitorOptions {
  std::string monitor = {};  ///< empty: off
};

/// A study's own options; those of its runs are caption's.
struct StudyFlags {
  std::string output = {};
  std::string layouts = "1x1";
  std::int64_t trials = 3;
  std::uint64_t order_seed = 0;
  std::string scaling = "strong";
  std::string batches = {}, image_pixels = {};
  std::string ablations = "preloaded-pixels,text-only";
  std::optional<double> price_per_hour = {};
  std::optional<double> peak_tflops = {}, peak_gb_per_s = {};
  std::vector<std::string> compare = {};  ///< two folders
  std::string simulate = {};              ///< file, or folder of a study
  std::string gpus = {}, fabric = {};
  std::int64_t items = 0;
};

struct InfoOptions {
  bool json = false;
};

/// One table per struct. Every row points into the struct that it was made from, which outlives it.
Table model_table(runtime::RunOptions& options);
Table engine_table(runtime::RunOptions& options);
Table sampling_table(runtime::SamplingOptions& options);
Table caption_table(runtime::CaptionOptions& options);
Table ask_table(runtime::AskOptions& options);
Table trace_table(runtime::TraceOptions& options);
Table check_table(CheckOptions& options);
Table launch_table(LaunchOptions& options);
Table retry_table(LaunchOptions& options);
Table monitor_table(MonitorOptions& options);
Table study_table(StudyFlags& options);
Table quantize_table(runtime::QuantizeOptions& options);
Table info_table(InfoOptions& options);
Table doctor_table(runtime::DoctorOptions& options);

/// The options of all verbs.
struct CommandOptions {
  LaunchOptions launch;
  CheckOptions check;           ///< caption's options are check's
  runtime::TraceOptions trace;  ///< ask's options are trace's
  MonitorOptions monitor;
  StudyFlags study;
  runtime::QuantizeOptions quantize;
  InfoOptions info;
  runtime::DoctorOptions doctor;
};

/// A verb of the command line.
struct Verb {
  std::string_view name;
  std::string_view summary;  ///< what it does, in one line
  std::string_view usage;
  std::vector<Table> (*tables)(CommandOptions& options);  ///< that it reads, bound to `options`
};
const std::vector<Verb>& verbs();
/// Null for an unknown name.
const Verb* find_verb(std::string_view name);

/// The tables that a study passes on to its runs: caption's without the options that the study sets
/// for each run.
std::vector<Table> run_tables(CommandOptions& options);

/// The tables that `verb` reads, bound to `options`. Empty for an unknown verb.
std::vector<Table> tables_of(std::string_view verb, CommandOptions& options);

}  // namespace retinue::launcher
