#pragma once
// Tested through tests/runtime/jobs/verbs_test.cpp.

#include "parallel/base/clock.h"
#include "parallel/base/log.h"
#include "parallel/comm/communicator.h"
#include "runtime/jobs/options.h"

#include <cstdio>

namespace retinue::runtime {

class StatusSink;

/// The launcher's arguments to a job, on every rank.
struct Session {
  Communicator& world;
  int node_rank = 0;  ///< among the ranks of this host
  int node_size = 1;
  double deadline_s = 300;       ///< of collectives
  bool waits_after_ops = false;  ///< on GPUs, to name the op that failed
  Log& log;
  const Clock& clock;
  double launch_s = 0;  ///< before the job was entered, as in StartUp
  double communicators_s = 0;
  StatusSink* monitor = nullptr;  ///< rank 0: receives the job's status; null: no monitor
};

/// The verbs. Every rank of the world enters with equal options; the exit code is the same on all
/// (CONTRIBUTING.md lists them). Results go to files or to rank 0's stdout, progress to its stderr.
/// Throws: UsageError before the first collective, or on every rank alike; SystemError; BugError.
int run_caption(const Session& session, const CaptionOptions& options);
int run_ask(const Session& session, const AskOptions& options);
int run_trace(const Session& session, const TraceOptions& options);
/// Needs no other rank: plans for `ranks` of them, `ranks_per_node` on each host.
int run_check(const CaptionOptions& options, int ranks, int ranks_per_node, double gpu_memory_gib,
              std::FILE* out);
/// Needs no other rank: writes an FP8 copy of a checkpoint folder.
int run_quantize(const QuantizeOptions& options, std::FILE* out);

}  // namespace retinue::runtime
