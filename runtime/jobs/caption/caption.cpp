#include "runtime/failure/crash_report.h"
#include "runtime/jobs/caption/coordinator.h"
#include "runtime/jobs/caption/leader.h"
#include "runtime/jobs/caption/open.h"
#include "runtime/jobs/caption/profile.h"
#include "runtime/jobs/caption/report.h"
#include "runtime/jobs/host_memory.h"
#include "runtime/jobs/job_messages.h"
#include "runtime/jobs/option_names.h"
#include "runtime/jobs/replica.h"
#include "runtime/status/status_board.h"
#include "runtime/status/status_file.h"
#include "runtime/status/thumbnails.h"

#include <algorithm>
#include <functional>
#include <memory>
#include <new>
#include <optional>
#include <unistd.h>

namespace retinue::runtime {
namespace {

/// On rank 0 how the job stands, told to the monitor and to DIR/status.json; elsewhere empty.
struct StatusPublishing {
  std::unique_ptr<StatusFile> file;
  std::unique_ptr<StatusBoard> board;  // after the file: its last word goes there
};

StatusPublishing begin_status(const Session& session, const CaptionJob& job, const Mesh& mesh) {
  if (!mesh.is_coordinator()) return {};
  auto board = std::make_unique<StatusBoard>(
      JobStatus::Job{.model = job.options.run.model,
                     .output = job.options.output,
                     .dtype = std::string(name(job.model.dtype)),
                     .device = std::string(name_in(kDeviceNames, job.options.run.device)),
                     .input = job.options.input,
                     .mesh = mesh.shape()},
      session.clock);
  if (session.monitor != nullptr) board->add_sink(*session.monitor);
  return {.file = nullptr, .board = std::move(board)};
}

/// The items are known, and there is a folder for status.json.
void status_open(StatusPublishing& status, const CaptionJob& job, Log& log) {
  if (status.board == nullptr) return;
  status.board->items_known(static_cast<std::int64_t>(job.items.size()), job.done_before,
                            job.failed_before, job.quarantined, job.epoch);
  status.file = std::make_unique<StatusFile>(job.options.output + "/status.json", log);
  status.board->add_sink(*status.file);
  status.board->phase(JobPhase::kLoading);
}

Progress::Options progress_of(const CaptionJob& job, const MeshShape& mesh) {
  return {.items = static_cast<std::int64_t>(job.items.size()),
          .done_before = job.done_before,
          .failed_before = job.failed_before,
          .replicas = mesh.data,
          .show = !job.options.quiet && !job.options.no_progress,
          .terminal = isatty(STDERR_FILENO) == 1};
}

/// Runs `work`; an error that may be an item's fault leaves a mark before it ends this rank.
void marked(CrashReporter& crash, const std::function<void()>& work) {
  try {
    work();
  } catch (const std::bad_alloc&) {
    crash.leave("out_of_memory");
    throw;
  } catch (const DeviceError&) {
    crash.leave("device_error");
    throw;
  } catch (const BugError&) {
    crash.leave("bug");
    throw;
  }
}

/// What the work came to: of this replica, on rank 0 of all, and nothing on ranks that do not lead.
struct Outcome {
  Counts counts;
  int stop_code = 0;  ///< as CaptionLeader has it
  RequestQueue::Times requests;
};

/// One rank's part in the work. All arguments outlive it.
class Work {
 public:
  /// Loads; collective over the world. Adds what it took to the job's start-up. `board` null: not
  /// rank 0.
  Work(const Session& session, const Mesh& mesh, const RankShare& share, CaptionJob& job,
       StatusBoard* board)
      : session_(session),
        mesh_(mesh),
        share_(share),
        job_(job),
        board_(board),
        sizing_(sizing_for(job.options.run, job.model, job.items.summary(),
                           job.sampling.max_new_tokens)),
        crash_(crash_report_path(job.options.output, session.world.rank(), job.epoch),
               session.world.rank() - mesh.tensor().rank()),
        thumbnails_(job.model.processor, session.clock),
        prefetcher_(job.items, job.model.processor, job.model.image, decode_threads(share.threads),
                    job.tables.get(), job.isolated.get()),
        profile_(job.options.profile ? std::make_unique<Profile>(session.clock) : nullptr),
        replica_(
            {.options = job.options.run,
             .model = job.model,
             .mesh = mesh,
             .loaders = loaders(session, job.options.run, session.world),
             .share = share,
             .sizing = sizing_,
             .pixels = prefetcher_,
             .clock = session.clock,
             .engine = {.longest_first = job.options.longest_first},
             .plane = {.null_collectives = job.options.ablation == AblationKind::kNullCollectives,
                       .calls = profile_ != nullptr ? &profile_->calls() : nullptr}}) {
    const double with_nccl_s = job.start_up.communicators_s + replica_.start_up().communicators_s;
    job.start_up += replica_.start_up();
    job.start_up.communicators_s = with_nccl_s;
    for (const std::string& line : start_block(job.options.run, job.model, mesh, replica_))
      session.log.info(line);
    if (board == nullptr) return;
    if (session.monitor != nullptr)
      prefetcher_.watch([this](std::uint64_t key, const layers::Patches& patches) {
        thumbnails_.decoded(key, patches);
      });
    board->phase(JobPhase::kRunning);
  }

  /// Until no rank of this replica has anything to do, on rank 0 no rank at all.
  ///   preload_bytes  that --ablation preloaded-pixels may take
  Outcome to_the_end(const StopSignal& signal, Progress& progress, std::int64_t preload_bytes) {
    Outcome outcome;
    marked(crash_, [&] {
      if (preloads()) prefetcher_.preload(preload_bytes);
      if (mesh_.is_leader())
        outcome = leader(signal, progress);
      else
        follow();
    });
    if (profile_ != nullptr) write_profile(outcome.requests);
    return outcome;
  }

 private:
  [[nodiscard]] bool preloads() const {
    return job_.options.ablation == AblationKind::kPreloadedPixels;
  }

  Outcome leader(const StopSignal& signal, Progress& progress) {
    std::optional<CaptionCoordinator> coordinator;
    if (board_ != nullptr)
      coordinator.emplace(session_, mesh_, job_, progress, *board_,
                          session_.monitor != nullptr ? &thumbnails_ : nullptr);
    CaptionLeader leader(session_, mesh_, job_, replica_.engine(),
                         2 * replica_.plan().limits.max_sequences, prefetcher_, signal,
                         coordinator ? &*coordinator : nullptr, profile_.get());
    if (preloads()) leader.prepare();
    begin_profile();
    leader.run();
    return {.counts = leader.counts(),
            .stop_code = leader.stop_code(),
            .requests = leader.prepare_times()};
  }

  /// A rank that does not lead: takes part in every step, and tells rank 0 how it stands.
  void follow() {
    begin_profile();
    Engine& engine = replica_.engine();
    double reported_s = 0;
    bool more = true;
    while (more) {
      more = engine.step();
      if (more && profile_ != nullptr) profile_->stepped(engine.stats());
      const double now_s = session_.clock.now_s();
      if (more && now_s - reported_s < kStateEvery_s) continue;
      reported_s = now_s;
      RankState state;
      state.engine = engine.stats();
      state.feed = prefetcher_.state();
      state.finished = !more;
      post(session_.world, state, 0, JobTag::kState);
    }
  }

  /// What studies compare begins on all ranks at once, when everything is loaded.
  void begin_profile() {
    if (profile_ == nullptr) return;
    session_.world.barrier();
    profile_->begin();
  }

  void write_profile(const RequestQueue::Times& requests) {
    profile_->end();
    profile_->write(job_.options.output, {.rank = session_.world.rank(),
                                          .data = mesh_.data_index(),
                                          .tensor = mesh_.tensor_index(),
                                          .threads = share_.threads,
                                          .device = to_string(replica_.ctx().device()),
                                          .limits = replica_.plan().limits,
                                          .weight_bytes = replica_.plan().weight_bytes,
                                          .engine = replica_.engine().stats(),
                                          .feed = prefetcher_.times(),
                                          .prepare_cpu_s = requests.cpu_s,
                                          .requests = requests.made});
  }

  const Session& session_;
  const Mesh& mesh_;
  const RankShare& share_;
  const CaptionJob& job_;
  StatusBoard* board_;
  EngineSizing sizing_;
  CrashReporter crash_;
  Thumbnails thumbnails_;  // before the feeder, whose threads show it pixels until it ends
  Prefetcher prefetcher_;
  std::unique_ptr<Profile> profile_;  // before the replica, which notes there
  Replica replica_;
};

/// Any rank but 0: waits for the job's exit code.
int receive_end(Communicator& world) {
  const int code = await_end(world);
  // What was still on the way when this replica had already ended.
  while (receive<StopOrder>(world, 0, JobTag::kStop) ||
         receive<ItemBatch>(world, 0, JobTag::kBatch)) {
  }
  return code;
}

/// Rank 0: seals, says how it went, and lets the others go.
int end_job(const Session& session, const JobFolder& folder, const CaptionJob& job,
            const MeshShape& mesh, const Outcome& outcome, Progress& progress, StatusBoard& board) {
  const Counts& counts = outcome.counts;
  board.phase(JobPhase::kFinalizing);
  const int code = finalize_job(folder, job, mesh, counts, progress.elapsed_s(), outcome.stop_code);
  if (job.open_count > 0) session.log.info("start-up: " + counts.start_up.to_string());
  if (!job.options.quiet) progress.finish(counts, outcome_of(code));
  board.ended(code, outcome_of(code), counts);
  announce_end(session.world, code);
  return code;
}

/// --dry-run: what `retinue check` says of the same options.
int only_check(const Session& session, const CaptionOptions& options) {
  on_coordinator(session.world, [&] { run_check(options, session.world.size(), 0, stdout); });
  return 0;
}

}  // namespace

int run_caption(const Session& session, const CaptionOptions& options) {
  if (options.output.empty()) throw UsageError("[--output] names no folder");
  if (options.dry_run) return only_check(session, options);
  // Asked before any rank of this host allocates.
  const std::int64_t preload_bytes = memory_per_rank(session.node_size) / 2;
  // Every rank takes the signal, or one that does not lead would die of it.
  const StopSignal signal;
  CaptionJob job = prepare_caption(options);
  job.launched_s = session.clock.now_s() - session.launch_s - session.communicators_s;
  const RankShare share = take_share(session, options.run, job.model);
  const double meeting_s = session.clock.now_s();
  const Mesh mesh(session.world, choose_mesh(options.run, session.world.size()));
  job.start_up.launch_s = session.launch_s;
  job.start_up.communicators_s = session.communicators_s + session.clock.now_s() - meeting_s;

  std::unique_ptr<JobFolder> folder;  // before what writes there: nobody else gets it meanwhile
  StatusPublishing status = begin_status(session, job, mesh);
  on_coordinator(session.world, [&] { folder = open_job(session, job); });
  share_job(session.world, job);
  status_open(status, job, session.log);

  Progress progress(progress_of(job, mesh.shape()), session.log, session.clock);
  Outcome outcome;
  if (job.open_count > 0) {
    Work work(session, mesh, share, job, status.board.get());
    outcome = work.to_the_end(signal, progress, preload_bytes);
  }
  if (!mesh.is_coordinator()) return receive_end(session.world);
  return end_job(session, *folder, job, mesh.shape(), outcome, progress, *status.board);
}

}  // namespace retinue::runtime
