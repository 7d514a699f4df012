#pragma once
// Tested through tests/system/doctor_test.cpp.

#include "runtime/doctor/doctor.h"
#include "runtime/doctor/facts.h"
#include "runtime/jobs/job.h"
#include "runtime/jobs/options.h"

#include <string>

namespace retinue::runtime {

/// Where a machine tells of itself; other places for tests.
struct Places {
  std::string sysfs = "/sys";
  std::string shared_memory = "/dev/shm";
  std::string nvml = "libnvidia-ml.so.1";
};

/// Everything that this rank can say alone, within some seconds where its file systems answer.
/// Enters no collective; what is wrong stands in the facts.
RankFacts look_around(const Session& session, const RunOptions& options, const Places& places = {});

}  // namespace retinue::runtime
