#pragma once

#include "parallel/mesh/mesh.h"
#include "runtime/engine/engine.h"
#include "runtime/jobs/caption_job.h"
#include "runtime/jobs/feeder.h"
#include "runtime/jobs/input_roots.h"
#include "runtime/jobs/job.h"
#include "runtime/jobs/progress.h"
#include "runtime/jobs/question_queue.h"
#include "runtime/jobs/stop_signal.h"
#include "runtime/output/journal.h"
#include "runtime/output/output_text.h"

#include <cstdint>
#include <map>
#include <memory>
#include <vector>

namespace retinue::runtime {

/// The lead of one replica in a caption job: keeps the engine's window filled, turns what comes out
/// into records of its own segment. Rank 0 also counts for all, and decides when the job stops.
class CaptionLead {
 public:
  /// All arguments outlive it. `progress` null: not rank 0.
  CaptionLead(const Session& session, const Mesh& mesh, const CaptionJob& job, Engine& engine,
              std::int64_t window, Feeder& feeder, const StopSignal& signal, Progress* progress);

  /// Until this replica's items are through or the job stops; on rank 0 until all replicas' are.
  /// Throws: SystemError when a disk or a peer is lost.
  void run();

  /// Of this replica; on rank 0 of all.
  [[nodiscard]] Counts counts() const;
  /// 0, or the exit code with which the job was stopped before its end: 4 or 75.
  [[nodiscard]] int stop_code() const { return stop_code_; }

 private:
  struct Live {
    std::vector<MediaHeader> headers;
    std::string sha256;
    std::shared_ptr<OutputText> text;  ///< where stop texts are looked for
    bool logprobs = false;
  };

  void feed();
  void submit(QuestionQueue::Entry entry);
  void collect();
  void finish(const Completion& completion);
  void fail(std::size_t index, const DataError& error);
  void talk(bool now);
  void decide();
  void stop(int code);

  const Session& session_;
  const Mesh& mesh_;
  const CaptionJob& job_;
  Engine& engine_;
  std::int64_t window_;
  Feeder& feeder_;
  const StopSignal& signal_;
  Progress* progress_;
  SegmentWriter journal_;
  Counts own_;
  std::vector<Counts> others_;  ///< rank 0: of the other leads
  std::map<std::uint64_t, Live> live_;
  int stop_code_ = 0;
  bool drained_ = false;
  double talked_s_ = 0;
  InputRoots roots_;
  QuestionQueue questions_;  // last: its threads use the job
};

}  // namespace retinue::runtime
