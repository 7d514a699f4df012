#pragma once

#include "parallel/mesh/mesh.h"
#include "runtime/dataset/input_roots.h"
#include "runtime/decode/prefetcher.h"
#include "runtime/engine/engine.h"
#include "runtime/failure/bisection.h"
#include "runtime/jobs/caption/caption_job.h"
#include "runtime/jobs/caption/coordinator.h"
#include "runtime/jobs/caption/profile.h"
#include "runtime/jobs/caption/request_queue.h"
#include "runtime/jobs/job.h"
#include "runtime/jobs/job_messages.h"
#include "runtime/jobs/stop_signal.h"
#include "runtime/jobs/work_queue.h"
#include "runtime/output/journal.h"
#include "runtime/output/record.h"
#include "runtime/status/progress.h"
#include "runtime/status/status_board.h"
#include "runtime/text/output_text.h"

#include <atomic>
#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <vector>

namespace retinue::runtime {

/// The lead of one replica in a caption job: keeps the engine's window filled, turns what comes out
/// into records of its own segment. On rank 0 it does so beside a CaptionCoordinator.
class CaptionLeader {
 public:
  /// All arguments outlive it. `coordinator` null: not rank 0; `profile` null: none is kept.
  CaptionLeader(const Session& session, const Mesh& mesh, const CaptionJob& job, Engine& engine,
                std::int64_t window, Prefetcher& prefetcher, const StopSignal& signal,
                CaptionCoordinator* coordinator, Profile* profile = nullptr);

  /// For studies, before run(): makes the questions of all items, so that none is made later.
  void prepare();

  /// Until this replica's items are through or the job stops; on rank 0 until all replicas' are.
  /// Throws: SystemError when a disk or a peer is lost.
  void run();

  /// Of this replica; on rank 0 of all.
  [[nodiscard]] Counts counts() const;
  /// 0, or the exit code with which the job was stopped before its end: 4 or 75.
  [[nodiscard]] int stop_code() const { return stop_code_; }
  [[nodiscard]] RequestQueue::Times prepare_times() { return requests_.times(); }

 private:
  struct Live {
    std::vector<MediaHeader> headers;
    std::string sha256;
    std::shared_ptr<OutputText> text;  ///< where stop texts are looked for
    std::int64_t top_logprobs = 0;
    bool logprobs = false;
    double submitted_s = 0;
  };

  /// What an item that ended adds to the counts, once its entry is durable.
  struct Ended {
    std::int64_t entry = 0;
    bool done = false;
    std::int64_t media = 0, prompt_tokens = 0, completion_tokens = 0;
  };

  Result<PreparedRequest> make(std::size_t item);
  void feed();
  /// Asks rank 0 for items when few are at hand, and takes what has come.
  void ask_for_items();
  void take(const ItemBatch& batch);
  void submit(RequestQueue::Entry entry);
  void collect();
  void finish(const Completion& completion);
  /// Takes `live`'s hash along.
  [[nodiscard]] Record record_of(const Completion& completion, const Item& item, Live& live) const;
  void note_profile(const Completion& completion, const Live& live);
  void fail(std::size_t index, const DataError& error);
  void count_durable();
  void exchange_messages(bool now);
  /// Rank 0: hears all ranks, decides and shows.
  void coordinate();
  void stop(const StopOrder& order);
  /// This rank's, as rank 0 shows it.
  RankState state();
  /// Tells what is shown of an item that ended.
  void show(const Item& item, std::size_t index, double seconds, const std::string& caption);
  void show(const Item& item, std::size_t index, const DataError& error);

  const Session& session_;
  const Mesh& mesh_;
  const CaptionJob& job_;
  Engine& engine_;
  std::int64_t window_;
  Prefetcher& prefetcher_;
  const StopSignal& signal_;
  CaptionCoordinator* coordinator_;
  Profile* profile_;
  Bisection bisection_;
  std::int64_t left_;   ///< that nobody had when a lead last heard
  bool asked_ = false;  ///< and not answered
  SegmentWriter journal_;
  std::string numerics_;  ///< as records name them
  Counts own_;
  std::deque<Ended> not_durable_;  ///< ended, and not yet counted
  std::map<std::uint64_t, Live> live_;
  int stop_code_ = 0;
  std::optional<double> cancel_at_s_;  ///< what is in flight then is dropped
  bool drained_ = false;
  double messages_s_ = 0, reported_state_s_ = 0;
  std::atomic<double> prepare_s_ = 0;  ///< over the threads that make them
  double write_s_ = 0;
  ItemSeconds item_seconds_;
  EventPace event_pace_;
  InputRoots roots_;
  std::vector<std::optional<Result<PreparedRequest>>>
      prepared_;           ///< per item; empty: made when due
  RequestQueue requests_;  // last: its threads use the job
};

}  // namespace retinue::runtime
