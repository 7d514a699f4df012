#pragma once
// Tested through tests/runtime/jobs/caption/caption_test.cpp.

#include "parallel/mesh/mesh.h"
#include "runtime/jobs/caption/caption_job.h"
#include "runtime/output/job_folder.h"
#include "runtime/status/progress.h"

namespace retinue::runtime {

/// Rank 0, when nothing runs any more: writes the files that people read, and report.json unless
/// this run had nothing to do and there is one. Returns the job's exit code.
///   counts     of all leads
///   seconds    that the run took
///   stop_code  with which it was stopped before its end: 4 or 75, else 0
/// Throws: SystemError when the disk refuses.
int finalize_job(const JobFolder& folder, const CaptionJob& job, const MeshShape& mesh,
                 const Counts& counts, double seconds, int stop_code);

/// What an exit code means, in the words of the last line.
const char* outcome_of(int exit_code);

}  // namespace retinue::runtime
