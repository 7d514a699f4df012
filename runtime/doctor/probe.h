#pragma once
// Tested through tests/system/doctor_test.cpp.

#include "runtime/doctor/doctor.h"
#include "runtime/doctor/facts.h"
#include "runtime/jobs/job.h"
#include "runtime/jobs/options.h"

#include <string>

namespace retinue::runtime {

/// The places in which a machine describes itself; tests give others.
struct Places {
  std::string shared_memory = "/dev/shm";
  std::string nvml = "libnvidia-ml.so.1";
};

/// This rank's facts, within seconds unless a file system hangs. Enters no collective and does not
/// throw for what is wrong with the machine: the facts say it.
RankFacts look_around(const Session& session, const RunOptions& options, const Places& places = {});

}  // namespace retinue::runtime
