#pragma once
// Tested through tests/system/doctor_test.cpp.

#include "runtime/jobs/job.h"
#include "runtime/jobs/options.h"

#include <cstdint>

namespace retinue::runtime {

struct DoctorOptions {
  RunOptions run;  ///< without a model, no model files are checked
  bool json = false;
  double sweep_s = 2;                   ///< per communicator
  std::int64_t answer_deadline_s = 30;  ///< limit of the facts that each rank collects alone
};

/// Prints on rank 0 what is wrong with the machines and their links. Returns 0, or 3 when something
/// is broken. Throws: SystemError when a rank does not answer or is lost, after rank 0 has printed
/// all that is known.
int run_doctor(const Session& session, const DoctorOptions& options);

}  // namespace retinue::runtime
