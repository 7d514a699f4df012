#pragma once
// Tested through tests/runtime/jobs/caption/caption_test.cpp.

#include "parallel/mesh/mesh.h"
#include "runtime/jobs/caption/caption_job.h"
#include "runtime/output/job_folder.h"
#include "runtime/status/progress.h"

namespace retinue::runtime {

/// Rank 0, after the work: writes the files that people read, and report.json unless this run had
/// nothing to do and there is one. Returns the job's exit code.
///   counts     of all leaders
///   seconds    the run's duration
///   stop_code  4 or 75 where the run was stopped before its end, else 0
/// Throws: SystemError when the disk refuses.
int finalize_job(const JobFolder& folder, const CaptionJob& job, const MeshShape& mesh,
                 const Counts& counts, double seconds, int stop_code);

/// The meaning of an exit code, as the last line of a run has it.
const char* outcome_of(int exit_code);

}  // namespace retinue::runtime
