#include "parallel/base/build_config.h"
#include "runtime/jobs/agree.h"
#include "runtime/jobs/caption_lead.h"
#include "runtime/jobs/death_mark.h"
#include "runtime/jobs/host_memory.h"
#include "runtime/jobs/listing.h"
#include "runtime/jobs/profile.h"
#include "runtime/jobs/replica.h"
#include "runtime/jobs/status_board.h"
#include "runtime/jobs/status_file.h"
#include "runtime/jobs/thumbnails.h"
#include "runtime/output/job_folder.h"
#include "runtime/output/record.h"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <functional>
#include <iostream>
#include <new>
#include <numeric>
#include <optional>
#include <unistd.h>

namespace retinue::runtime {
namespace {

using Json = nlohmann::ordered_json;

/// job.json beside the question: what people want to read in it.
Json about(const CaptionJob& job) {
  const layers::Numerics numerics = numerics_of(job.model);
  Json json;
  json["schema_version"] = 1;
  json["version"] = build::kVersion;
  json["model_folder"] = job.options.run.model;
  json["input"] = job.options.input;
  json["numerics"] = {{"description", numerics.description}, {"fingerprint", numerics.fingerprint}};
  return json;
}

/// "SIGSEGV on rank 2 in run 3, SIGABRT on rank 0 in run 4"
std::string shown(const std::vector<Death>& deaths) {
  std::string text;
  for (const Death& death : deaths)
    text += fmt::format("{}{} on rank {} in run {}", text.empty() ? "" : ", ", death.reason,
                        death.rank, death.epoch);
  return text;
}

/// What died of too often gets a failure and is not run again; what might be to blame is noted.
void judge_deaths(const Session& session, const Strikes& strikes, CaptionJob& job) {
  const auto is_open = [&](std::int64_t index) {
    return index < static_cast<std::int64_t>(job.open.size()) &&
           job.open[static_cast<std::size_t>(index)] != 0;
  };
  std::unique_ptr<SegmentWriter> journal;
  for (const auto& [index, deaths] : strikes.by_item()) {
    if (!is_open(index)) {
      job.quarantined += deaths.size() >= Strikes::kOut ? 1 : 0;
      continue;
    }
    const Item item = job.items.item(static_cast<std::size_t>(index));
    if (deaths.size() < Strikes::kOut) {
      job.struck.insert(index);
      session.log.warning(
          fmt::format("[strike] {}: {}; it runs alone, once more", item.id, shown(deaths)));
      continue;
    }
    if (journal == nullptr)
      journal = std::make_unique<SegmentWriter>(segment_path(job.options.output, 0, job.epoch), 0);
    const std::string message = fmt::format(
        "the process died of it {} times: {}. It is not run again without "
        "--retry-failed.",
        deaths.size(), shown(deaths));
    journal->append(EntryType::kFail, index,
                    to_json(Failure{item.id, item.source, "quarantine", message}));
    session.log.warning(fmt::format("[quarantine] {}: {}", item.id, message));
    job.open[static_cast<std::size_t>(index)] = 0;
    ++job.failed_before;
    ++job.quarantined;
  }
  if (journal != nullptr) journal->close();
  for (const std::int64_t index : strikes.suspects())
    if (is_open(index) && !job.struck.contains(index)) job.suspects.insert(index);
  if (!job.suspects.empty())
    session.log.warning(
        fmt::format("[suspects] a rank died with {} items in flight: they run first, half of them "
                    "at a time",
                    job.suspects.size()));
}

/// On rank 0: lists the items, opens the folder, reads what earlier runs left.
std::unique_ptr<JobFolder> open_job(const Session& session, CaptionJob& job) {
  auto folder = std::make_unique<JobFolder>(job.options.output);
  Listing listing(job.options.output, source_options(job.options), std::cin);
  job.items = listing.items();
  folder->settle(question_of(job), about(job), folder->is_settled() ? listing.difference() : "");
  listing.publish();
  const Journal journal(folder->path(), static_cast<std::int64_t>(job.items.size()));
  job.epoch = journal.next_epoch();
  job.open.resize(job.items.size());
  for (std::size_t i = 0; i < job.items.size(); ++i) {
    const auto index = static_cast<std::int64_t>(i);
    const bool failed = journal.failed(index) && !job.options.retry_failed;
    job.open[i] = !journal.done(index) && !failed ? 1 : 0;
    job.done_before += journal.done(index) ? 1 : 0;
    job.failed_before += failed ? 1 : 0;
  }
  judge_deaths(session, journal.strikes(), job);
  job.open_count = std::ranges::count(job.open, 1);
  if (journal.damaged_lines() > 0)
    session.log.warning(
        fmt::format("[journal] {} torn or damaged lines are left out; their items "
                    "run again",
                    journal.damaged_lines()));
  const std::string fingerprint = numerics_of(job.model).fingerprint;
  for (const std::string& start : journal.starts())
    if (Json::parse(start, nullptr, false).value("fingerprint", fingerprint) != fingerprint) {
      session.log.warning(
          "[journal] an earlier run had another numerics fingerprint: its records may differ in "
          "their last bits from those to come");
      break;
    }
  return folder;
}

/// Every rank learns what rank 0 found.
void share_job(Communicator& world, CaptionJob& job) {
  // Rank 0 has made it durable before this message.
  job.items = ItemTable(table_folder(job.options.output));
  broadcast_value(world, job.open_count);
  broadcast_value(world, job.done_before);
  broadcast_value(world, job.failed_before);
  broadcast_value(world, job.epoch);
  for (std::set<std::int64_t>* set : {&job.struck, &job.suspects}) {
    std::vector<std::int64_t> packed_set(set->begin(), set->end());
    broadcast_container(world, packed_set);
    set->insert(packed_set.begin(), packed_set.end());
  }
}

Json report_of(const CaptionJob& job, const MeshShape& mesh, const Counts& counts, double seconds,
               const Journal& journal, int code) {
  const layers::Numerics numerics = numerics_of(job.model);
  const auto per_s = [&](std::int64_t n) {
    return seconds > 0 ? static_cast<double>(n) / seconds : 0.0;
  };
  const EngineStats& engine = counts.engine;
  Json json;
  json["schema_version"] = 1;
  json["exit_code"] = code;
  json["items"] = {{"all", job.items.size()},
                   {"done", journal.done_count()},
                   {"failed", journal.failed_count()}};
  json["this_run"] = {{"epoch", job.epoch},
                      {"seconds", seconds},
                      {"done", counts.done},
                      {"failed", counts.failed},
                      {"media", counts.media},
                      {"prompt_tokens", counts.prompt_tokens},
                      {"completion_tokens", counts.completion_tokens}};
  json["rates"] = {{"media_per_s", per_s(counts.media)},
                   {"prompt_tokens_per_s", per_s(counts.prompt_tokens)},
                   {"completion_tokens_per_s", per_s(counts.completion_tokens)}};
  // Summed over the leads.
  json["stages"] = {{"steps", engine.steps},
                    {"replayed_steps", engine.replayed_steps},
                    {"idle_steps", engine.idle_steps},
                    {"plan_s", engine.plan_s},
                    {"encode_s", engine.encode_s},
                    {"forward_s", engine.forward_s},
                    {"sample_s", engine.sample_s},
                    {"wait_s", engine.wait_s},
                    {"waited_for_pixels_s", engine.starved_s},
                    {"pixels_waited_s", engine.pixels_waited_s}};
  const SchedulerStats& scheduler = engine.scheduler;
  json["schedule"] = {{"admitted", scheduler.admitted},
                      {"preempted", scheduler.preempted},
                      {"reused_tokens", scheduler.reused_tokens},
                      {"encoded_items", scheduler.encoded_items}};
  json["mesh"] = {{"ranks", mesh.size()}, {"data", mesh.data}, {"tensor", mesh.tensor}};
  json["dtype"] = name(job.model.dtype);
  json["versions"] = {{"retinue", build::kVersion},
                      {"revision", build::kRevision},
                      {"build", build::kBuildType},
                      {"compiler", build::kCompiler}};
  json["numerics"] = {{"description", numerics.description}, {"fingerprint", numerics.fingerprint}};
  return json;
}

/// Rank 0, when nothing runs any more: the files that people read, and the exit code.
int seal(const JobFolder& folder, const CaptionJob& job, const MeshShape& mesh,
         const Counts& counts, double seconds, int stop_code) {
  const Journal journal(folder.path(), static_cast<std::int64_t>(job.items.size()));
  const std::int64_t done = journal.done_count(), failed = journal.failed_count();
  const bool finished = done + failed == static_cast<std::int64_t>(job.items.size());
  int code = finished ? (failed > 0 ? 3 : 0) : stop_code;
  if (stop_code == 4 || (finished && failed > job.failures_allowed())) code = 4;
  check(code != 0 || finished, "a job that ends with 0 has done all items");
  std::vector<std::int64_t> order(job.items.size());
  std::iota(order.begin(), order.end(), std::int64_t{0});
  if (job.options.shuffle) {
    std::vector<std::int64_t> ordinals(order.size());
    for (std::size_t i = 0; i < order.size(); ++i) ordinals[i] = job.items.ordinal(i);
    std::ranges::sort(order, {},
                      [&](std::int64_t i) { return ordinals[static_cast<std::size_t>(i)]; });
  }
  folder.seal(journal, order, finished, parse_output_format(job.options.output_format));
  // A run that found everything done has nothing to report over the run that did it.
  const bool worked =
      std::any_of(job.open.begin(), job.open.end(), [](auto open) { return open != 0; });
  if (worked || !folder.has_report())
    folder.write_report(report_of(job, mesh, counts, seconds, journal, code));
  return code;
}

/// Runs `work`; an error that may be an item's fault leaves a mark before it ends this rank.
void marked(DeathMark& death, const std::function<void()>& work) {
  try {
    work();
  } catch (const std::bad_alloc&) {
    death.leave("out_of_memory");
    throw;
  } catch (const DeviceError&) {
    death.leave("device_error");
    throw;
  } catch (const BugError&) {
    death.leave("bug");
    throw;
  }
}

/// A rank that does not lead: takes part in every step, and tells rank 0 how it stands.
void follow(const Session& session, Engine& engine, Feeder& feeder, Profile* profile) {
  double told_s = 0;
  bool more = true;
  while (more) {
    more = engine.step();
    if (more && profile != nullptr) profile->stepped(engine.stats());
    const double now_s = session.clock.now_s();
    if (more && now_s - told_s < kStateEvery_s) continue;
    told_s = now_s;
    RankState state;
    state.engine = engine.stats();
    state.feed = feeder.state();
    state.finished = !more;
    post(session.world, state, 0, JobTag::kState);
  }
}

JobStatus::Job about_status(const CaptionJob& job, const MeshShape& mesh) {
  return {.model = job.options.run.model,
          .output = job.options.output,
          .dtype = std::string(name(job.model.dtype)),
          .device = job.options.run.device,
          .input = job.options.input,
          .mesh = mesh};
}

const char* outcome(int code) {
  switch (code) {
    case 0:
      return "all done";
    case 3:
      return "finished, some failed (failures.jsonl)";
    case 4:
      return "stopped, too many failed (failures.jsonl)";
    default:
      return "interrupted, the same command goes on";
  }
}

}  // namespace

int run_caption(const Session& session, const CaptionOptions& options) {
  if (options.output.empty()) throw UsageError("[--output] names no folder");
  if (options.dry_run) {
    on_coordinator(session.world, [&] { run_check(options, session.world.size(), 0, stdout); });
    return 0;
  }
  const std::int64_t preload_bytes = memory_per_rank(session.node_size) / 2;
  // Every rank takes the signal, or one that does not lead would die of it.
  const StopSignal signal;
  CaptionJob job = prepare_caption(options);
  const RankShare share = take_share(session, options.run, job.model);
  Communicator& world = session.world;
  const Mesh mesh(world, choose_mesh(options.run, world.size()));
  std::unique_ptr<JobFolder> folder;
  std::unique_ptr<StatusFile> status_file;
  std::optional<StatusBoard> board;  // after the file: its last word goes there
  if (mesh.is_coordinator()) {
    board.emplace(about_status(job, mesh.shape()), session.clock);
    if (session.monitor != nullptr) board->add_sink(*session.monitor);
  }
  on_coordinator(world, [&] { folder = open_job(session, job); });
  share_job(world, job);
  if (board) {
    board->items_known(static_cast<std::int64_t>(job.items.size()), job.done_before,
                       job.failed_before, job.quarantined, job.epoch);
    status_file = std::make_unique<StatusFile>(options.output + "/status.json", session.log);
    board->add_sink(*status_file);
    board->phase(JobPhase::kLoading);
  }

  const bool terminal = isatty(STDERR_FILENO) == 1;
  Progress progress({.items = static_cast<std::int64_t>(job.items.size()),
                     .done_before = job.done_before,
                     .failed_before = job.failed_before,
                     .replicas = mesh.shape().data,
                     .show = !options.quiet && !options.no_progress,
                     .terminal = terminal},
                    session.log, session.clock);
  Counts counts;
  int stop_code = 0;
  if (job.open_count > 0) {
    const EngineWishes wishes =
        wishes_for(options.run, job.model, job.items.summary(), job.sampling.max_new_tokens);
    DeathMark death(death_path(options.output, world.rank(), job.epoch),
                    world.rank() - mesh.tensor().rank());
    Thumbnails thumbnails(job.model.processor, session.clock);
    Feeder feeder(job.items, job.model.processor, job.model.image,
                  std::clamp(share.threads / 4, 1, 8), job.tables.get(), job.apart.get());
    std::optional<Profile> profile;
    if (options.profile) profile.emplace(session.clock);
    Replica replica(options.run, job.model, mesh, share, wishes, feeder, session.clock,
                    {.longest_first = options.longest_first},
                    {.null_collectives = options.ablation == "null-collectives",
                     .calls = profile ? &profile->calls() : nullptr});
    for (const std::string& line : start_block(options.run, job.model, mesh, replica))
      session.log.info(line);
    // Beside the feeder, which sees them until it ends.
    if (board && session.monitor != nullptr)
      feeder.watch([&thumbnails](std::uint64_t key, const layers::Patches& patches) {
        thumbnails.decoded(key, patches);
      });
    if (board) board->phase(JobPhase::kRunning);
    // What studies compare begins on all ranks at once, when everything is loaded.
    const auto begin_profile = [&] {
      if (!profile) return;
      world.barrier();
      profile->begin();
    };
    QuestionQueue::Times questions;
    const auto work_to_the_end = [&] {
      const bool preloads = options.ablation == "preloaded-pixels";
      if (preloads) feeder.preload(preload_bytes);
      if (mesh.is_lead()) {
        std::optional<CaptionLead::Coordinator> coordinator;
        if (board)
          coordinator.emplace(progress, *board, session.monitor != nullptr ? &thumbnails : nullptr);
        CaptionLead lead(session, mesh, job, replica.engine(),
                         2 * replica.plan().limits.max_sequences, feeder, signal,
                         coordinator ? &*coordinator : nullptr, profile ? &*profile : nullptr);
        if (preloads) lead.prepare();
        begin_profile();
        lead.run();
        questions = lead.question_times();
        counts = lead.counts();
        stop_code = lead.stop_code();
      } else {
        begin_profile();
        follow(session, replica.engine(), feeder, profile ? &*profile : nullptr);
      }
    };
    marked(death, work_to_the_end);
    if (profile) {
      profile->end();
      profile->write(options.output, {.rank = world.rank(),
                                      .data = mesh.data_index(),
                                      .tensor = mesh.tensor_index(),
                                      .threads = share.threads,
                                      .device = to_string(replica.ctx().device()),
                                      .limits = replica.plan().limits,
                                      .weight_bytes = replica.plan().weight_bytes,
                                      .engine = replica.engine().stats(),
                                      .feed = feeder.times(),
                                      .questions_cpu_s = questions.cpu_s,
                                      .questions = questions.made});
    }
  }
  if (!mesh.is_coordinator()) {
    const int code = await_end(world);
    // What was still on the way when this replica had already ended.
    while (receive<StopOrder>(world, 0, JobTag::kStop) || receive<Deal>(world, 0, JobTag::kDeal)) {
    }
    return code;
  }
  board->phase(JobPhase::kSealing);
  const int code = seal(*folder, job, mesh.shape(), counts, progress.elapsed_s(), stop_code);
  if (!options.quiet) progress.finish(counts, outcome(code));
  board->ended(code, outcome(code), counts);
  announce_end(world, code);
  return code;
}

}  // namespace retinue::runtime
