#pragma once
// Tested through tests/runtime/jobs/caption/caption_test.cpp.

#include "parallel/mesh/mesh.h"
#include "runtime/dataset/input_roots.h"
#include "runtime/decode/prefetcher.h"
#include "runtime/engine/engine.h"
#include "runtime/jobs/caption/caption_job.h"
#include "runtime/jobs/caption/coordinator_link.h"
#include "runtime/jobs/caption/profile.h"
#include "runtime/jobs/caption/record_writer.h"
#include "runtime/jobs/caption/request_pump.h"
#include "runtime/jobs/job.h"
#include "runtime/jobs/stop_signal.h"

#include <cstddef>
#include <cstdint>
#include <optional>

namespace retinue::runtime {

/// The leader of one replica in a caption job: requests go into the engine, records come out, and
/// its progress is reported to rank 0.
class CaptionLeader {
 public:
  struct Parts {
    const Session& session;
    const Mesh& mesh;
    const CaptionJob& job;
    Engine& engine;
    Prefetcher& prefetcher;
    CoordinatorLink& link;
    const StopSignal& signal;
    std::int64_t window;          ///< requests that the engine may have at once
    ItemReader items;             ///< an item as this job shows it
    RequestQueue::Make make;      ///< any number of threads
    RecordWriter::Format format;  ///< a record's line in the journal
    Profile* profile = nullptr;   ///< null: none is kept
  };

  /// Everything that `parts` names outlives it.
  explicit CaptionLeader(Parts parts);

  /// Runs until this replica's items have ended or the job stops; on rank 0, until all replicas'
  /// have.
  /// Throws: SystemError when a disk or a peer is lost.
  void run();

  /// This replica's; on rank 0 the sum over all replicas.
  [[nodiscard]] Counts counts() const { return parts_.link.total(own()); }
  /// 0, or the exit code with which the job was stopped before its end: 4 or 75.
  [[nodiscard]] int stop_code() const { return stop_code_; }
  [[nodiscard]] RequestQueue::Times prepare_times() { return pump_.times(); }

 private:
  void collect();
  void finish(const Completion& completion);
  void fail(std::size_t index, const DataError& error);
  void exchange_messages();
  void cancel_overdue();
  void stop(const StopOrder& order);
  [[nodiscard]] Counts own() const;
  RankState state();

  Parts parts_;
  RecordWriter writer_;
  InputRoots roots_;
  bool interrupted_ = false, hurried_ = false, finished_ = false;
  int stop_code_ = 0;
  std::optional<double> cancel_at_s_;  ///< requests that are in flight then are dropped
  ItemSeconds item_seconds_;
  RequestPump pump_;  // last: its threads write to the journal
};

}  // namespace retinue::runtime
