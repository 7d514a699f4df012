// The tables of all options: lists, so that the functions and the file are longer than others.
#include "launcher/options.h"

#include "runtime/jobs/option_names.h"

#include <algorithm>
#include <initializer_list>
#include <utility>

namespace retinue::launcher {

using runtime::AskOptions;
using runtime::CaptionOptions;
using runtime::QuantizeOptions;
using runtime::RunOptions;
using runtime::SamplingOptions;
using runtime::TraceOptions;

Table model_table(RunOptions& options) {
  return {"Model and mesh",
          {
              {.name = "model",
               .type = "DIR",
               .fallback = "required",
               .help = "Hugging Face checkpoint folder: config.json, *.safetensors, "
                       "tokenizer.json, chat template, preprocessor configuration",
               .target = &options.model,
               .required = true},
              {.name = "weights",
               .type = "checkpoint|random[:SEED]",
               .help = "random: weights of the true shape from a seed; then only config.json and "
                       "the text files are needed",
               .target = by_form(options.weights, runtime::parse_weights)},
              {.name = "weights-read",
               .type = "auto|once|each",
               .help = "once: one rank reads each byte of the checkpoint and sends it to the ranks "
                       "that need it; each: every rank reads what it needs; auto: once on several "
                       "hosts, each on one",
               .target = by_name(options.weights_read, runtime::kWeightsReadNames)},
              {.name = "tensor-parallel",
               .type = "N",
               .unit = "ranks",
               .fallback = "smallest power of two whose memory plan fits; 1 on CPU",
               .help = "ranks per replica; replicas = ranks / N",
               .target = &options.tensor_parallel,
               .at_most = 65536},
              {.name = "device",
               .type = "auto|cpu|cuda",
               .help = "cuda fails where there is none; it never falls back",
               .target = by_name(options.device, runtime::kDeviceNames)},
              {.name = "dtype",
               .type = "auto|bfloat16|float32",
               .help = "compute type; auto: the checkpoint's; float32 on CPU only",
               .target = by_name(options.dtype, runtime::kDtypeNames)},
              {.name = "kv-cache-dtype",
               .type = "auto|fp8",
               .help = "type of cached keys and values; auto: the compute type; fp8: e4m3 with a "
                       "scale for each head of a token, in about half the memory, with answers "
                       "that may differ",
               .target = by_name(options.kv_cache_dtype, runtime::kKvCacheDtypeNames)},
              {.name = "reduce",
               .type = "ordered|nccl",
               .fallback = "ordered on CPU; retinue info names it on CUDA",
               .help = "how row-parallel sums are combined; ordered: the same bits for every "
                       "layout",
               .target = by_name(options.reduce, runtime::kReduceNames)},
              {.name = "leaves",
               .type = "8|4|2|1",
               .help = "parts of each ordered sum, at most; --tensor-parallel divides them; fewer "
                       "pass less through the memory of a GPU; another number gives other bits",
               .target = by_name(options.leaves, runtime::kLeavesNames),
               .may_be_number = true},
              {.name = "row-parallel-kernel",
               .type = "cublaslt|wgmma",
               .help = "what multiplies row-parallel weights in bfloat16 on a GPU; wgmma: a kernel "
                       "for compute capability 9.0 that keeps leaves in registers, with other "
                       "bits; not yet run on a GPU",
               .target = by_name(options.wgmma, runtime::kRowParallelKernelNames)},
              {.name = "threads",
               .type = "N",
               .fallback = "cores / ranks of the host",
               .help = "CPU threads per rank",
               .target = &options.threads,
               .at_most = 1024},
          }};
}

Table engine_table(RunOptions& options) {
  return {"Limits and pixels",
          {
              {.name = "max-batch-tokens",
               .type = "N",
               .unit = "tokens",
               .fallback = "from the memory plan",
               .help = "most rows in one decoder step",
               .target = &options.max_batch_tokens,
               .at_least = 1,
               .at_most = 1 << 24},
              {.name = "max-sequences",
               .type = "N",
               .unit = "sequences",
               .fallback = "from the memory plan",
               .help = "most sequences that run at once",
               .target = &options.max_sequences,
               .at_least = 1,
               .at_most = 1 << 20},
              {.name = "kv-memory-gib",
               .type = "X",
               .unit = "GiB",
               .fallback = "from the memory plan",
               .help = "memory for keys and values, per rank",
               .target = &options.kv_memory_gib,
               .at_most = 1 << 20},
              {.name = "kv-block-tokens",
               .type = "N",
               .unit = "tokens",
               .fallback = "from the memory plan",
               .help = "tokens in one KV block",
               .target = &options.kv_block_tokens,
               .at_least = 1},
              {.name = "min-pixels",
               .type = "N",
               .unit = "pixels",
               .fallback = "the model's",
               .help = "smallest area an image is resized to",
               .target = &options.min_pixels,
               .at_least = 1,
               .at_most = 1LL << 32},
              {.name = "max-pixels",
               .type = "N",
               .unit = "pixels",
               .fallback = "the model's",
               .help = "largest area an image is resized to",
               .target = &options.max_pixels,
               .at_least = 1,
               .at_most = 1LL << 32},
              {.name = "alpha",
               .type = "white|drop",
               .help = "transparent pixels: composited on white, or their alpha dropped as "
                       "transformers does",
               .target = by_name(options.alpha, runtime::kAlphaNames)},
              {.name = "exif",
               .type = "apply|ignore",
               .help = "apply or ignore the orientation that an image or video carries",
               .target = by_name(options.exif, runtime::kExifNames)},
              {.name = "video-prompt",
               .type = "inner|outer",
               .help = "outer: keep the outer vision_start and vision_end around a video's frames "
                       "(later transformers); inner: 4.57",
               .target = by_name(options.video_prompt, runtime::kVideoPromptNames)},
              {.name = "isolate-decode",
               .help = "decode images and videos in worker processes with 4 GiB and 60 s each: a "
                       "crash, a hang or too much memory fails that item alone",
               .target = &options.isolate_decode},
          }};
}

Table sampling_table(SamplingOptions& options) {
  return {"Sampling",
          {
              {.name = "max-new-tokens",
               .type = "N",
               .unit = "tokens",
               .help = "longest answer",
               .target = &options.max_new_tokens,
               .at_least = 1,
               .at_most = 1 << 24},
              {.name = "sampling",
               .type = "model",
               .fallback = "the flags below",
               .help = "model: start from generation_config.json; flags still win",
               .target = by_name(options.sampling, runtime::kSamplingNames)},
              {.name = "temperature",
               .type = "X",
               .fallback = "0",
               .help = "temperature of sampling, 0.001 to 1000; 0: greedy",
               .target = &options.temperature},
              {.name = "top-p",
               .type = "X",
               .fallback = "1",
               .help = "sample from the smallest set of tokens with this much probability",
               .target = &options.top_p},
              {.name = "top-k",
               .type = "N",
               .unit = "tokens",
               .fallback = "0",
               .help = "sample from the N most probable tokens; 0: from all",
               .target = &options.top_k},
              {.name = "min-p",
               .type = "X",
               .fallback = "0",
               .help = "drop tokens below this share of the largest probability",
               .target = &options.min_p},
              {.name = "repetition-penalty",
               .type = "X",
               .fallback = "1",
               .help = "divides the logits of tokens seen in prompt or answer; 0.001 to 1000",
               .target = &options.repetition_penalty},
              {.name = "presence-penalty",
               .type = "X",
               .fallback = "0",
               .help = "is subtracted from the logits of tokens seen in the answer; -100 to 100",
               .target = &options.presence_penalty,
               .at_least = -100},
              {.name = "seed",
               .type = "N",
               .help = "seed of sampling; the same id, request and seed give the same answer",
               .target = &options.seed},
              {.name = "stop",
               .type = "TEXT",
               .help = "end the answer where this text appears; several times for several texts",
               .target = &options.stop},
              {.name = "max-repeats",
               .type = "N",
               .help = "end an answer (finish_reason repetition) when its last 1 to 64 tokens "
                       "repeat this many times; 0: never",
               .target = &options.max_repeats},
              {.name = "ignore-eos",
               .help = "go on after the end-of-sequence token; for benchmarks",
               .target = &options.ignore_eos},
          }};
}

Table caption_table(CaptionOptions& options) {
  return {
      "The job",
      {
          {.name = "input",
           .type = "PATH",
           .fallback = "required",
           .help = "image, video, folder, glob, .jsonl manifest, OpenAI batch .jsonl, .tar, "
                   ".parquet, or - for JSONL on stdin; several times for several inputs",
           .target = &options.input,
           .required = true},
          {.name = "input-format",
           .type = "NAME",
           .fallback = "read from the content",
           .help = "what the input is, where its content does not show it: image, video, folder, "
                   "glob, jsonl, openai, webdataset (or tar) or parquet",
           .target = by_name(options.input_format, runtime::kInputFormatNames)},
          {.name = "output",
           .type = "DIR",
           .fallback = "required",
           .help = "folder of the job; the same command continues it",
           .target = &options.output,
           .required = true},
          {.name = "output-format",
           .type = "jsonl|webdataset|parquet",
           .help = "files to write beside captions.jsonl: none, tar archives, or captions.parquet; "
                   "on a finished job this runs no model",
           .target = by_name(options.output_format, runtime::kOutputFormatNames)},
          {.name = "prompt",
           .type = "TEXT",
           .help = "prompt for each item that has none of its own; given, it wins over prompts in "
                   "tables and in the JSON of archives",
           .target = noted(options.prompt, options.prompt_given)},
          {.name = "prompt-file",
           .type = "FILE",
           .help = "read the prompt from this file",
           .target = &options.prompt_file},
          {.name = "system", .type = "TEXT", .help = "system message", .target = &options.system},
          {.name = "limit",
           .type = "N",
           .unit = "items",
           .help = "caption at most this many; 0: all",
           .target = &options.limit,
           .at_most = 1e15},
          {.name = "shard",
           .type = "I/N",
           .help = "caption part I of N, I from 0",
           .target = by_form(options.shard, runtime::parse_shard)},
          {.name = "shuffle",
           .type = "SEED",
           .fallback = "input order",
           .help = "take the items in a random order",
           .target = &options.shuffle},
          {.name = "dry-run",
           .help = "print items, tokens, time and memory plan as 'check' does; write nothing",
           .target = &options.dry_run},
          {.name = "retry-failed",
           .help = "try the items in failures.jsonl again",
           .target = &options.retry_failed},
          {.name = "max-failures",
           .type = "N|P%",
           .fallback = "no budget",
           .help = "stop with exit code 4 when more items fail",
           .target = by_form(options.max_failures, runtime::parse_failure_budget),
           .may_be_number = true},
          {.name = "fsync-interval-ms",
           .type = "N",
           .unit = "ms",
           .help = "time between two syncs of the journal to the disk",
           .target = &options.fsync_interval_ms,
           .at_most = 86400000},
          {.name = "stop-deadline-s",
           .type = "N",
           .unit = "s",
           .help = "after SIGUSR1 or SIGINT, finish items in flight for this long, then drop them; "
                   "after SIGTERM at most a second, because its sender kills soon",
           .target = &options.stop_deadline_s,
           .at_most = 86400},
          {.name = "logprobs",
           .help = "add each token's log probability to its record",
           .target = &options.logprobs},
          {.name = "profile",
           .help =
               "for studies: write profile/ with the time of each step, collective and decoding",
           .target = &options.profile},
          {.name = "ablation",
           .type = "none|null-collectives|preloaded-pixels|text-only",
           .help = "for studies, leave out a part of the work: the exchange between ranks (answers "
                   "are wrong, so --ignore-eos must fix their length), decoding while the clock "
                   "runs, or all images and videos",
           .target = by_name(options.ablation, runtime::kAblationNames)},
          {.name = "top-logprobs",
           .type = "N",
           .unit = "tokens",
           .help = "also add the N likeliest tokens at each position; implies --logprobs",
           .target = &options.top_logprobs,
           .at_least = 0},
          {.name = "longest-first",
           .help = "start answers that may become long first, so that none is alone at the end",
           .target = &options.longest_first},
      }};
}

Table ask_table(AskOptions& options) {
  return {
      "The question",
      {
          {.name = "image",
           .type = "FILE",
           .help = "an image; several times for several",
           .target = &options.image},
          {.name = "video",
           .type = "FILE",
           .help = "a video; several times for several",
           .target = &options.video},
          {.name = "prompt", .type = "TEXT", .help = "the question", .target = &options.prompt},
          {.name = "messages",
           .type = "FILE",
           .help = "a conversation of OpenAI-style messages instead of a prompt; its paths are "
                   "relative to the file",
           .target = &options.messages},
          {.name = "system", .type = "TEXT", .help = "system message", .target = &options.system},
      }};
}

Table trace_table(TraceOptions& options) {
  return {"The trace",
          {
              {.name = "output",
               .type = "FILE",
               .fallback = "required",
               .help = "the .safetensors file that gets every stage's tensors",
               .target = &options.output,
               .required = true},
              {.name = "decode",
               .type = "N",
               .unit = "tokens",
               .help = "also decode this many tokens",
               .target = &options.decode},
          }};
}

Table check_table(CheckOptions& options) {
  return {"The plan",
          {
              {.name = "gpu-memory-gib",
               .type = "X",
               .unit = "GiB",
               .help = "memory of one GPU, as its driver reports it; with --device cuda",
               .target = &options.gpu_memory_gib},
          }};
}

Table launch_table(LaunchOptions& options) {
  return {"Launch and log",
          {
              {.name = "ranks",
               .type = "N",
               .fallback = "one per visible GPU; on CPU one, or one per host named",
               .help = "number of ranks; more than one start through mpirun",
               .target = &options.ranks,
               .at_most = 65536},
              {.name = "hostfile",
               .type = "FILE",
               .help = "machines to start ranks on, one per line: NAME slots=N",
               .target = &options.hostfile},
              {.name = "hosts",
               .type = "LIST",
               .help = "machines to start ranks on: a,b or a:2,b:2 with slots",
               .target = &options.hosts},
              {.name = "share-device",
               .help = "let ranks share a GPU; for correctness runs only",
               .target = &options.share_device},
              {.name = "print-launch",
               .help = "print the command that would start the ranks, then exit",
               .target = &options.print_launch},
              {.name = "config",
               .type = "FILE",
               .help = "JSON file with any of these keys, dashes as underscores; flags win",
               .target = &options.config},
              {.name = "log-level",
               .type = "debug|info|warning|error",
               .help = "lowest level that is logged",
               .target = by_name(options.log_level, kLogLevelNames)},
              {.name = "log-dir",
               .type = "DIR",
               .fallback = "no files",
               .help = "folder for one log per rank, rank-0000.log",
               .target = &options.log_dir},
              {.name = "quiet", .help = "write only errors to stderr", .target = &options.quiet},
              {.name = "no-progress",
               .help = "show no progress on stderr",
               .target = &options.no_progress},
          }};
}

Table retry_table(LaunchOptions& options) {
  return {"Going on",
          {
              {.name = "retries",
               .type = "N",
               .help = "start the ranks again after a lost rank or a system failure, up to N times "
                       "in a row without progress",
               .target = &options.retries},
          }};
}

Table monitor_table(MonitorOptions& options) {
  return {
      "Monitor",
      {
          {.name = "monitor",
           .type = "HOST:PORT",
           .fallback = "off",
           .help = "serve a live page, /metrics, /status and /healthz on rank 0's machine; a port "
                   "alone serves this machine only, 0.0.0.0:PORT every machine that reaches it",
           .target = &options.monitor,
           .may_be_number = true},
      }};
}

Table study_table(StudyFlags& options) {
  return {"The study",
          {
              {.name = "output",
               .type = "DIR",
               .fallback = "required",
               .help = "folder of the study; the same command continues it",
               .target = &options.output},
              {.name = "layouts",
               .type = "TxD,...",
               .help = "ranks per replica x replicas, as in 1x1,2x1,1x2; the first is the baseline",
               .target = &options.layouts},
              {.name = "trials",
               .type = "N",
               .help = "trials of each case, one per round; each round has another order",
               .target = &options.trials,
               .at_least = 1},
              {.name = "order-seed",
               .type = "N",
               .help = "seed of the order of runs",
               .target = &options.order_seed},
              {.name = "scaling",
               .type = "strong|weak|both",
               .help = "strong: the same items for all layouts; weak: as many items per rank as "
                       "the largest layout has",
               .target = &options.scaling},
              {.name = "batches",
               .type = "N,...",
               .fallback = "as --max-sequences",
               .help = "sequences that run at once; each value is a case",
               .target = &options.batches,
               .may_be_number = true},
              {.name = "image-pixels",
               .type = "N,...",
               .fallback = "as --max-pixels",
               .help = "largest areas that images are resized to; each value is a case",
               .target = &options.image_pixels,
               .may_be_number = true},
              {.name = "ablations",
               .type = "LIST",
               .help = "runs that leave out a part of the work: preloaded-pixels, text-only, and "
                       "with --ignore-eos null-collectives; or none",
               .target = &options.ablations},
              {.name = "price-per-hour",
               .type = "X",
               .fallback = "no cost is shown",
               .help = "price of one rank, in any currency",
               .target = &options.price_per_hour},
              {.name = "peak-tflops",
               .type = "X",
               .unit = "TFLOP/s",
               .fallback = "known for some GPUs",
               .help = "peak of one rank's device, for MFU",
               .target = &options.peak_tflops},
              {.name = "peak-gb-per-s",
               .type = "X",
               .unit = "GB/s",
               .fallback = "known for some GPUs",
               .help = "memory bandwidth of one rank's device, for MBU",
               .target = &options.peak_gb_per_s},
              {.name = "compare",
               .type = "DIR DIR",
               .help = "run nothing: compare a finished study with an earlier one",
               .target = &options.compare},
              {.name = "simulate",
               .type = "FILE|DIR",
               .help = "run nothing: simulate the job on machines that a file describes, or with "
                       "the step times of a finished study",
               .target = &options.simulate},
              {.name = "gpus",
               .type = "N,...",
               .fallback = "from the file, or 8,64,1024",
               .help = "with --simulate: numbers of ranks",
               .target = &options.gpus,
               .may_be_number = true},
              {.name = "fabric",
               .type = "US,GB",
               .fallback = "from the file, or 25,50",
               .help = "with --simulate: latency in microseconds and GB/s per rank, between nodes",
               .target = &options.fabric},
              {.name = "simulated-items",
               .type = "N",
               .fallback = "from the file, or 100000",
               .help = "with --simulate: items of the job",
               .target = &options.items,
               .at_most = 1e12},
          }};
}

Table quantize_table(QuantizeOptions& options) {
  return {"Quantise",
          {
              {.name = "model",
               .type = "DIR",
               .fallback = "required",
               .help = "the checkpoint folder that is read, bfloat16, float16 or float32",
               .target = &options.model,
               .required = true},
              {.name = "output",
               .type = "DIR",
               .fallback = "required",
               .help = "the FP8 checkpoint folder that is made: new or empty",
               .target = &options.output,
               .required = true},
              {.name = "threads",
               .type = "N",
               .fallback = "one per core",
               .help = "threads that convert",
               .target = &options.threads,
               .at_most = 1024},
          }};
}

Table info_table(InfoOptions& options) {
  return {"Output",
          {
              {.name = "json", .help = "print one JSON object", .target = &options.json},
          }};
}

Table doctor_table(runtime::DoctorOptions& options) {
  return {"The examination",
          {
              {.name = "json", .help = "print one JSON object", .target = &options.json},
              {.name = "sweep-s",
               .type = "X",
               .unit = "s",
               .help = "time to spend on the collectives of each communicator",
               .target = &options.sweep_s},
              {.name = "answer-deadline-s",
               .type = "N",
               .unit = "s",
               .help = "report a rank whose files, disks or GPU have not answered by then",
               .target = &options.answer_deadline_s,
               .at_least = 1},
          }};
}

std::vector<Table> run_tables(CommandOptions& options) {
  CaptionOptions& caption = options.check.caption;
  const auto without = [](Table table, std::initializer_list<std::string_view> names) {
    std::erase_if(table.options,
                  [&](const Option& option) { return std::ranges::count(names, option.name) > 0; });
    return table;
  };
  return {without(caption_table(caption),
                  {"output", "output-format", "limit", "shard", "shuffle", "dry-run",
                   "retry-failed", "max-failures", "profile", "ablation"}),
          without(model_table(caption.run), {"tensor-parallel"}), sampling_table(caption.sampling),
          engine_table(caption.run)};
}

namespace {

Table without_required(Table table) {
  for (Option& option : table.options) {
    if (!option.required) continue;
    option.required = false;
    option.fallback = {};
  }
  return table;
}

std::vector<Table> caption_tables(CommandOptions& options) {
  CaptionOptions& caption = options.check.caption;
  return {caption_table(caption),           model_table(caption.run),
          sampling_table(caption.sampling), engine_table(caption.run),
          launch_table(options.launch),     retry_table(options.launch),
          monitor_table(options.monitor)};
}

std::vector<Table> check_tables(CommandOptions& options) {
  std::vector<Table> tables = caption_tables(options);
  Option& output = *std::ranges::find(tables[0].options, "output", &Option::name);
  output.required = false, output.fallback = {};
  output.help = "folder of the job, to check that a job in it may go on";
  tables.insert(tables.begin(), check_table(options.check));
  return tables;
}

std::vector<Table> ask_tables(CommandOptions& options) {
  AskOptions& ask = options.trace.ask;
  return {ask_table(ask), model_table(ask.run), sampling_table(ask.sampling), engine_table(ask.run),
          launch_table(options.launch)};
}

std::vector<Table> trace_tables(CommandOptions& options) {
  std::vector<Table> tables = ask_tables(options);
  tables.insert(tables.begin(), trace_table(options.trace));
  return tables;
}

std::vector<Table> study_tables(CommandOptions& options) {
  const auto named = [](std::string_view name) {
    return [name](const Option& option) { return option.name == name; };
  };
  std::vector<Table> tables = {study_table(options.study)};
  for (Table& table : run_tables(options)) tables.push_back(without_required(std::move(table)));
  const Table items = caption_table(options.check.caption);
  tables[1].options.push_back(*std::ranges::find_if(items.options, named("limit")));
  tables.push_back(launch_table(options.launch));
  std::erase_if(tables.back().options, named("ranks"));
  std::erase_if(tables.back().options, named("print-launch"));
  return tables;
}

std::vector<Table> doctor_tables(CommandOptions& options) {
  return {doctor_table(options.doctor), without_required(model_table(options.doctor.run)),
          launch_table(options.launch)};
}

std::vector<Table> quantize_tables(CommandOptions& options) {
  Table others = launch_table(options.launch);
  std::erase_if(others.options, [](const Option& option) {
    return option.name != "config" && option.name != "quiet" && option.name != "no-progress";
  });
  return {quantize_table(options.quantize), others};
}

std::vector<Table> info_tables(CommandOptions& options) { return {info_table(options.info)}; }

}  // namespace

const std::vector<Verb>& verbs() {
  static const std::vector<Verb> kVerbs = {
      {"caption", "many images or videos in, captions out; the same command resumes it",
       "--model DIR --input PATH [--input PATH ...] --output DIR [--prompt TEXT]", caption_tables},
      {"ask", "one question about images or videos, answered on stdout",
       "--model DIR [--image FILE]... [--video FILE]... [--prompt TEXT | --messages FILE]",
       ask_tables},
      {"trace", "one request, every stage's tensors written to a .safetensors file",
       "--model DIR [--image FILE]... [--prompt TEXT] --output FILE [--decode N]", trace_tables},
      {"check", "check configuration, mesh, memory plan and input without running the model",
       "--model DIR --input PATH [--input PATH ...] [--ranks N] [--tensor-parallel N]",
       check_tables},
      {"study", "scaling study over layouts and sizes: measured, predicted, explained",
       "--model DIR --input PATH --output DIR --layouts TxD,... | --compare DIR DIR", study_tables},
      {"quantize", "write an FP8 copy of a checkpoint folder", "--model DIR --output DIR",
       quantize_tables},
      {"doctor", "every rank examines its machine, links and peers; reports what is slow or broken",
       "[--model DIR] [--ranks N] [--tensor-parallel N] [--json]", doctor_tables},
      {"info", "version, build, libraries, CPU features", "[--json]", info_tables},
  };
  return kVerbs;
}

const Verb* find_verb(std::string_view name) {
  const auto found = std::ranges::find(verbs(), name, &Verb::name);
  return found != verbs().end() ? &*found : nullptr;
}

std::vector<Table> tables_of(std::string_view verb, CommandOptions& options) {
  const Verb* known = find_verb(verb);
  return known != nullptr ? known->tables(options) : std::vector<Table>();
}

}  // namespace retinue::launcher
