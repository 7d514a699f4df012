#pragma once
// Tested through tests/runtime/jobs/caption/caption_test.cpp.

#include "parallel/comm/communicator.h"
#include "runtime/jobs/caption/caption_job.h"
#include "runtime/jobs/job.h"
#include "runtime/output/job_folder.h"

#include <memory>

namespace retinue::runtime {

/// On rank 0: lists the items, opens the folder and reads what earlier runs left. Fills the fields
/// of `job` that describe items. An open item that crashed ranks too often gets a failure and does
/// not run again; items that may be the cause of a crash become attributed or suspect items.
/// Throws: UsageError when the input or the folder does not fit; SystemError.
std::unique_ptr<JobFolder> open_job(const Session& session, CaptionJob& job);

/// Broadcasts what rank 0 found, except the fields that CaptionJob marks as rank 0's. Collective,
/// after open_job().
void share_job(Communicator& world, CaptionJob& job);

}  // namespace retinue::runtime
