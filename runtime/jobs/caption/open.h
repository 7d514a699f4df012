#pragma once
// Tested through tests/runtime/jobs/caption/caption_test.cpp.

#include "parallel/comm/communicator.h"
#include "runtime/jobs/caption/caption_job.h"
#include "runtime/jobs/job.h"
#include "runtime/output/job_folder.h"

#include <memory>

namespace retinue::runtime {

/// On rank 0: lists the items, opens the folder and reads what earlier runs left. Sets what `job`
/// says of items. An open item that ranks died of too often gets a failure and is not run again;
/// what may be to blame for a death is put among the struck or the suspects.
/// Throws: UsageError when the input or the folder does not fit; SystemError.
std::unique_ptr<JobFolder> open_job(const Session& session, CaptionJob& job);

/// Every rank learns what rank 0 found, but for what only rank 0 needs (CaptionJob says what).
/// Collective, after open_job().
void share_job(Communicator& world, CaptionJob& job);

}  // namespace retinue::runtime
