#include "parallel/comm/decorators.h"
#include "runtime/failure/crash_report.h"
#include "runtime/jobs/caption/ablation.h"
#include "runtime/jobs/caption/coordinator.h"
#include "runtime/jobs/caption/coordinator_link.h"
#include "runtime/jobs/caption/leader.h"
#include "runtime/jobs/caption/open.h"
#include "runtime/jobs/caption/profile.h"
#include "runtime/jobs/caption/report.h"
#include "runtime/jobs/host_memory.h"
#include "runtime/jobs/job_messages.h"
#include "runtime/jobs/model_warnings.h"
#include "runtime/jobs/option_names.h"
#include "runtime/jobs/replica.h"
#include "runtime/status/status_board.h"
#include "runtime/status/status_file.h"
#include "runtime/status/thumbnails.h"

#include <algorithm>
#include <functional>
#include <memory>
#include <new>
#include <string>
#include <unistd.h>
#include <vector>

namespace retinue::runtime {
namespace {

/// Publishes the job's status on rank 0, to the monitor and to DIR/status.json; empty on other
/// ranks.
struct StatusPublisher {
  std::unique_ptr<StatusFile> file;
  std::unique_ptr<StatusBoard> board;  // after the file, to which it publishes to its end
};

StatusPublisher start_publishing(const Session& session, const CaptionJob& job, const Mesh& mesh) {
  if (!mesh.is_coordinator()) return {};
  auto board = std::make_unique<StatusBoard>(
      JobStatus::Job{.model = job.options.run.model,
                     .output = job.options.output,
                     .dtype = std::string(name(job.model.computation.dtype)),
                     .device = std::string(name_in(kDeviceNames, job.options.run.device)),
                     .input = job.options.input,
                     .mesh = mesh.shape()},
      session.clock);
  if (session.monitor != nullptr) board->add_sink(*session.monitor);
  return {.file = nullptr, .board = std::move(board)};
}

/// The items are known, and there is a folder for status.json.
void publish_items(StatusPublisher& status, const CaptionJob& job, Log& log) {
  if (status.board == nullptr) return;
  status.board->items_known(static_cast<std::int64_t>(job.items.size()), job.done_before,
                            job.failed_before, job.quarantined, job.epoch);
  status.board->passed_over(job.items.passed_over());
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

/// Runs `work`; an error that may be an item's fault leaves a crash report before it ends this
/// rank.
void report_crashes(CrashReporter& crash, const std::function<void()>& work) {
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

/// The outcome of the work: this replica's, on rank 0 that of all. Empty on ranks that do not lead.
struct Outcome {
  Counts counts;
  int stop_code = 0;  ///< as CaptionLeader has it
  RequestQueue::Times requests;
};

/// One rank's part in the work. All arguments outlive it.
class Work {
 public:
  /// Loads; collective over the world. Adds what it took to the job's start-up.
  ///   board          null: not rank 0
  ///   preload_bytes  as Ablation's most_bytes
  Work(const Session& session, const Mesh& mesh, const RankShare& share, CaptionJob& job,
       StatusBoard* board, std::int64_t preload_bytes)
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
        ablation_(job, preload_bytes),
        replica_({.options = job.options.run,
                  .model = job.model,
                  .mesh = mesh,
                  .loaders = loaders(session, job.options.run, session.world),
                  .share = share,
                  .sizing = sizing_,
                  .pixels = ablation_.pixels(prefetcher_),
                  .clock = session.clock,
                  .engine = {.longest_first = job.options.longest_first},
                  .wrappers = wrappers()}) {
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

  /// Runs until this replica is drained; on rank 0, until all are.
  Outcome run(const StopSignal& signal, Progress& progress) {
    Outcome outcome;
    report_crashes(crash_, [&] {
      ablation_.decode_ahead();
      if (mesh_.is_coordinator())
        outcome = coordinate(signal, progress);
      else if (mesh_.is_leader())
        outcome = lead(signal, *message_link(session_));
      else
        follow();
    });
    if (profile_ != nullptr) write_profile(outcome.requests);
    return outcome;
  }

 private:
  Outcome coordinate(const StopSignal& signal, Progress& progress) {
    CaptionCoordinator coordinator(session_, mesh_, job_, progress, *board_,
                                   session_.monitor != nullptr ? &thumbnails_ : nullptr);
    return lead(signal, *in_process_link(session_, coordinator));
  }

  Outcome lead(const StopSignal& signal, CoordinatorLink& link) {
    const ItemReader items =
        ablation_.items([this](std::size_t index) { return job_.items.item(index); });
    CaptionLeader leader(
        {.session = session_,
         .mesh = mesh_,
         .job = job_,
         .engine = replica_.engine(),
         .prefetcher = prefetcher_,
         .link = link,
         .signal = signal,
         .window = 2 * replica_.plan().limits.max_sequences,
         .items = items,
         .make = ablation_.requests(request_maker(job_, items)),
         .format = ablation_.format([](const Record& record) { return to_json(record); }),
         .profile = profile_.get()});
    begin_profile();
    leader.run();
    return {.counts = leader.counts(),
            .stop_code = leader.stop_code(),
            .requests = leader.prepare_times()};
  }

  /// A rank that does not lead: takes part in every step, and reports its state to rank 0.
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

  /// Around the communicators of the tensor axis. On a device a call only enqueues, so that its
  /// time says nothing.
  [[nodiscard]] std::vector<WrapCommunicator> wrappers() {
    std::vector<WrapCommunicator> wrappers = ablation_.communicators();
    if (profile_ != nullptr && share_.device.type == DeviceType::kCpu)
      wrappers.emplace_back([this](Communicator& inner) {
        return metered(inner, session_.clock, profile_->calls());
      });
    return wrappers;
  }

  /// Profiles of all ranks begin at the same moment, when everything is loaded.
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
  Thumbnails thumbnails_;  // before the prefetcher, whose threads show it pixels until they end
  Prefetcher prefetcher_;
  std::unique_ptr<Profile> profile_;  // before the replica, which adds to it
  Ablation ablation_;                 // before the replica, which takes pixels from it
  Replica replica_;
};

/// Any rank but 0: waits for the job's exit code.
int receive_end(Communicator& world) {
  const int code = await_end(world);
  // Messages that were under way when this replica ended.
  while (receive<StopOrder>(world, 0, JobTag::kStop) ||
         receive<ItemBatch>(world, 0, JobTag::kBatch)) {
  }
  return code;
}

/// Rank 0: reports the outcome of a finalized job, and lets the other ranks go.
void announce_outcome(const Session& session, const CaptionJob& job, const Counts& counts, int code,
                      Progress& progress, StatusBoard& board) {
  if (job.open_count > 0) session.log.info("start-up: " + counts.start_up.to_string());
  if (!job.options.quiet) progress.finish(counts, outcome_of(code));
  board.ended(code, outcome_of(code), counts);
  announce_end(session.world, code);
}

/// --dry-run: prints what `retinue check` prints for the same options.
int only_check(const Session& session, const CaptionOptions& options) {
  on_coordinator(session.world,
                 [&] { run_check(options, session.world.size(), session.node_size, 0, stdout); });
  return 0;
}

}  // namespace

int run_caption(const Session& session, const CaptionOptions& options) {
  if (options.output.empty()) throw UsageError("[--output] names no folder");
  if (options.dry_run) return only_check(session, options);
  // Read before any rank of this host allocates.
  const std::int64_t preload_bytes = memory_per_rank(session.node_size) / 2;
  // On every rank: the signal's default would end a rank that does not lead.
  StopSignal signal(session.world.rank() == 0);
  CaptionJob job = prepare_caption(options);
  if (session.world.rank() == 0)
    for (const std::string& line : model_warnings(options.run)) session.log.warning(line);
  job.launched_s = session.clock.now_s() - session.launch_s - session.communicators_s;
  const RankShare share = take_share(session, options.run, job.model);
  const double meeting_s = session.clock.now_s();
  const Mesh mesh(session.world, choose_mesh(options.run, session.world.size()));
  job.start_up.launch_s = session.launch_s;
  job.start_up.communicators_s = session.communicators_s + session.clock.now_s() - meeting_s;

  std::unique_ptr<JobFolder> folder;  // first, since its lock outlives all that writes there
  StatusPublisher status = start_publishing(session, job, mesh);
  on_coordinator(session.world, [&] { folder = open_job(session, job); });
  share_job(session.world, job);
  publish_items(status, job, session.log);

  Progress progress(progress_of(job, mesh.shape()), session.log, session.clock);
  Outcome outcome;
  if (job.open_count > 0) {
    Work work(session, mesh, share, job, status.board.get(), preload_bytes);
    signal.set_in_flight(true);
    outcome = work.run(signal, progress);
  }
  // In flight, for another rank, are the items of the ranks that still run.
  if (!mesh.is_coordinator()) return receive_end(session.world);
  signal.set_in_flight(false);
  status.board->phase(JobPhase::kFinalizing);
  const int code = finalize_job(*folder, job, mesh.shape(), outcome.counts, progress.elapsed_s(),
                                outcome.stop_code);
  announce_outcome(session, job, outcome.counts, code, progress, *status.board);
  return code;
}

}  // namespace retinue::runtime
